"""Detections to verdict: the rules, kept apart from the scores.

The policy file says what each label stands for, which score, shown for how many seconds, calls for which action, and
what a stretch that was not looked at calls for. It also says when a video is taken for one on the list of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from wildgate_server.accumulation import accumulate, probability
from wildgate_server.block_rules import BlockRules
from wildgate_server.persistence import ShownFrame, lasts, seconds_seen, undisputed
from wildgate_server.repository.yaml_document import read_document

__all__ = [
    "UNLOOKED",
    "Action",
    "Doubt",
    "Judgement",
    "LabelJudgement",
    "LabelRule",
    "Policy",
    "PolicyError",
    "ShownFrame",
    "Sighting",
    "View",
    "load_policy",
]

SHIPPED_POLICY = Path(__file__).with_name("policy.yaml")
_NEARLY = 0.5  # of the probability that is asked for: worth a second look
UNLOOKED = "unlooked"
"""What a verdict's labels call stretches that were not looked at."""


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
    """When a label calls for an action.

    Either a score (0 to 1) that it must reach, and for how many `seconds` in all it must be shown at that score; or the
    `probability` that what all looked-at frames say together must reach, where frames above the score speak for the
    label and those below against it.
    """

    score: Annotated[float, Field(gt=0, le=1)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    probability: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _frames_are_of_the_past(cls, fields: Any) -> Any:
        if isinstance(fields, Mapping) and "frames" in fields:
            raise ValueError("frames are no longer counted: give seconds, how long the label must be shown")
        return fields

    @model_validator(mode="after")
    def _one_measure(self) -> Threshold:
        if (self.seconds is None) == (self.probability is None):
            raise ValueError("give either seconds or probability")
        return self


class Accumulation(_Section):
    """How evidence becomes a probability: the logistic curve that `calibrate` fitted, and how far apart (seconds)
    two frames count in full.
    """

    bias: Annotated[float, Field(allow_inf_nan=False)]
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    apart_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0


class Unlooked(_Section):
    """What a stretch without a looked-at frame calls for when it is longer than both limits.

    `share` is one of the video: long videos are looked at evenly, and sparsely.
    """

    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    action: Literal["REVIEW", "BLOCK"] = "REVIEW"

    def stretches(self, view: View) -> tuple[tuple[float, float], ...]:
        """The stretches of a track, in seconds, that call for the action."""
        limit_s = max(self.seconds, self.share * (view.last_s - view.first_s))
        starts_s = [view.first_s, *(frame.time_s + frame.shown_s for frame in view.frames)]
        ends_s = [*(frame.time_s for frame in view.frames), view.last_s]
        return tuple(
            (start_s, end_s) for start_s, end_s in zip(starts_s, ends_s, strict=True) if end_s - start_s > limit_s
        )


class LabelRule(_Section):
    """One label: what it stands for and when it matters."""

    group: LabelGroup
    taxon: Annotated[str, Field(min_length=1)]
    cites_appendix: Annotated[str, Field(pattern=r"^(I|II|III)(/(I|II|III))*$|^$")]
    review: Threshold
    block: Threshold | None = None

    @model_validator(mode="after")
    def _block_counts_seconds(self) -> LabelRule:
        if self.block and (self.block.seconds is None or self.review.seconds is None):
            raise ValueError("a label that can block counts seconds, in review and block")
        return self

    @model_validator(mode="after")
    def _block_is_stricter(self) -> LabelRule:
        if self.block and self.block.score < self.review.score:
            raise ValueError(f"block.score {self.block.score} is below review.score {self.review.score}")
        return self

    @property
    def thresholds(self) -> Iterator[tuple[Action, Threshold]]:
        """What calls for an action, the gravest first."""
        if self.block:
            yield Action.BLOCK, self.block
        yield Action.REVIEW, self.review


@dataclass(frozen=True, slots=True)
class Sighting:
    """A label's score (0 to 1) in the looked-at frame shown at `time_s`."""

    label: str
    score: float
    time_s: float


@dataclass(frozen=True, slots=True)
class View:
    """What was looked at of one video track, shown from `first_s` to `last_s`: `frames`, ascending."""

    first_s: float
    last_s: float
    frames: tuple[ShownFrame, ...]
    track: int = 0

    @classmethod
    def of_frames(cls, times_s: Sequence[float], shown_s: Sequence[float]) -> View:
        """The view of a track that has no other frames than those at `times_s`, ascending, each shown for `shown_s`."""
        return cls(times_s[0], times_s[-1], tuple(map(ShownFrame, times_s, shown_s)))


@dataclass(frozen=True, slots=True)
class LabelJudgement:
    """What a label called for in a track. `frames`, `seconds` and `spans_s` are those at its review threshold.

    `spans_s` are stretches of consecutive looked-at frames. UNLOOKED has no rule, and spans without a looked-at frame.
    """

    label: str
    rule: LabelRule | None
    action: Action
    score: float
    frames: int
    seconds: float
    spans_s: tuple[tuple[float, float], ...]
    track: int = 0


@dataclass(frozen=True, slots=True)
class Doubt:
    """A sighting whose score would call for `action`, if only it were known to be shown for long enough."""

    action: Action
    score: float
    track: int
    time_s: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """The gravest action and the labels that called for one, gravest first.

    `certain` is the gravest action that holds whatever else is looked at, and `doubts` may call for a graver one;
    `action` can be graver already, where nothing disputes a doubt.
    """

    action: Action
    labels: tuple[LabelJudgement, ...]
    certain: Action = Action.ALLOW
    doubts: tuple[Doubt, ...] = ()

    @classmethod
    def of_tracks(cls, judgements: Iterable[Judgement]) -> Judgement:
        """The verdict on a video by those on its tracks."""
        each = tuple(judgements)
        certain = max((one.certain for one in each), default=Action.ALLOW)
        return cls(
            action=max((one.action for one in each), default=Action.ALLOW),
            labels=tuple(sorted((label for one in each for label in one.labels), key=_gravest_first)),
            certain=certain,
            doubts=tuple(doubt for one in each for doubt in one.doubts if doubt.action > certain),
        )


class Policy(_Section):
    """The whole policy file."""

    version: Annotated[str, Field(min_length=1)]
    accumulation: Accumulation | None = None
    unlooked: Unlooked | None = None
    blocks: BlockRules = BlockRules()
    labels: Annotated[dict[str, LabelRule], Field(min_length=1)]

    @field_validator("labels")
    @classmethod
    def _unlooked_is_no_label(cls, labels: dict[str, LabelRule]) -> dict[str, LabelRule]:
        if UNLOOKED in labels:
            raise ValueError(f"{UNLOOKED} cannot be a label: in verdicts it is a stretch that was not looked at")
        return labels

    @model_validator(mode="after")
    def _probabilities_have_a_curve(self) -> Policy:
        asking = [label for label, rule in self.labels.items() if rule.review.probability is not None]
        if asking and self.accumulation is None:
            raise ValueError(f"accumulation is missing: labels.{asking[0]}.review asks for a probability")
        return self

    def missing(self, labels: Iterable[str]) -> list[str]:
        """Those labels that the policy has no rule for."""
        return [label for label in labels if label not in self.labels]

    def judge(self, sightings: Sequence[Sighting], view: View) -> Judgement:
        """The verdict on a track by the `sightings` in its looked-at frames, which are in `view`.

        Raises KeyError for a label without a rule; `missing()` tells beforehand.
        """
        best: dict[str, dict[float, float]] = {}
        for sighting in sightings:
            frames = best.setdefault(sighting.label, {})
            frames[sighting.time_s] = max(sighting.score, frames.get(sighting.time_s, 0.0))
        each = [self._judge_label(label, scores, view) for label, scores in best.items()]
        return Judgement.of_tracks([*each, self._judge_unlooked(view)])

    def _judge_label(self, label: str, scores: dict[float, float], view: View) -> Judgement:
        rule = self.labels[label]
        if rule.review.probability is not None and self.accumulation is not None:
            return _judge_together(label, rule, self.accumulation, scores, view)
        action = certain = Action.ALLOW
        doubts: dict[float, Doubt] = {}
        for called, threshold in rule.thresholds:
            seen = _seen(scores, threshold.score, view)
            seconds = threshold.seconds or 0.0
            if lasts(view.frames, seen, seconds):
                action, certain = max(action, called), max(certain, called)
            elif certain < called and any(seen):
                if undisputed(view.frames, seen, seconds):
                    action = max(action, called)
                for time_s, score in scores.items():
                    if score >= threshold.score:
                        doubts.setdefault(time_s, Doubt(called, score, view.track, time_s))
        if action is Action.ALLOW:
            return Judgement(action, (), certain, tuple(doubts.values()))
        seen = _seen(scores, rule.review.score, view)
        judged = LabelJudgement(
            label=label,
            rule=rule,
            action=action,
            score=max(scores.values()),
            frames=sum(seen),
            seconds=seconds_seen(view.frames, seen),
            spans_s=_stretches(seen, view.frames),
            track=view.track,
        )
        return Judgement(action, (judged,), certain, tuple(doubts.values()))

    def _judge_unlooked(self, view: View) -> Judgement:
        stretches = self.unlooked.stretches(view) if self.unlooked else ()
        if not self.unlooked or not stretches:
            return Judgement(Action.ALLOW, ())
        action = Action[self.unlooked.action]
        seconds = sum(end_s - start_s for start_s, end_s in stretches)
        return Judgement(
            action, (LabelJudgement(UNLOOKED, None, action, 0.0, 0, seconds, stretches, view.track),), action
        )


def _judge_together(
    label: str, rule: LabelRule, curve: Accumulation, scores: Mapping[float, float], view: View
) -> Judgement:
    """REVIEW where all looked-at frames together make the label probable; a doubt where they nearly do."""
    each = [scores.get(frame.time_s, 0.0) for frame in view.frames]
    together = accumulate(view.frames, each, rule.review.score, curve.apart_s)
    wanted = rule.review.probability or 1.0
    if together is None:
        return Judgement(Action.ALLOW, ())
    likely = probability(together.evidence, curve.bias, curve.weight)
    if likely < wanted:
        best = max(scores, key=lambda time_s: (scores[time_s], -time_s))
        doubtful = likely >= wanted * _NEARLY
        doubts = (Doubt(Action.REVIEW, scores[best], view.track, best),) if doubtful else ()
        return Judgement(Action.ALLOW, (), doubts=doubts)
    seen = [together.first <= at <= together.last and score >= rule.review.score for at, score in enumerate(each)]
    judged = LabelJudgement(
        label=label,
        rule=rule,
        action=Action.REVIEW,
        score=likely,
        frames=sum(seen),
        seconds=seconds_seen(view.frames, seen),
        spans_s=_stretches(seen, view.frames),
        track=view.track,
    )
    return Judgement(Action.REVIEW, (judged,), Action.REVIEW)


def _gravest_first(judged: LabelJudgement) -> tuple[int, float, str, int]:
    return -judged.action, -judged.score, judged.label, judged.track


def _seen(scores: Mapping[float, float], threshold: float, view: View) -> list[bool]:
    return [scores.get(frame.time_s, 0.0) >= threshold for frame in view.frames]


def _stretches(seen: Sequence[bool], frames: Sequence[ShownFrame]) -> tuple[tuple[float, float], ...]:
    spans: list[tuple[float, float]] = []
    previous = False
    for here, frame in zip(seen, frames, strict=True):
        if here:
            spans.append((spans.pop()[0] if previous else frame.time_s, frame.time_s))
        previous = here
    return tuple(spans)


def load_policy(file: Path = SHIPPED_POLICY) -> Policy:
    """Reads and validates a policy file.

    Raises PolicyError naming each field at fault and its value.
    """
    return read_document(file, Policy, PolicyError)
