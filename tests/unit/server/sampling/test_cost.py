"""What looking at a sampled video costs, in usual ones."""

from __future__ import annotations

import pytest
from scored_videos import sampled_video

from wildgate_server.media.sampled_video import ClipWindow
from wildgate_server.sampling.cost import usual_videos


def window(size: int) -> ClipWindow:
    """Eight looks, and as many frames to decode."""
    return ClipWindow(bytes(size), tuple(range(8)), tuple(map(float, range(8))), 8)


def test_looks_pixels_and_bytes_count_and_a_clip_that_windows_share_is_decoded_once() -> None:
    def cost(*windows: ClipWindow) -> float:
        return usual_videos(sampled_video(width=720, height=1280, windows=windows))

    assert cost(window(160_000)) == 1
    assert cost(window(160_000), window(160_001)) == pytest.approx(2, rel=1e-3)
    assert 1.5 < cost(window(160_000), window(160_000)) < 1.9
    assert cost(window(16_000_000)) > 8, "JPEG 2000 at 18 bits a pixel"
