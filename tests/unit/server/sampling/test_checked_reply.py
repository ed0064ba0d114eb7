"""What the gateway takes from a sampling worker, and all that it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from wildgate_server import errors
from wildgate_server.media.sampled_video import ClipWindow, Coding, Display, SampledTrack, SampledVideo
from wildgate_server.sampling.checked_reply import MalformedReply, TaskFailed, sampled_of
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.reply import LENGTH_BYTES, error_reply, sampled_reply

CONFIG = SamplingConfig(frames_per_window=4, max_frames=3)
DIGEST = "blake3-sampled:" + "0f" * 32
VIDEO = SampledVideo(
    format="mov,mp4",
    tracks=(
        SampledTrack(
            number=1,
            codec="h264",
            profile="High",
            width=720,
            height=1280,
            display=Display(90, True, (4, 3)),
            first_s=-0.1,
            last_s=10.0 / 3,
            windows=(
                ClipWindow(b"first clip", (0, 2, 4, 4), (0.0, 1 / 3, 0.7), 5),
                ClipWindow(b"", (0, 1, 2, 3), (0.7, 0.7, 2.0, 10.0 / 3), 4),
            ),
            coding=Coding("4:2:0", 8, False, 1, True, None, True, True, 2),
        ),
    ),
    content_bytes=1 << 40,
    content_digest=DIGEST,
    read_bytes=1000,
    read_requests=3,
    read_ms=0.1,
    sample_ms=12.5,
)


ONE = {"clip": "", "frame_index": [0] * 4, "times_s": [0.0], "coded_frames": 1}


def content_of(reply: bytes) -> bytearray:
    """What is left to look into when the length was read."""
    assert int.from_bytes(reply[:LENGTH_BYTES], "little") == len(reply) - LENGTH_BYTES
    return bytearray(reply[LENGTH_BYTES:])


def told(header: object, clips: bytes = b"first clip") -> bytearray:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return bytearray(len(head).to_bytes(LENGTH_BYTES, "little") + head + clips)


def header_of(reply: bytes) -> dict[str, Any]:
    size = int.from_bytes(reply[LENGTH_BYTES : 2 * LENGTH_BYTES], "little")
    header: dict[str, Any] = json.loads(reply[2 * LENGTH_BYTES : 2 * LENGTH_BYTES + size])
    return header


def refusal_of(error: Exception) -> Exception:
    with pytest.raises(type(error)) as raised:
        sampled_of(content_of(error_reply(error)), CONFIG)
    return raised.value


def test_a_video_comes_back_as_it_was() -> None:
    assert all(getattr(VIDEO, field.name) != field.default for field in fields(SampledVideo)), "each shows when lost"
    assert sampled_of(content_of(sampled_reply(VIDEO, 1000)), CONFIG) == VIDEO
    second = replace(VIDEO.default_track, number=2, coding=Coding(), windows=VIDEO.windows[1:])
    unknown = replace(VIDEO, tracks=(*VIDEO.tracks, second))
    assert sampled_of(content_of(sampled_reply(unknown, 1000)), CONFIG) == unknown


def test_a_digest_that_is_known_goes_before_what_is_said() -> None:
    assert sampled_of(content_of(sampled_reply(VIDEO, 1000)), CONFIG, "blake3:known").content_digest == "blake3:known"


@pytest.mark.parametrize(
    "kind",
    [
        errors.NotAVideo,
        errors.CorruptVideo,
        errors.NoVideoStream,
        errors.UnsupportedCodec,
        errors.VideoTooLarge,
        errors.InvalidRequest,
        errors.UriNotAllowed,
        errors.UriNotFound,
        errors.FetchFailed,
    ],
)
def test_a_refusal_comes_back_whole(kind: type[errors.WildgateError]) -> None:
    refusal = refusal_of(kind("why: ü", metadata={"limit": "max"}, field="source", retry_after_s=0.5))
    assert type(refusal) is kind
    assert vars(refusal) == {"message": "why: ü", "metadata": {"limit": "max"}, "field": "source", "retry_after_s": 0.5}
    assert refusal_of(kind("no more than that")).field is None


def test_texts_are_cut_where_the_gateway_would_not_take_them() -> None:
    refusal = refusal_of(errors.CorruptVideo("x" * 5000 + "\udcff", metadata={"codec": "\udcff"}))
    assert (len(refusal.message), refusal.metadata) == (1000, {"codec": "?"})


def test_memory_errors_and_bugs_are_told_from_refusals() -> None:
    refusal_of(MemoryError())
    with pytest.raises(TaskFailed, match="KeyError: 'lost'") as failure:
        sampled_of(content_of(error_reply(KeyError("lost"))), CONFIG)
    assert "lost" in failure.value.__notes__[0]


def changed(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Sets a value in the header: `path` has the names and places that lead to it."""

    def change(header: dict[str, Any]) -> None:
        *way, last = (int(step) if step.isdigit() else step for step in path.split("/"))
        place: Any = header
        for step in way:
            place = place[step]
        place[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed("kind", "else"),
        changed("kind", None),
        changed("more", 1),
        changed("video/tracks/0/windows", []),
        changed("video/tracks/0/windows", "none"),
        changed("video/tracks/0/windows", [ONE] * 4),
        changed("clip_sizes", [10]),
        changed("clip_sizes", [9, -1, 2]),
        changed("clip_sizes/0", 9),
        changed("clip_sizes/0", 11),
        changed("clip_sizes/0", -1),
        changed("clip_sizes/1", False),
        changed("video/tracks/0/windows/0/frame_index", [0, 2, 4]),
        changed("video/tracks/0/windows/0/frame_index", [0, 2, 4, 4, 4]),
        changed("video/tracks/0/windows/0/frame_index", [0, 2, 5, 5]),
        changed("video/tracks/0/windows/0/frame_index", [0, 2, -1, -1]),
        changed("video/tracks/0/windows/0/frame_index", [0, 2, 4, 3]),
        changed("video/tracks/0/windows/0/frame_index", [0, 2, 4.0, 4.0]),
        changed("video/tracks/0/windows/0/times_s", []),
        changed("video/tracks/0/windows/0/times_s", [0.0] * 5),
        changed("video/tracks/0/windows/0/times_s", [0.5, 0.4, 0.7]),
        changed("video/tracks/0/windows/0/times_s", [-0.2, 0.4, 0.7]),
        changed("video/tracks/0/windows/0/times_s", [0.0, 0.4, 9.0]),
        changed("video/tracks/0/windows/0/times_s", [0.0, "0.4", 0.7]),
        changed("video/tracks/0/windows/0/times_s", [0.0, float("nan"), 0.7]),
        changed("video/tracks/0/windows/0/coded_frames", 0),
        changed("video/tracks/0/windows/0/coded_frames", 1 << 31),
        changed("video/tracks/0/windows/0", [10]),
        changed("video/tracks/0/first_s", float("-inf")),
        changed("video/tracks/0/last_s", -1.0),
        changed("video/tracks/0/last_s", None),
        changed("video/tracks/0/width", -1),
        changed("video/tracks/0/height", 1 << 31),
        changed("video/tracks/0/display/rotation", 45),
        changed("video/format", "x" * 1001),
        changed("video/tracks/0/codec", 5),
        changed("video/tracks/0/profile", "\ud800"),
        changed("video/content_bytes", 1 << 63),
        changed("video/content_digest", "blake3-sampled:00"),
        changed("video/content_digest", "blake3:" + "f" * 64),
        changed("video/content_digest", DIGEST + "\n"),
        changed("video/content_digest", None),
        changed("video/read_requests", -1),
        changed("video/read_ms", float("nan")),
        changed("video/tracks/0/coding", None),
        changed("video/tracks/0/coding/more", 1),
        changed("video/tracks/0/coding/delay", -1),
        changed("video/tracks/0/coding/steady", "yes"),
        changed("video/tracks/0/coding/chroma", ["4:2:0"]),
    ],
)
def test_anything_else_is_malformed(change: Callable[[dict[str, Any]], None]) -> None:
    header = header_of(sampled_reply(VIDEO, 1000))
    assert sampled_of(told(header), CONFIG) == VIDEO, "or the test shows nothing"
    change(header)
    with pytest.raises(MalformedReply):
        sampled_of(told(header), CONFIG)


