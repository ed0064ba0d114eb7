"""The evaluation's figures: clips with a known truth, scored, counted and held against limits."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from wildgate_detector.filming import Kind, LabelledClip
from wildgate_detector.labels import ANIMALS

LEAST_RECALL: Final = 0.90
MOST_FALSE_ALARMS: Final = 0.01
MOST_MISLED: Final = 0.01
MOST_WRONG_ANIMALS: Final = 0.02
LEAST_DISTURBED_RECALL: Final = 0.85
LEAST_MAP50: Final = 0.85


class ClipScorer(Protocol):
    """Scores one video file: the seam between the evaluation and what is evaluated."""

    def __call__(self, path: Path) -> set[str]:
        """The labels that call for an action in the video at `path`."""
        ...


@dataclass
class Tally:
    """What came out, by label: `shown` in clips, `found` there, `wrong` where it was not shown.

    `quiet` counts clips without any label, by kind, `alarmed` those of them in which a product was found, and `animals`
    those in which a live animal was: cut-outs before painted backdrops, which are no photographs.
    """

    shown: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    quiet: Counter[Kind] = field(default_factory=Counter)
    alarmed: Counter[Kind] = field(default_factory=Counter)
    animals: Counter[Kind] = field(default_factory=Counter)

    def add(self, clip: LabelledClip, got: set[str]) -> None:
        """Count one clip, in which `got` was found."""
        wanted = set(clip.labels)
        self.shown.update(wanted)
        self.found.update(wanted & got)
        self.wrong.update(got - wanted)
        if not wanted:
            self.quiet[clip.kind] += 1
            self.alarmed[clip.kind] += bool(got - set(ANIMALS))
            self.animals[clip.kind] += bool(got & set(ANIMALS))

    @property
    def recall(self) -> float:
        """Of all labels shown in clips, the share that was found."""
        return self.found.total() / max(1, self.shown.total())

    def false_alarms(self, kind: Kind) -> float:
        """Of all clips of a kind without a label, the share in which a product was found."""
        return self.alarmed[kind] / max(1, self.quiet[kind])

    @property
    def wrong_animals(self) -> float:
        """Of all clips without a label, the share in which a live animal was found."""
        return self.animals.total() / max(1, self.quiet.total())


def evaluate(
    scorer: ClipScorer, clips: Iterable[LabelledClip], on_clip: Callable[[LabelledClip, set[str]], None]
) -> Tally:
    """Score every clip and count; `on_clip` hears of each clip and the labels found in it."""
    tally = Tally()
    for clip in clips:
        got = scorer(clip.path)
        tally.add(clip, got)
        on_clip(clip, got)
    return tally


@dataclass(frozen=True)
class Figure:
    """A measured figure held against its aim: at least (`more_is_better`) or at most."""

    name: str
    value: float
    aim: float
    more_is_better: bool = True
    counted: str = ""

    @property
    def met(self) -> bool:
        """Whether the aim is met."""
        return self.value >= self.aim if self.more_is_better else self.value <= self.aim

    def __str__(self) -> str:
        bound = "at least" if self.more_is_better else "at most"
        line = f"{self.name:34} {self.value:.3f}   {bound} {self.aim:.2f}   {'met' if self.met else 'MISSED'}"
        return f"{line}   ({self.counted})" if self.counted else line


def frame_figure(map50: float, frames: int) -> Figure:
    """mAP50 of products over so many composed frames."""
    return Figure("mAP50", map50, LEAST_MAP50, counted=f"{frames} frames")


def clip_figures(tally: Tally) -> list[Figure]:
    """Recall and false alarms of the undisturbed clips, for the kinds that were there."""
    figures = []
    if tally.shown:
        counted = f"{tally.found.total()} of {tally.shown.total()} labels"
        figures.append(Figure("video-level recall", tally.recall, LEAST_RECALL, counted=counted))
    limits = {Kind.HARMLESS: MOST_FALSE_ALARMS, Kind.MISLEADING: MOST_MISLED}
    for kind, aim in limits.items():
        if tally.quiet[kind]:
            counted = f"{tally.alarmed[kind]} of {tally.quiet[kind]} clips"
            name = f"false alarms, {kind} clips"
            figures.append(Figure(name, tally.false_alarms(kind), aim, more_is_better=False, counted=counted))
    if quiet := tally.quiet.total():
        counted = f"{tally.animals.total()} of {quiet} clips"
        name, share = "live animals where none is", tally.wrong_animals
        figures.append(Figure(name, share, MOST_WRONG_ANIMALS, more_is_better=False, counted=counted))
    return figures


def disturbed_figure(name: str, tally: Tally) -> Figure:
    """Recall of clips under the disturbance `name`."""
    counted = f"{tally.found.total()} of {tally.shown.total()} labels"
    return Figure(f"recall, {name}", tally.recall, LEAST_DISTURBED_RECALL, counted=counted)
