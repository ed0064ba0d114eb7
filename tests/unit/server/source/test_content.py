"""Content on its way from the request into a worker's slot, and the digest that it is known by."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from blake3 import blake3

from wildgate_server.errors import InvalidRequest, VideoTooLarge
from wildgate_server.source.content import Content, checked_digest, content_digest, digest_aside
from wildgate_server.source.shared_content import SharedSlot

VIDEO = b"a video"
EMPTY = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"  # of the published test vectors


@pytest.mark.parametrize("video", [VIDEO, bytes(9 << 20)], ids=["small", "large, so copied by a thread"])
@pytest.mark.parametrize("digest", [None, "blake3:00"])
async def test_a_worker_finds_the_bytes_and_their_digest_in_its_slot(video: bytes, digest: str | None) -> None:
    slot = SharedSlot()
    shared = await Content(video, digest).for_worker(slot)
    assert shared.content_digest == (digest or content_digest(video))
    with shared.opened(len(video)) as source:
        assert source.content == video
    with pytest.raises(VideoTooLarge), shared.opened(len(video) - 1):
        pass


async def test_content_is_known_by_its_digest_once_that_is_computed() -> None:
    content = Content(VIDEO)
    with pytest.raises(ValueError, match="identified"):
        _ = content.key
    identified = await content.identified()
    assert identified == Content(VIDEO, identified.key)
    assert await identified.identified() is identified


def test_content_is_not_told_in_a_traceback() -> None:
    assert "video" not in repr(Content(VIDEO))


def test_the_digest_is_blake3() -> None:
    assert content_digest(b"") == EMPTY


@pytest.mark.parametrize("size", [0, 1 << 20, (1 << 20) + 1, 3 << 20])
async def test_small_or_large_the_digest_is_the_same(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert await digest_aside(content) == f"blake3:{blake3(content).hexdigest()}"


async def test_large_content_leaves_the_event_loop_alone() -> None:
    asked: list[object] = []

    class Threads(ThreadPoolExecutor):
        def submit(self, *work: Any, **options: Any) -> Any:
            asked.append(work)
            return super().submit(*work, **options)

    asyncio.get_running_loop().set_default_executor(Threads())
    await digest_aside(b"small")
    assert not asked
    await digest_aside(bytes(5 << 20))
    assert len(asked) == 1


def test_a_whole_file_s_digest_is_accepted() -> None:
    assert checked_digest(EMPTY) == EMPTY


@pytest.mark.parametrize(
    "text",
    ["", "blake3:", EMPTY[:-1], EMPTY + "0", EMPTY.upper(), EMPTY[7:], "blake3-sampled:" + EMPTY[7:], EMPTY + "\n"],
)
def test_anything_else_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(InvalidRequest, match="content_digest is") as refusal:
        checked_digest(text)
    assert refusal.value.field == "content_digest"
    assert repr(text[:80]) in refusal.value.message
