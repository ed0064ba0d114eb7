"""Videos of every kind of container from hosts that do not serve ranges as they should, or stop to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from ipaddress import ip_network

import numpy as np
import pytest
from clips import ClipSpec, make_clip
from media_host import RANGE, Handler, MediaHost, serving

from wildgate_server.errors import FetchFailed, UriNotFound
from wildgate_server.media.sampled_video import ClipWindow, SampledVideo, VideoLimits
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.sampler import sample_video
from wildgate_server.source.byte_source import ReadingBounds
from wildgate_server.source.fetching import FetchConfig
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.remote_uri import HttpUrl

BOUNDS = ReadingBounds(step_bytes=4096, max_gap_bytes=512, max_requests=64)
HERE = FetchConfig(timeout_s=20.0, attempts=1, bounds=BOUNDS, private_networks=(ip_network("127.0.0.0/8"),))
LIMITS = VideoLimits(max_bytes=1 << 24, max_pixels=1 << 22, max_seconds=600.0)
CONTAINERS = pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "avi"])

Act = Callable[[Handler], object]


def asked(handler: Handler) -> tuple[int, int]:
    """First and last byte asked for."""
    match = RANGE.fullmatch(handler.headers["Range"])
    assert match
    return int(match[1]), int(match[2])


def one_byte(handler: Handler) -> None:
    first, size = asked(handler)[0], len(handler.host.content)
    body = handler.host.content[first : first + 1]
    handler.say(206, body, **{"ETag": handler.host.etag, "Content-Range": f"bytes {first}-{first}/{size}"})


TO_RANGES: dict[str, Act] = {
    "403": lambda handler: handler.say(403, b""),
    "416": lambda handler: handler.say(416, b""),
    "200": lambda handler: handler.say(200, handler.host.content),
    "size unknown": lambda handler: handler.answer(**{"Content-Range": "bytes {}-{}/*".format(*asked(handler))}),
    "shorter": one_byte,
    "gzip": lambda handler: handler.answer(**{"Content-Encoding": "gzip"}),
    "tags by node": lambda handler: handler.answer(ETag=f'"{len(handler.host.asked)}"'),
}


def noise(number: int, width: int, height: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


@cache
def film(container: str) -> bytes:
    """Some 200 KB, so that it takes several requests."""
    codec = "mpeg4" if container == "avi" else "libx264"
    spec = ClipSpec(codec, container, width=96, height=96, seconds=6, keyframe_interval=10, paint=noise)
    return make_clip(spec)


def without_durations(video: SampledVideo) -> list[list[ClipWindow]]:
    return [[replace(window, shown_s=()) for window in track.windows] for track in video.tracks]


def sampled(host: MediaHost) -> SampledVideo:
    costs = {"content_digest": "", "read_bytes": 0, "read_requests": 0, "read_ms": 0.0, "sample_ms": 0.0}
    return replace(
        sample_video(RemoteObject(HttpUrl.parsed(host.uri), HERE), SamplingConfig(8, max_gap_s=1.0), LIMITS), **costs
    )


@pytest.mark.parametrize("later", [False, True], ids=["from the first", "later"])
@pytest.mark.parametrize("name", TO_RANGES)
@CONTAINERS
def test_samples_are_those_of_a_good_host(container: str, name: str, later: bool) -> None:
    def misbehave(number: int, handler: Handler) -> bool:
        if handler.headers.get("Range") is None or (later and not number):
            return False
        TO_RANGES[name](handler)
        return True

    with serving(MediaHost(film(container))) as good:
        expected = sampled(good)
        assert len(good.asked) > 1
        assert None not in good.ranges
    with serving(MediaHost(film(container), misbehave=misbehave)) as host:
        # Where it must be read whole, it is known how long each frame is shown, too.
        assert without_durations(sampled(host)) == without_durations(expected)
        assert host.ranges.count(None) <= 1


@pytest.mark.parametrize(("status", "error"), [(500, FetchFailed), (404, UriNotFound)])
@CONTAINERS
def test_a_host_that_fails_from_some_request_on_is_told_and_nothing_is_printed(
    container: str, status: int, error: type[Exception], capfd: pytest.CaptureFixture[str]
) -> None:
    """However often FFmpeg goes on to read."""
    with serving(MediaHost(film(container))) as good:
        sampled(good)
    for first in range(len(good.asked)):

        def fail(number: int, handler: Handler, first: int = first) -> bool:
            if number >= first:
                handler.say(status, b"")
            return number >= first

        with serving(MediaHost(film(container), misbehave=fail)) as host, pytest.raises(error):
            sampled(host)
    assert capfd.readouterr() == ("", "")