@pytest.mark.parametrize(
    "change",
    [
        changed("error", "WildgateError"),
        changed("error", "InternalError"),
        changed("error", ["NotAVideo"]),
        changed("message", None),
        changed("message", "x" * 1001),
        changed("metadata", {str(number): "" for number in range(17)}),
        changed("metadata", {"limit": 5}),
        changed("metadata", None),
        changed("field", 5),
        changed("retry_after_s", -1),
        changed("retry_after_s", 1e300),
    ],
)
def test_no_other_refusal_is_taken(change: Callable[[dict[str, Any]], None]) -> None:
    header = header_of(error_reply(errors.NotAVideo("no video")))
    change(header)
    with pytest.raises(MalformedReply):
        sampled_of(told(header, b""), CONFIG)


@pytest.mark.parametrize(
    "reply",
    [
        bytearray(),
        bytearray(b"1234"),
        bytearray(b"\xff" * 100),
        told(b"", b""),
        told(b"[1]", b""),
        told(b"\xff\xfe", b""),
        told(b"[" * 100_000, b""),
        told(b'{"kind":' + b"9" * 10_000 + b"}", b""),
        told({"kind": "out of memory"}, b"clip"),
    ],
    ids=lambda reply: repr(bytes(reply[:20])),
)
def test_nonsense_is_malformed(reply: bytearray) -> None:
    with pytest.raises(MalformedReply):
        sampled_of(reply, CONFIG)
