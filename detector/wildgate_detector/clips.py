"""Short composed videos with a known truth: what is to be seen in them, and when."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wildgate_detector.layers import Layer, paint_layers
from wildgate_detector.props import PropRoom
from wildgate_detector.scenes import (
    ORDINARY,
    NegativeMix,
    Scene,
    any_camera,
    any_caption,
    place_label,
    place_negative,
    spread,
)
from wildgate_detector.surfaces import Picture, background

CLEARLY_VISIBLE = 0.65
"""An object counts as shown while at least this share of it is in sight."""
UNOBSTRUCTED = 0.85
"""In a composed clip at least this share of what is labelled is in sight for most of the time."""
SMALL_SIDE = 240
LABEL_SIZES = (0.3, 0.85)
NEGATIVE_SIZES = (0.2, 0.75)
"""Longest sides of what a clip shows, as shares of the frame's shorter side."""
PAN_ROOM = 1.12
"""A backdrop is this many times larger than the frame, so that the camera can pan."""

Spans = dict[str, list[tuple[float, float]]]
"""Label to the seconds (start, end) in which it is shown."""


@dataclass(frozen=True)
class ClipFormat:
    """`width` by `height` pixels, even numbers; `fps` frames per second; `duration_s` seconds."""

    width: int
    height: int
    fps: int
    duration_s: float

    @property
    def frames(self) -> int:
        """How many frames the clip has."""
        return max(1, round(self.fps * self.duration_s))


@dataclass(frozen=True)
class Clip:
    """A video that can be drawn."""

    scene: Scene
    form: ClipFormat

    def frames(self, rng: np.random.Generator) -> Iterator[Picture]:
        """Draw frame after frame, RGB [height, width, 3]; `rng` makes the camera's grain."""
        for index in range(self.form.frames):
            yield self.scene.draw(index / self.form.fps, rng)[0]

    def looked_at(self, rng: np.random.Generator, gap_s: float = 2.0) -> Iterator[Picture]:
        """Draw only the frames that sampling picks when keyframes lie `gap_s` seconds apart."""
        step = max(1, round(gap_s * self.form.fps))
        for index in range(0, self.form.frames, step):
            yield self.scene.draw(index / self.form.fps, rng)[0]

    def truth(self, step_s: float = 0.25) -> Spans:
        """When each label is clearly visible, looked up every `step_s` seconds."""
        return spans_of(self.scene.layers, self.form, step_s, CLEARLY_VISIBLE)


def spans_of(layers: list[Layer], form: ClipFormat, step_s: float, least_visible: float) -> Spans:
    """When each label has at least the share `least_visible` in sight; painted small, for that is enough."""
    shrink = SMALL_SIDE / max(form.width, form.height)
    canvas = np.zeros((round(form.height * shrink), round(form.width * shrink), 3), np.uint8)
    end = (form.frames - 1) / form.fps
    spans: Spans = {}
    for time_s in np.append(np.arange(0, end, step_s), end):
        seen = paint_layers(canvas, layers, float(time_s))
        for label in sorted({item.label for item in seen if item.visible >= least_visible}):
            known = spans.setdefault(label, [])
            if known and time_s - known[-1][1] <= step_s * 1.5:
                known[-1] = (known[-1][0], round(float(time_s), 2))
            else:
                known.append((round(float(time_s), 2), round(float(time_s), 2)))
    return spans


FORMATS = ((640, 360), (360, 640), (480, 360), (480, 480), (360, 480), (640, 480))


def any_format(rng: np.random.Generator) -> ClipFormat:
    """A size and length as short videos have them (4 to 8 seconds).

    The rate is low, 5 to 8 frames per second: a frame that no one looks at is costly to draw and tells nothing.
    """
    width, height = FORMATS[rng.integers(0, len(FORMATS))]
    return ClipFormat(width, height, int(rng.choice((5, 6, 8))), float(rng.uniform(4, 8)))


def filmed(rng: np.random.Generator, props: PropRoom, form: ClipFormat, layers: list[Layer]) -> Clip:
    """Put `layers` before a new backdrop and a camera by chance."""
    size = round(form.height * PAN_ROOM), round(form.width * PAN_ROOM)
    backdrop = background(rng, size[0], size[1], props.stamps.distractors)
    scene = Scene(backdrop, layers, any_camera(rng), any_caption(rng), form.height, form.width)
    return Clip(scene, form)


def compose_clip(
    rng: np.random.Generator,
    props: PropRoom,
    labels: Sequence[str],
    *,
    negatives: NegativeMix = ORDINARY,
    tries: int = 40,
) -> Clip:
    """Compose a clip that shows every one of `labels` unobstructed for most of its time, among other things.

    Without labels it shows one to three things that no label covers, of the mix `negatives`.

    Raises:
        RuntimeError: no arrangement in `tries` shows all labels long enough.
    """
    form = any_format(rng)
    for _ in range(tries):
        layers = [
            place_negative(rng, props, NEGATIVE_SIZES, moving=True, mix=negatives)
            for _ in range(rng.integers(0, 3) if labels else rng.integers(1, 4))
        ]
        for label in labels:
            shown = place_label(rng, props, label, LABEL_SIZES, moving=True)
            layers.insert(int(rng.integers(len(layers) // 2, len(layers) + 1)), shown)
        layers = spread(rng, layers, form.height, form.width)
        spans = spans_of(layers, form, form.duration_s / 8, UNOBSTRUCTED)
        shown_s = {label: sum(end - start for start, end in times) for label, times in spans.items()}
        if all(shown_s.get(label, 0.0) >= form.duration_s * 0.6 for label in labels):
            return filmed(rng, props, form, layers)
    raise RuntimeError(f"found no arrangement that shows {', '.join(labels)}")
