"""What the gateway would make of a video's detections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wildgate_build.failures import BuildError
from wildgate_build.frames.sampled import VideoFrames
from wildgate_server.errors import BackendUnavailable
from wildgate_server.inference.detections import Letterbox, read_detections
from wildgate_server.policy import SHIPPED_POLICY, Judgement, Policy, PolicyError, Sighting, load_policy

__all__ = ["NotNumbersError", "PolicyUnfitError", "judge", "read_policy", "require_rules", "serving_thresholds"]


class PolicyUnfitError(BuildError):
    """The policy cannot be read, or has no rule for a label of the detector; the text names file and label."""


class NotNumbersError(BuildError):
    """A detector gave values that are no numbers, which the gateway refuses; the text names the video."""


def read_policy(file: Path | None) -> Policy:
    """The policy in `file`, or the shipped one. Raises PolicyUnfitError."""
    try:
        return load_policy(file or SHIPPED_POLICY)
    except PolicyError as error:
        raise PolicyUnfitError(str(error)) from error


def require_rules(policy: Policy, labels: Sequence[str]) -> None:
    """Raises PolicyUnfitError when the policy has no rule for one of `labels`."""
    if missing := policy.missing(labels):
        raise PolicyUnfitError(f"policy {policy.version} has no rule for {', '.join(missing)}; give one with --policy")


def serving_thresholds(policy: Policy, labels: Sequence[str], otherwise: float) -> tuple[float, ...]:
    """The score from which each label calls for something; `otherwise` for a label without a rule."""
    return tuple(policy.labels[label].review.score if label in policy.labels else otherwise for label in labels)


def judge(video: VideoFrames, rows: npt.NDArray[np.float32], labels: Sequence[str], policy: Policy) -> Judgement:
    """The verdict on a video in whose looked-at frames `rows` [n, K, 6] were detected.

    Raises NotNumbersError, and ValueError for a class index without a label.
    """
    letterbox = Letterbox.of(video.width, video.height, video.rotation, video.frames.shape[1])
    try:
        detections = read_detections(rows, video.times_s, labels, letterbox)
    except BackendUnavailable as refusal:
        raise NotNumbersError(f"{video.path}: {refusal.message}") from refusal
    sightings = [Sighting(found.label, found.score, found.time_s) for found in detections]
    return policy.judge(sightings, video.times_s)
