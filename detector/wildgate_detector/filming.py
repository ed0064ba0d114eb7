"""The clips of an evaluation or a calibration: what each is to show, and filming them side by side."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2

from wildgate_detector.clips import compose_clip
from wildgate_detector.disturbances import Disturbance, disturb
from wildgate_detector.encoding import Encoding, write_video
from wildgate_detector.labels import PRODUCTS, STAGED
from wildgate_detector.props import PropRoom
from wildgate_detector.scenes import MISLEADING, ORDINARY
from wildgate_detector.seeds import Purpose, stream
from wildgate_detector.stamps import load_stamps

PROP_SIDE: Final = 320
"""The size in pixels at which props are rendered for clips."""


class Kind(StrEnum):
    """What a clip is for."""

    SHOWING = "showing"
    """It shows one or two labels, among other things."""
    HARMLESS = "harmless"
    """It shows no label, but things, other animals and look-alikes as they come."""
    MISLEADING = "misleading"
    """It shows nothing but drawn look-alikes and other animals."""


@dataclass(frozen=True)
class Recipe:
    """What to film: the seed and `index` choose everything but the kind and the labels."""

    purpose: Purpose
    seed: int
    index: int
    kind: Kind
    labels: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The clip's file name."""
        return f"{self.kind}_{self.index:04d}.mp4"


@dataclass(frozen=True)
class LabelledClip:
    """A clip on disk, the labels it shows and what it is for."""

    path: Path
    labels: tuple[str, ...]
    kind: Kind = Kind.SHOWING


@dataclass(frozen=True)
class ClipPlan:
    """How many clips of each kind to film, from which `seed`."""

    seed: int
    showing: int
    harmless: int
    misleading: int
    purpose: Purpose = Purpose.EVALUATE

    def recipes(self) -> list[Recipe]:
        """Every clip's recipe. Clips show one and two labels by turns, and the labels take turns, too.

        Cut-outs of live animals before painted backdrops are no photographs: only quantisation wants them.
        """
        shown = STAGED if self.purpose is Purpose.QUANTISE else PRODUCTS
        made, turn = [], 0
        for index in range(self.showing):
            count = 1 + index % 2
            labels = tuple(shown[(turn + step) % len(shown)] for step in range(count))
            turn += count
            made.append(Recipe(self.purpose, self.seed, index, Kind.SHOWING, labels))
        quiet = ((Kind.HARMLESS, self.harmless), (Kind.MISLEADING, self.misleading))
        for kind, clips in quiet:
            made += [Recipe(self.purpose, self.seed, len(made) + step, kind) for step in range(clips)]
        return made


class Filmer:
    """Films recipes, in this process."""

    def __init__(self, props: PropRoom) -> None:
        self._props = props

    def film(self, recipe: Recipe, folder: Path, *, whole: bool = True) -> LabelledClip:
        """Film one clip into `folder`: `whole`, or only the frames that will be looked at, as keyframes.

        Raises:
            RuntimeError: no arrangement shows all labels long enough.
        """
        rng = stream(recipe.purpose, recipe.seed, recipe.index)
        mix = MISLEADING if recipe.kind is Kind.MISLEADING else ORDINARY
        clip = compose_clip(rng, self._props, recipe.labels, negatives=mix)
        quality = int(rng.integers(22, 32))
        path = folder / recipe.file
        if whole:
            encoding = Encoding(quality=quality, keyframe_every=2 * clip.form.fps)
            write_video(path, clip.frames(rng), clip.form.fps, encoding)
        else:
            write_video(path, clip.looked_at(rng), 1, Encoding(quality=quality, keyframe_every=1))
        return LabelledClip(path, recipe.labels, recipe.kind)


_here: list[Filmer] = []
"""The filmer of a worker process."""


def _open_filmer() -> None:
    cv2.setNumThreads(1)
    _here.append(Filmer(PropRoom(load_stamps(), PROP_SIDE)))


def _film(recipe: Recipe, folder: Path, whole: bool) -> LabelledClip:
    return _here[0].film(recipe, folder, whole=whole)


def _disturb(clip: LabelledClip, disturbance: Disturbance, turn: int) -> LabelledClip:
    target = clip.path.with_name(f"{clip.path.stem}_{disturbance.file_word}.mp4")
    disturb(clip.path, target, disturbance, turn)
    return replace(clip, path=target)


class FilmingPool:
    """Films in several processes."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool

    def film(self, recipes: Sequence[Recipe], folder: Path, *, whole: bool = True) -> Iterator[LabelledClip]:
        """Film `recipes` into `folder`, in their order; each is there as soon as it is filmed."""
        jobs = len(recipes)
        return self.pool.map(_film, recipes, [folder] * jobs, [whole] * jobs)

    def disturb(self, clips: Sequence[LabelledClip], disturbance: Disturbance) -> Iterator[LabelledClip]:
        """Write a disturbed copy of every clip beside it, in their order."""
        return self.pool.map(_disturb, clips, [disturbance] * len(clips), range(len(clips)))


@contextmanager
def filming_pool(processes: int) -> Iterator[FilmingPool]:
    """That many processes, which end with the context.

    Raises:
        StampsMissingError: the material is not installed.
        ValueError: `processes` is not positive.
    """
    load_stamps()
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_open_filmer)
    with pool:
        yield FilmingPool(pool)
        pool.shutdown(wait=True, cancel_futures=True)
