"""Compares answers with EXPECTED.json, which another program wrote from a full decode of every file.

The rules are those of the README beside it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from wildgate_client import Coverage, StreamResult, Verdict

__all__ = ["ExpectedRefusal", "ExpectedVideo", "load_expectations", "longest_gap_s", "mismatches"]

TIME_SLACK_S = 0.05  # container time bases round
GAP_SLACK_S = 1e-3
# EXPECTED.json has the name of the decoder, which is not always that of the codec.
CODEC_OF_DECODER = {
    "libdav1d": "av1",
    "libaom-av1": "av1",
    "libvpx": "vp8",
    "libvpx-vp9": "vp9",
}


@dataclass(frozen=True)
class ExpectedVideo:
    """A video that must be scored, and what a full decode found in it; times in presentation seconds."""

    frames: int
    first_s: float
    last_s: float
    rotation: int
    codec: str


@dataclass(frozen=True)
class ExpectedRefusal:
    """A file that must be refused with one of these reasons."""

    reasons: tuple[str, ...]


def load_expectations(path: Path) -> dict[str, ExpectedVideo | ExpectedRefusal]:
    """Reads EXPECTED.json; raises `ValueError` that names the file with an entry it cannot read."""
    expectations = {}
    for name, fields in json.loads(path.read_text(encoding="utf-8")).items():
        try:
            expectations[name] = _expectation(fields)
        except KeyError as error:
            raise ValueError(f"{path}: {name}: {error!r}") from error
    return expectations


def _expectation(fields: Mapping[str, Any]) -> ExpectedVideo | ExpectedRefusal:
    match fields["expect"]:
        case "scored":
            return ExpectedVideo(**{name: fields[name] for name in ExpectedVideo.__dataclass_fields__})
        case "refused":
            return ExpectedRefusal(tuple(fields["reasons"]))
        case other:
            raise KeyError(f"expect: {other!r}")


def mismatches(expected: ExpectedVideo | ExpectedRefusal, result: StreamResult, *, max_gap_s: float) -> list[str]:
    """Everything in which an answer differs from what is expected; `max_gap_s` is the server's setting."""
    if isinstance(expected, ExpectedRefusal):
        return _refusal_mismatches(expected, result)
    if result.verdict is None:
        return [f"should be scored, got {result.error}"]
    return [
        *_video_mismatches(expected, result.verdict),
        *_coverage_mismatches(expected, result.verdict.coverage, max_gap_s),
    ]


def longest_gap_s(looked_at_s: Sequence[float], first_s: float, last_s: float) -> float:
    """The longest stretch between `first_s` and `last_s` without a looked-at frame."""
    return max(later - earlier for earlier, later in itertools.pairwise([first_s, *looked_at_s, last_s]))


def _refusal_mismatches(expected: ExpectedRefusal, result: StreamResult) -> list[str]:
    allowed = " or ".join(expected.reasons)
    if result.error is None:
        return [f"scored, should be refused with {allowed}"]
    if result.error.code is not grpc.StatusCode.INVALID_ARGUMENT or result.error.reason not in expected.reasons:
        status = result.error.code.name if result.error.code else "no status"
        return [f"refused with {status} {result.error}, should be INVALID_ARGUMENT with {allowed}"]
    return []


def _video_mismatches(expected: ExpectedVideo, verdict: Verdict) -> list[str]:
    video = verdict.video
    # FFmpeg's angle is that of the upper edge, which points the other way in a picture that is mirrored first.
    angle = (video.rotation + 180 * video.mirrored) % 360
    pairs = {
        "rotation": (angle, expected.rotation % 360),
        "codec": (_codec(video.codec), _codec(expected.codec)),
    }
    return [f"{name} is {got}, should be {want}" for name, (got, want) in pairs.items() if got != want]


def _coverage_mismatches(expected: ExpectedVideo, coverage: Coverage, max_gap_s: float) -> list[str]:
    found = []
    looked_at_s = coverage.looked_at_s
    if not 1 <= coverage.frames_looked_at <= expected.frames:
        found.append(f"looked at {coverage.frames_looked_at} frames, the video has {expected.frames}")
    if len(looked_at_s) != coverage.frames_looked_at:
        found.append(f"{len(looked_at_s)} looked-at times for {coverage.frames_looked_at} frames")
    if list(looked_at_s) != sorted(looked_at_s):
        found.append("looked-at times do not ascend")
    earliest_s, latest_s = expected.first_s - TIME_SLACK_S, expected.last_s + TIME_SLACK_S
    outside = [time_s for time_s in looked_at_s if not earliest_s <= time_s <= latest_s]
    if outside:
        found.append(f"looked at {outside[0]:g} s, outside of {expected.first_s:g} to {expected.last_s:g} s")
    if coverage.max_gap_s != max_gap_s:
        found.append(f"max_gap_s is {coverage.max_gap_s:g}, the server is set to {max_gap_s:g}")
    gap_s = longest_gap_s(looked_at_s, expected.first_s, expected.last_s)
    if abs(gap_s - coverage.longest_gap_s) > TIME_SLACK_S:
        found.append(f"longest_gap_s is {coverage.longest_gap_s:g}, looked-at times say {gap_s:g}")
    if coverage.longest_gap_s > coverage.max_gap_s + GAP_SLACK_S:
        found.append(f"longest_gap_s is {coverage.longest_gap_s:g}, more than {coverage.max_gap_s:g}")
    return found


def _codec(name: str) -> str:
    return CODEC_OF_DECODER.get(name, name)
