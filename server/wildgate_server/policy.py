"""Detections to verdict: the rules, kept apart from the scores.

The policy file says what each label stands for and which score, in how many looked-at frames, calls for which action.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wildgate_server.repository.yaml_document import read_document

__all__ = [
    "Action",
    "Judgement",
    "LabelJudgement",
    "LabelRule",
    "Policy",
    "PolicyError",
    "Sighting",
    "load_policy",
]

SHIPPED_POLICY = Path(__file__).with_name("policy.yaml")


class PolicyError(ValueError):
    """The policy file cannot be read or breaks a rule; the text names file, field and value."""


class Action(IntEnum):
    """What is to be done with a video; a graver action is a higher number."""

    ALLOW = 1
    REVIEW = 2
    BLOCK = 3


class LabelGroup(StrEnum):
    """What kind of thing a label stands for."""

    LIVE_ANIMAL = "live_animal"
    PRODUCT = "product"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Threshold(_Section):
    """A score (0 to 1) that must be reached in at least `frames` looked-at frames."""

    score: Annotated[float, Field(gt=0, le=1)]
    frames: Annotated[int, Field(ge=1)]

    def met_by(self, scores: Iterable[float], looked_at: int) -> bool:
        """Whether enough of a label's best scores per frame reach it, of `looked_at` frames in all."""
        return sum(score >= self.score for score in scores) >= min(self.frames, looked_at)


class LabelRule(_Section):
    """One label: what it stands for and when it matters."""

    group: LabelGroup
    taxon: Annotated[str, Field(min_length=1)]
    cites_appendix: Annotated[str, Field(pattern=r"^(I|II|III)(/(I|II|III))*$|^$")]
    review: Threshold
    block: Threshold | None = None

    @model_validator(mode="after")
    def _block_is_stricter(self) -> LabelRule:
        if self.block and self.block.score < self.review.score:
            raise ValueError(f"block.score {self.block.score} is below review.score {self.review.score}")
        return self

    def action(self, scores: Sequence[float], looked_at: int) -> Action:
        """What a label's best scores per frame call for."""
        if self.block and self.block.met_by(scores, looked_at):
            return Action.BLOCK
        return Action.REVIEW if self.review.met_by(scores, looked_at) else Action.ALLOW


@dataclass(frozen=True, slots=True)
class Sighting:
    """A label's score (0 to 1) in the looked-at frame shown at `time_s`."""

    label: str
    score: float
    time_s: float


@dataclass(frozen=True, slots=True)
class LabelJudgement:
    """What a label called for. `spans_s` are stretches of consecutive looked-at frames at its review threshold."""

    label: str
    rule: LabelRule
    action: Action
    score: float
    frames: int
    spans_s: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The gravest action and the labels that called for one, gravest first."""

    action: Action
    labels: tuple[LabelJudgement, ...]


class Policy(_Section):
    """The whole policy file."""

    version: Annotated[str, Field(min_length=1)]
    labels: Annotated[dict[str, LabelRule], Field(min_length=1)]

    def missing(self, labels: Iterable[str]) -> list[str]:
        """Those labels that the policy has no rule for."""
        return [label for label in labels if label not in self.labels]

    def judge(self, sightings: Sequence[Sighting], looked_at_s: Sequence[float]) -> Judgement:
        """The verdict on a video looked at at `looked_at_s` (ascending seconds), where `sightings` were made.

        Raises KeyError for a label without a rule; `missing()` tells beforehand.
        """
        best: dict[str, dict[float, float]] = {}
        for sighting in sightings:
            frames = best.setdefault(sighting.label, {})
            frames[sighting.time_s] = max(sighting.score, frames.get(sighting.time_s, 0.0))
        judged = (self._judge_label(label, frames, looked_at_s) for label, frames in best.items())
        called = sorted(
            (label for label in judged if label.action is not Action.ALLOW),
            key=lambda label: (-label.action, -label.score, label.label),
        )
        return Judgement(max((label.action for label in called), default=Action.ALLOW), tuple(called))

    def _judge_label(self, label: str, scores: dict[float, float], looked_at_s: Sequence[float]) -> LabelJudgement:
        rule = self.labels[label]
        seen = [scores.get(time_s, 0.0) >= rule.review.score for time_s in looked_at_s]
        return LabelJudgement(
            label=label,
            rule=rule,
            action=rule.action(list(scores.values()), len(looked_at_s)),
            score=max(scores.values()),
            frames=sum(seen),
            spans_s=_stretches(seen, looked_at_s),
        )


def _stretches(seen: Sequence[bool], times_s: Sequence[float]) -> tuple[tuple[float, float], ...]:
    spans: list[tuple[float, float]] = []
    previous = False
    for here, time_s in zip(seen, times_s, strict=True):
        if here:
            spans.append((spans.pop()[0] if previous else time_s, time_s))
        previous = here
    return tuple(spans)


def load_policy(file: Path = SHIPPED_POLICY) -> Policy:
    """Reads and validates a policy file.

    Raises PolicyError naming each field at fault and its value.
    """
    return read_document(file, Policy, PolicyError)
