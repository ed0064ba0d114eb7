"""Compares a candidate with its reference over whole videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from wildgate_build.check.matching import Differences, MatchRule
from wildgate_build.check.runners import ENGINE_SUFFIXES, Candidate, OnnxRunner, detect, open_candidate
from wildgate_build.check.verdicts import judge, require_rules, serving_thresholds
from wildgate_build.errors import ComparisonError
from wildgate_build.frames.sampled import FrameSource, video_files
from wildgate_build.standard_file import StandardFile
from wildgate_server.policy import Judgement, Policy

__all__ = [
    "Comparison",
    "EvaluationSet",
    "Tolerance",
    "VerdictChange",
    "compare_files",
    "notes_on",
    "require_match",
]


@dataclass(frozen=True)
class EvaluationSet:
    """What two detectors are compared on.

    `videos` are files and folders; the decoder and manifest of `repository` make the frames; the thresholds of
    `policy` say what counts. Boxes that overlap by `iou` are one.
    """

    videos: Sequence[Path]
    repository: Path
    policy: Policy
    iou: float = 0.5


@dataclass(frozen=True)
class Tolerance:
    """How far a candidate may be off.

    The largest difference of an edge (share of the frame's side) and of a score, the share of detections without a
    partner, and the share of videos with another verdict.
    """

    box: float = 0.02
    score: float = 0.05
    unmatched: float = 0.01
    verdict_changes: float = 0.01


@dataclass(frozen=True)
class VerdictChange:
    """A video that the two judge differently: each one's action and the labels that led to it."""

    video: str
    reference: str
    candidate: str


@dataclass
class Comparison:
    """The result; `notes` are remarks about the two files."""

    differences: Differences
    notes: list[str] = field(default_factory=list)
    videos: int = 0
    changes: list[VerdictChange] = field(default_factory=list)

    def beyond(self, tolerance: Tolerance) -> list[str]:
        """One line for each figure beyond its tolerance, with both values."""
        figures = self.differences.summary()
        changed = len(self.changes) / self.videos if self.videos else 0.0
        measured = [
            ("largest box difference", figures["box_largest"], tolerance.box),
            ("largest score difference", figures["score_largest"], tolerance.score),
            ("share of unmatched detections", figures["unmatched_share"], tolerance.unmatched),
            ("share of changed verdicts", changed, tolerance.verdict_changes),
        ]
        return [f"{name} is {value:.4g}, at most {most:g} is allowed" for name, value, most in measured if value > most]

    def summary(self) -> dict[str, object]:
        """All figures, for JSON."""
        return {
            "notes": list(self.notes),
            "videos": self.videos,
            **self.differences.summary(),
            "verdict_changes": [asdict(change) for change in self.changes],
        }


def require_match(reference: StandardFile, candidate: Candidate) -> None:
    """Raises ComparisonError when F, S, K or the labels of the two differ."""
    sizes = (reference.frames, reference.side, reference.detections)
    others = (candidate.frames, candidate.side, candidate.detections)
    differing = [
        f"{name} is {one} in {reference.path} and {other} in {candidate.path}"
        for name, one, other in zip(("F", "S", "K"), sizes, others, strict=True)
        if one != other
    ]
    labels = reference.properties.labels
    if candidate.labels is not None and candidate.labels != labels:
        differing.append(
            f"labels are {', '.join(labels)} in {reference.path} and {', '.join(candidate.labels)} in {candidate.path}"
        )
    if differing:
        raise ComparisonError("; ".join(differing))


def notes_on(reference: StandardFile, candidate: Candidate) -> list[str]:
    """Names the file an engine was built from, if that is not the reference.

    That may be intended: engines of lower precision are built from a file of that precision.
    """
    if candidate.path.suffix not in ENGINE_SUFFIXES or candidate.digest == reference.digest:
        return []
    return [f"{candidate.path}: built from another file: {candidate.digest}"]


def compare_files(
    reference: Path,
    candidate: Path,
    evaluation_set: EvaluationSet,
    open_other: Callable[[Path], AbstractContextManager[Candidate]] = open_candidate,
) -> Comparison:
    """Shows a standard file, run on the CPU, and a candidate (`open_candidate`) the same frames of all videos.

    Raises NotStandardError, FramesError, CannotRunError, EngineError, and ComparisonError when the two do not fit, the
    policy lacks a rule for a label, or neither sees anything that counts.
    """
    file = StandardFile.read(reference)
    labels, policy = file.properties.labels, evaluation_set.policy
    require_rules(policy, labels)
    rule = MatchRule(serving_thresholds(policy, labels, otherwise=1.0), evaluation_set.iou)
    source = FrameSource(evaluation_set.repository, file.frames, file.side)
    videos = video_files(evaluation_set.videos)
    differences = Differences(rule, (str(reference), str(candidate)))
    with open_other(candidate) as other:
        require_match(file, other)
        comparison = Comparison(differences, notes_on(file, other))
        runners = (OnnxRunner(reference), other.runner)
        for video in source.look_at_all(videos):
            seen, answer = (detect(runner, video.frames, file.frames) for runner in runners)
            differences.add(seen, answer)
            comparison.videos += 1
            verdicts = [_described(judge(video, rows, labels, policy)) for rows in (seen, answer)]
            if verdicts[0] != verdicts[1]:
                comparison.changes.append(VerdictChange(str(video.path), *verdicts))
    if not differences.pairs + differences.missing + differences.extra:
        raise ComparisonError(
            f"nothing was detected in {differences.frames} frames of {comparison.videos} videos; "
            "give videos that show what the detector knows"
        )
    return comparison


def _described(judgement: Judgement) -> str:
    labels = ", ".join(sorted(label.label for label in judgement.labels))
    return f"{judgement.action.name} ({labels})" if labels else judgement.action.name
