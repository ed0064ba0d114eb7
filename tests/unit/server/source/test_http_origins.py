"""Hosts that answer in ways of their own: the file is read from them nevertheless, unless that would not be safe."""

from __future__ import annotations

import gzip
import os
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network

import pytest
from media_host import RANGE, Handler, MediaHost, serving

from wildgate_server.errors import FetchFailed, UriNotFound, VideoTooLarge, WildgateError
from wildgate_server.source.byte_source import ByteRange, ReadingBounds
from wildgate_server.source.content_coding import decoded
from wildgate_server.source.fetching import FetchConfig
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.remote_uri import HttpUrl

CONTENT = os.urandom(200_000)
SIZE = len(CONTENT)
MAX_BYTES = 1 << 20
SPANS = [ByteRange(50_000, 60_000), ByteRange(100_000, 110_000), ByteRange(190_000, 200_000)]
BOUNDS = ReadingBounds(step_bytes=1000, max_gap_bytes=100, max_requests=50)
HERE = FetchConfig(timeout_s=5.0, stall_s=1.0, attempts=2, bounds=BOUNDS, private_networks=(ip_network("127.0.0.0/8"),))

Act = Callable[[int, Handler], object]


def read_spans(host: MediaHost, max_bytes: int = MAX_BYTES) -> list[bytes]:
    with RemoteObject(HttpUrl.parsed(host.uri), HERE).opened(max_bytes) as source:
        assert source.size == SIZE
        return [bytes(content) for content in source.read(SPANS)]


def origin(act: Act, content: bytes = CONTENT) -> MediaHost:
    """A host that answers every request by `act`, which may leave that to the host by returning False."""
    return MediaHost(content, misbehave=lambda number, handler: act(number, handler) is not False)


def refusal(act: Act, error: type[WildgateError], max_bytes: int = MAX_BYTES) -> tuple[WildgateError, int]:
    """What reading fails with, and after how many requests."""
    with serving(origin(act)) as host, pytest.raises(error) as failure:
        read_spans(host, max_bytes)
    return failure.value, len(host.asked)


def asked(handler: Handler) -> tuple[int, int] | None:
    """Start and end of the range that is asked for."""
    match = RANGE.fullmatch(handler.headers.get("Range") or "")
    return (int(match[1]), int(match[2]) + 1) if match else None


def refusing_ranges(status: int) -> Act:
    return lambda number, handler: handler.say(status, b"no") if asked(handler) else False


def to_ranges(**fields: str | None) -> Act:
    """Ranges with other fields."""
    return lambda number, handler: handler.answer(**fields) if asked(handler) else False


def always(**fields: str | None) -> Act:
    return lambda number, handler: handler.answer(**fields)


def shorter(number: int, handler: Handler) -> object:
    if not (span := asked(handler)):
        return False
    start, end = span[0], (span[0] + span[1]) // 2
    return handler.say(206, CONTENT[start:end], Content_Range=f"bytes {start}-{end - 1}/{SIZE}", ETag='"1"')


def shorter_later(number: int, handler: Handler) -> object:
    return shorter(number, handler) if number else False


def as_all(number: int, handler: Handler) -> object:
    if not (span := asked(handler)):
        return False
    return handler.say(200, CONTENT[slice(*span)], Content_Range=f"bytes {span[0]}-{span[1] - 1}/{SIZE}")


def all_of_it(number: int, handler: Handler) -> None:
    handler.say(206, CONTENT, Content_Range=f"bytes 0-{SIZE - 1}/{SIZE}")


def longer_than_said(number: int, handler: Handler) -> object:
    if not (span := asked(handler)):
        return False
    start, end = span
    return handler.say(206, CONTENT[start:end] + b"more", Content_Range=f"bytes {start}-{end - 1}/{SIZE}", ETag='"1"')


