"""Content on its way from the request into a worker's slot."""

from __future__ import annotations

import pytest

from wildgate_server.errors import VideoTooLarge
from wildgate_server.source.content import Content, content_digest
from wildgate_server.source.shared_content import SharedSlot

VIDEO = b"a video"


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
