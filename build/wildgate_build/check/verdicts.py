"""What the policy would make of a video's detections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wildgate_build.errors import ComparisonError
from wildgate_build.frames.sampled import VideoFrames
from wildgate_server.policy import SHIPPED_POLICY, Judgement, Policy, PolicyError, Sighting, View, load_policy

__all__ = ["judge", "read_policy", "require_rules", "serving_thresholds"]


def read_policy(file: Path | None) -> Policy:
    """The policy in `file`, or the shipped one. Raises ComparisonError."""
    try:
        return load_policy(file or SHIPPED_POLICY)
    except PolicyError as error:
        raise ComparisonError(str(error)) from error


def require_rules(policy: Policy, labels: Sequence[str]) -> None:
    """Raises ComparisonError when the policy has no rule for one of `labels`."""
    if missing := policy.missing(labels):
        raise ComparisonError(f"policy {policy.version} has no rule for {', '.join(missing)}; give one with --policy")


def serving_thresholds(policy: Policy, labels: Sequence[str], otherwise: float) -> tuple[float, ...]:
    """The score from which each label calls for something; `otherwise` for a label without a rule."""
    return tuple(policy.labels[label].review.score if label in policy.labels else otherwise for label in labels)


def judge(video: VideoFrames, rows: npt.NDArray[np.float32], labels: Sequence[str], policy: Policy) -> Judgement:
    """The verdict on a video in whose looked-at frames `rows` [n, K, 6] were detected; their classes are of `labels`.

    Raises ComparisonError for a value that is not finite, which the gateway refuses too.
    """
    if not np.isfinite(rows).all():
        raise ComparisonError(f"{video.path}: the detector gave values that are not numbers")
    sightings = [
        Sighting(labels[int(label)], float(score), time_s)
        for frame, time_s in zip(rows, video.times_s, strict=True)
        for score, label in frame[frame[:, 4] > 0, 4:]
    ]
    return policy.judge(sightings, View.of_frames(video.times_s, video.shown_s))
