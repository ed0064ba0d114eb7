"""Parts of a file: each byte is fetched once, near parts together, and what is returned is what lies there."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from itertools import pairwise

from wildgate_server.source.byte_source import ByteRange, ByteSource, ReadingBounds, merged

CONTENT = os.urandom(10_000)


def source_of(
    asked: list[ByteRange], max_gap_bytes: int = 0, max_requests: int = 1000, head: bytes = b""
) -> ByteSource:
    """The content; `asked` is filled with what is fetched of it."""

    def fetch(spans: Sequence[ByteRange]) -> list[bytes]:
        asked.extend(spans)
        return [CONTENT[span.start : span.end] for span in spans]

    return ByteSource(len(CONTENT), fetch, ReadingBounds(100, max_gap_bytes, max_requests), head)


def test_near_ranges_are_one() -> None:
    spans = [ByteRange(50, 60), ByteRange(0, 10), ByteRange(15, 20), ByteRange(55, 58)]
    assert merged(spans, 0) == [ByteRange(0, 10), ByteRange(15, 20), ByteRange(50, 60)]
    assert merged(spans, 5) == [ByteRange(0, 20), ByteRange(50, 60)]
    assert merged([], 5) == []


def test_any_reads_give_what_lies_there_and_fetch_it_once() -> None:
    rng = random.Random(3)
    for _ in range(30):
        asked: list[ByteRange] = []
        source = source_of(asked, max_gap_bytes=rng.choice((0, 10, 300)))
        for _ in range(20):
            spans = []
            for _ in range(rng.randrange(1, 5)):
                start = rng.randrange(len(CONTENT))
                spans.append(ByteRange(start, rng.randrange(start, min(start + 700, len(CONTENT)) + 1)))
            contents = source.read(spans)
            assert [bytes(content) for content in contents] == [CONTENT[span.start : span.end] for span in spans]
            assert all(source.has(span) for span in spans)
        fetched = sorted(asked)
        assert all(before.end <= after.start for before, after in pairwise(fetched))
        assert source.read_bytes == sum(map(len, fetched))
        assert source.read_requests == len(fetched)


def test_what_is_at_hand_is_real_and_the_rest_is_zeros() -> None:
    asked: list[ByteRange] = []
    source = source_of(asked)
    source.read([ByteRange(10, 20), ByteRange(30, 40)])
    expected = bytes(5) + CONTENT[10:20] + bytes(10) + CONTENT[30:35]
    assert source.at_hand(ByteRange(5, 35)) == expected
    assert not source.has(ByteRange(5, 35))
    assert len(asked) == 2


def test_past_the_last_request_but_one_the_rest_is_read() -> None:
    asked: list[ByteRange] = []
    source = source_of(asked, max_requests=4)
    source.read([ByteRange(0, 10)])
    spans = [ByteRange(start, start + 10) for start in range(100, 1000, 100)]
    assert [bytes(content) for content in source.read(spans)] == [CONTENT[span.start : span.end] for span in spans]
    source.read([ByteRange(5000, 6000)])
    assert asked == [ByteRange(0, 10), ByteRange(100, len(CONTENT))]


def test_the_head_is_not_fetched_again() -> None:
    asked: list[ByteRange] = []
    source = source_of(asked, head=CONTENT[:500])
    assert bytes(source.read([ByteRange(0, 600)])[0]) == CONTENT[:600]
    assert asked == [ByteRange(500, 600)]
    assert (source.read_bytes, source.read_requests) == (600, 2)


def test_memory_is_not_copied() -> None:
    source = ByteSource.of_content(CONTENT, 1 << 30)
    [part] = source.read([ByteRange(10, 20)])
    assert part.obj is CONTENT
    assert source.has(ByteRange(0, len(CONTENT)))
    assert source.at_hand(ByteRange(10, 20)) == CONTENT[10:20]
    assert (source.read_bytes, source.read_requests, source.waited_s) == (len(CONTENT), 0, 0.0)