def encoded(coding: str, compress: Callable[[bytes], bytes], by_range: bool = False) -> Act:
    """Everything encoded; ranges, where they are served, are those of the encoded file (RFC 9110, 14.1)."""
    content = compress(CONTENT)

    def act(number: int, handler: Handler) -> None:
        span = asked(handler)
        if span and by_range:
            start, end = span[0], min(span[1], len(content))
            place = f"bytes {start}-{end - 1}/{len(content)}"
            handler.say(206, content[start:end], Content_Range=place, Content_Encoding=coding)
        else:
            handler.say(200, content, Content_Encoding=coding)

    return act


def raw_deflate(content: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(content) + deflater.flush()


def in_parts(number: int, handler: Handler) -> object:
    if not (span := asked(handler)):
        return False
    part = b"--x\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%b\r\n--x--" % (*span, SIZE, CONTENT[slice(*span)])
    return handler.say(206, part, Content_Type="multipart/byteranges; boundary=x")


def chunked(number: int, handler: Handler) -> None:
    span = asked(handler) or (0, SIZE)
    handler.send_response(206 if asked(handler) else 200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.send_header("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{SIZE}")
    handler.end_headers()
    for start in range(*span, 777):
        chunk = CONTENT[start : min(start + 777, span[1])]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    handler.wfile.write(b"0\r\n\r\n")


def old(number: int, handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT)
    handler.close_connection = True


def hinting(number: int, handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    return False


def signing(number: int, handler: Handler) -> object:
    """Each redirect leads to a URL that can be used once."""
    if handler.path == "/video":
        return handler.say(302, b"", Location=f"/signed?{number}")
    used = [path for path, _ in handler.host.asked].count(handler.path)
    return handler.say(403, b"expired") if used > 1 else False


PARTS, ONCE, AGAIN = "parts", "once", "again"  # read by range; whole in one answer; whole after a range was no use

ORIGINS: dict[str, tuple[Act, str]] = {
    "as it should be": (lambda number, handler: False, PARTS),
    **{f"{status} to a range": (refusing_ranges(status), AGAIN) for status in (400, 403, 405, 406, 412, 416, 501)},
    "of unknown size": (to_ranges(Content_Range="bytes 0-999/*"), AGAIN),
    "without Content-Range": (to_ranges(Content_Range=None), AGAIN),
    "with a Content-Range of nonsense": (to_ranges(Content_Range="bytes nonsense"), AGAIN),
    "of another range": (to_ranges(Content_Range="bytes 5-1004/200000"), AGAIN),
    "shorter than asked": (shorter, AGAIN),
    "later shorter than asked": (shorter_later, AGAIN),
    "longer than said": (longer_than_said, AGAIN),
    "all of it as a range": (all_of_it, ONCE),
    "a range as all of it": (as_all, AGAIN),
    "203": (lambda number, handler: handler.say(203, CONTENT), ONCE),
    "Bytes": (
        lambda number, handler: handler.answer(
            Accept_Ranges="Bytes", Content_Range="Bytes {}-{}/{}".format(*_places(handler), SIZE)
        ),
        PARTS,
    ),
    "gzip": (encoded("gzip", gzip.compress), ONCE),
    "x-gzip in capitals": (encoded("X-GZIP", gzip.compress), ONCE),
    "gzip by range": (encoded("gzip", gzip.compress, by_range=True), AGAIN),
    "deflate": (encoded("deflate", zlib.compress), ONCE),
    "deflate without its wrapper": (encoded("deflate", raw_deflate), ONCE),
    "gzip that is none": (always(Content_Encoding="gzip"), AGAIN),
    "an encoding that is none": (always(Content_Encoding="utf-8"), PARTS),
    "a tag by node": (lambda number, handler: handler.answer(ETag=f'"{number}"'), AGAIN),
    "a weak tag by node": (lambda number, handler: handler.answer(ETag=f'W/"{number}"'), AGAIN),
    "a tag now and then": (lambda number, handler: handler.answer(ETag=None if number % 2 else '"1"'), AGAIN),
    "no tag": (always(ETag=None), PARTS),
    "200 later": (lambda number, handler: handler.say(200, CONTENT) if number else False, AGAIN),
    "416 later": (lambda number, handler: handler.say(416, b"") if number and asked(handler) else False, AGAIN),
    "multipart": (in_parts, AGAIN),
    "chunked": (chunked, PARTS),
    "HTTP/1.0 without a length": (old, ONCE),
    "early hints": (hinting, PARTS),
    "signed URLs for one use": (signing, AGAIN),
}


def _places(handler: Handler) -> tuple[int, int]:
    start, end = asked(handler) or (0, SIZE)
    return start, end - 1


@pytest.mark.parametrize("name", ORIGINS)
def test_the_file_is_read_from_a_host_of_its_own_ways(name: str) -> None:
    act, way = ORIGINS[name]
    with serving(origin(act)) as host:
        assert read_spans(host) == [CONTENT[span.start : span.end] for span in SPANS]
    media = [span for path, span in host.asked if name != "signed URLs for one use" or path != "/video"]
    if way == PARTS:
        assert sorted(map(str, media)) == sorted(f"bytes={s.start}-{s.end - 1}" for s in [ByteRange(0, 1000), *SPANS])
    elif way == ONCE:
        assert media == ["bytes=0-999"]
    else:
        assert media.count(None) == 1, "asked once for all of it"
        assert len(media) <= 5


@pytest.mark.parametrize("status", [204, 400, 401, 402, 403, 404, 405, 410, 416, 418, 451, 501, 505])
def test_a_refusal_without_a_range_is_final(status: int) -> None:
    error, requests = refusal(lambda number, handler: handler.say(status, b""), UriNotFound)
    assert error.metadata == {"http_status": str(status)}
    assert error.retry_after_s is None
    assert requests == (1 if status in (401, 404, 410, 451) else 2)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 521, 599])
def test_what_may_pass_is_told_with_when_to_try_again(status: int) -> None:
    error, requests = refusal(lambda number, handler: handler.say(status, b""), FetchFailed)
    assert (error.retry_after_s, requests) == (1.0, HERE.attempts)
    assert str(status) in error.message


@pytest.mark.parametrize(
    "act",
    [
        encoded("br", bytes),
        encoded("zstd", bytes),
        encoded("gzip, gzip", lambda content: gzip.compress(gzip.compress(content))),
        encoded("gzip", lambda content: gzip.compress(content)[:-1000]),
        encoded("gzip", lambda content: gzip.compress(content) + b"more"),
        encoded("gzip", lambda content: gzip.compress(content)[:1000] + bytes(1000)),
        encoded("deflate", bytes),
    ],
    ids=["brotli", "zstd", "twice", "cut short", "and more", "damaged", "none"],
)
def test_an_encoding_that_cannot_be_read_is_refused_for_good(act: Act) -> None:
    _, requests = refusal(act, UriNotFound)
    assert requests == 1


@pytest.mark.parametrize(
    "later",
    [
        lambda handler: handler.answer(ETag='"2"'),
        lambda handler: handler.say(200, handler.host.content),
        lambda handler: handler.answer(Content_Range="nonsense"),
    ],
    ids=["another tag", "no ranges any more", "nonsense"],
)
@pytest.mark.parametrize("other", [os.urandom(SIZE), CONTENT + b"more", CONTENT[:-1]], ids=["other", "grown", "shrunk"])
def test_bytes_of_two_files_are_never_mixed(later: Callable[[Handler], None], other: bytes) -> None:
    def act(number: int, handler: Handler) -> object:
        if not number:
            return False
        handler.host.content = other
        return later(handler)

    error, _ = refusal(act, FetchFailed)
    assert "changed" in error.message
    assert error.retry_after_s == 1.0


def test_all_of_a_range_past_the_limit_is_not_read() -> None:
    for act in (all_of_it, refusing_ranges(403), to_ranges(Content_Range=None)):
        refusal(act, VideoTooLarge, max_bytes=SIZE - 1)


def peak_bytes(act: Act) -> int:
    """The most memory that reading takes, in which the file is refused as too large."""
    tracemalloc.start()
    try:
        refusal(act, VideoTooLarge)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("by_range", [False, True])
def test_a_gzip_bomb_meets_the_limit_of_bytes_and_not_that_of_memory(by_range: bool) -> None:
    bomb = gzip.compress(bytes(256 << 20), 1)
    assert len(bomb) > MAX_BYTES, "sent in pieces"
    small = gzip.compress(bytes(128 << 20), 9)
    assert len(small) < MAX_BYTES, "and one that is small by what it says"
    for content in (bomb[:MAX_BYTES], small):
        assert peak_bytes(encoded("gzip", lambda _, content=content: content, by_range)) < 8 * MAX_BYTES


@pytest.mark.parametrize("coding", ["gzip", None])
def test_chunks_without_end_take_bounded_memory(coding: str | None) -> None:
    sent = 0
    chunk = os.urandom(1 << 16)

    def endless(number: int, handler: Handler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        if coding:
            handler.send_header("Content-Encoding", coding)
        handler.end_headers()
        with suppress(OSError):  # the other side has gone
            while sent < 1 << 30:
                sent += len(chunk)
                handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    assert peak_bytes(endless) < 8 * MAX_BYTES
    assert sent < 64 << 20, "no more than socket buffers hold"


@pytest.mark.parametrize("at", [1, 2, 3])
def test_pieces_of_any_size_are_decoded(at: int) -> None:
    content = gzip.compress(CONTENT)
    pieces = [content[start : start + at] for start in range(0, len(content), at)]
    assert decoded(pieces, ["gzip"], SIZE) == CONTENT
    with pytest.raises(VideoTooLarge):
        decoded(pieces, ["gzip"], SIZE - 1)


def test_a_host_that_is_slow_to_send_all_is_left_in_time() -> None:
    """The second, whole reading has no time of its own."""
    config = replace(HERE, timeout_s=0.5)

    def drip(number: int, handler: Handler) -> object:
        if asked(handler):
            return handler.say(403, b"")
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(b"x")
                time.sleep(0.05)
        return None

    with (
        serving(origin(drip)) as host,
        pytest.raises(FetchFailed, match=r"longer than 0\.5 s"),
        RemoteObject(HttpUrl.parsed(host.uri), config).opened(MAX_BYTES),
    ):
        pass


def test_connections_that_a_host_has_closed_meanwhile_cost_one_try() -> None:
    """It says nothing of it, and there are more of them than tries."""

    def answer_and_leave(number: int, handler: Handler) -> bool:
        handler.answer()
        handler.close_connection = True
        return True

    with (
        serving(MediaHost(CONTENT, misbehave=answer_and_leave)) as host,
        RemoteObject(HttpUrl.parsed(host.uri), HERE).opened(MAX_BYTES) as source,
    ):
        for start in range(10_000, 90_000, 10_000):
            spans = [ByteRange(start + more, start + more + 100) for more in (0, 1000, 2000, 3000)]
            assert [bytes(part) for part in source.read(spans)] == [CONTENT[span.start : span.end] for span in spans]


def test_a_strong_tag_is_enough_and_anything_else_needs_the_time_too() -> None:
    for etag, reads_whole in (('"1"', False), ('W/"1"', True), (None, True)):
        times = iter(f"Wed, 21 Oct 2015 07:28:{second:02} GMT" for second in range(60))

        def answer(number: int, handler: Handler, times: Iterator[str] = times) -> bool:
            handler.answer(**{"Last-Modified": next(times)})
            return True

        with serving(MediaHost(CONTENT, etag=etag, misbehave=answer)) as host:
            read_spans(host)
        assert (None in host.ranges) is reads_whole
