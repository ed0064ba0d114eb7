"""Which containers may be read: of those that open what a file names, none, whatever the configuration says."""

from __future__ import annotations

import pytest

from wildgate_server.media.containers import CONTAINERS, checked_container

OPEN_OTHERS = [
    *("concat", "hls", "sdp", "rtsp", "rtp", "sap", "webm_dash_manifest", "vobsub"),
    *("image2", "image2pipe", "png_pipe", "jpeg_pipe", "gif_pipe", "webp_pipe", "lavfi", "alsa", "v4l2"),
]


def test_all_that_are_read_by_default_may_be() -> None:
    assert [checked_container(name) for name in CONTAINERS] == list(CONTAINERS)


@pytest.mark.parametrize("name", OPEN_OTHERS)
def test_what_opens_more_than_the_bytes_that_it_is_given_is_never_read(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is a playlist, an image sequence, a device or a network protocol"):
        checked_container(name)


@pytest.mark.parametrize("name", ["", "mpeg5", "mov,hls", "hls,mov"])
def test_what_ffmpeg_does_not_know_is_told(name: str) -> None:
    with pytest.raises(ValueError, match=f"FFmpeg has no demuxer named '{name}'"):
        checked_container(name)
