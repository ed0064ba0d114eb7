"""The evaluation: fresh clips with a known truth, scored, counted and held against two limits."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wildgate_build.reference.clips import compose_clip
from wildgate_build.reference.encoding import Encoding, write_video
from wildgate_build.reference.labels import LABELS
from wildgate_build.reference.props import PropRoom
from wildgate_build.reference.seeds import Purpose, stream

LEAST_RECALL = 0.90
MOST_FALSE_ALARMS = 0.05
FEWEST_CLIPS = 60
PROP_SIDE = 320
"""Rendered props are drawn so large (pixels) for clips."""


class ClipScorer(Protocol):
    """Scores one video file: the seam between the evaluation and what is evaluated."""

    def __call__(self, path: Path) -> set[str]:
        """The labels that call for an action in the video at `path`."""
        ...


@dataclass(frozen=True)
class Trial:
    """A clip on disk and the labels it shows."""

    path: Path
    labels: tuple[str, ...]


@dataclass
class Tally:
    """What came out, by label: `shown` in clips, `found` there, `wrong` where it was not shown."""

    shown: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    harmless_clips: int = 0
    alarmed_clips: int = 0

    def add(self, wanted: tuple[str, ...], got: set[str]) -> None:
        """Count one clip that shows `wanted` and in which `got` was found."""
        self.shown.update(wanted)
        self.found.update(set(wanted) & got)
        self.wrong.update(got - set(wanted))
        if not wanted:
            self.harmless_clips += 1
            self.alarmed_clips += bool(got)

    @property
    def recall(self) -> float:
        """Of all labels shown in clips, the share that was found."""
        return self.found.total() / max(1, self.shown.total())

    @property
    def false_alarms(self) -> float:
        """Of all clips without a label, the share in which one was found."""
        return self.alarmed_clips / max(1, self.harmless_clips)

    @property
    def passed(self) -> bool:
        """Whether both limits are kept."""
        return self.recall >= LEAST_RECALL and self.false_alarms <= MOST_FALSE_ALARMS


def trials(
    folder: Path, props: PropRoom, clips: int, seed: int, purpose: Purpose = Purpose.EVALUATE
) -> Iterator[Trial]:
    """Compose and encode clips into `folder`: every other one shows one or two labels, in turn.

    Raises:
        ValueError: fewer than 2 clips.
        StampsMissingError: the material is not installed.
    """
    if clips < 2:
        raise ValueError(f"an evaluation needs at least 2 clips, got {clips}")
    turn = 0
    for index in range(clips):
        rng = stream(purpose, seed, index)
        labels: tuple[str, ...] = ()
        if index % 2 == 0:
            count = 1 + (index // 2) % 2
            labels = tuple(LABELS[(turn + step) % len(LABELS)] for step in range(count))
            turn += count
        clip = compose_clip(rng, props, labels)
        path = folder / f"clip_{index:03d}.mp4"
        quality = int(rng.integers(22, 32))
        encoding = Encoding(quality=quality, keyframe_every=2 * clip.form.fps)
        write_video(path, clip.frames(rng), clip.form.fps, encoding)
        yield Trial(path, labels)


def evaluate(scorer: ClipScorer, source: Iterator[Trial], on_clip: Callable[[Trial, set[str]], None]) -> Tally:
    """Score every trial and count; `on_clip` hears of each clip and the labels found in it."""
    tally = Tally()
    for trial in source:
        got = scorer(trial.path)
        tally.add(trial.labels, got)
        on_clip(trial, got)
    return tally


def average_precision(scores: NDArray[np.float64], hits: NDArray[np.bool_], wanted: int) -> float:
    """Area under the precision-recall curve (all points), for one label."""
    if wanted == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hit = hits[order].astype(float)
    recall = np.cumsum(hit) / wanted
    precision = np.cumsum(hit) / np.arange(1, hit.size + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
