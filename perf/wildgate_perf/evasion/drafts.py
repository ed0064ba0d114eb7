"""A video before it is encoded: how long, how often a keyframe, and how much of the contraband each frame shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wildgate_perf.evasion.pictures import FPS, HEIGHT, WIDTH, Picture, Scene

__all__ = ["Draft", "Form", "Shape", "Shot", "cross_faded", "cut", "decoyed", "faded", "flashed"]

SHOWN = 0.5
"""From this opacity on, a viewer is shown the contraband."""


@dataclass(frozen=True)
class Form:
    """What a video is like apart from what its pictures show.

    `cut_every_s`: how often the harmless part changes its scene. `size` is width and height in pixels.
    """

    seconds: float = 12.0
    fps: int = FPS
    keyframe_every_s: float = 2.0
    cut_every_s: float | None = None
    size: tuple[int, int] = (WIDTH, HEIGHT)

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return round(self.seconds * self.fps)

    @property
    def times_bytes(self) -> float:
        """How many times as many bytes larger pictures take for the same quality, by rule of thumb."""
        return float((self.size[0] * self.size[1] / (WIDTH * HEIGHT)) ** 0.75)

    @property
    def keyframe_interval(self) -> int:
        """Frames from one keyframe to the next."""
        return round(self.keyframe_every_s * self.fps)


@dataclass(frozen=True)
class Shot:
    """Where the contraband begins, and in how many frames it is shown."""

    start: int
    frames: int


Shape = Callable[[int, Shot, Form], float]
"""The contraband's opacity (0 to 1) in the frame of a number."""


def cut(number: int, shot: Shot, form: Form) -> float:
    """There from one frame to the next, and gone likewise."""
    return float(0 <= number - shot.start < shot.frames)


def decoyed(number: int, shot: Shot, form: Form) -> float:
    """The same, but for keyframes, all of which are harmless."""
    return cut(number, shot, form) if number % form.keyframe_interval else 0.0


def flashed(number: int, shot: Shot, form: Form) -> float:
    """Every second frame, none of which is a keyframe."""
    return cut(number, Shot(shot.start, 2 * shot.frames), form) * (number % 2)


def faded(number: int, shot: Shot, form: Form) -> float:
    """In and out so slowly that no frame differs from the one before; shown from half opacity to half opacity."""
    return _ramp(number, shot, 2 * form.fps)


def cross_faded(number: int, shot: Shot, form: Form) -> float:
    """In and out within a second each."""
    return _ramp(number, shot, form.fps)


def _ramp(number: int, shot: Shot, length: int) -> float:
    inside = min(number - shot.start, shot.start + shot.frames - 1 - number)  # 0 at the first and last frame shown
    return min(max(SHOWN + inside / length, 0.0), 1.0) if shot.frames else 0.0


@dataclass(frozen=True)
class Draft:
    """A video to be encoded with FFmpeg's `encoder`; `opacity` is the contraband's, of each frame."""

    form: Form
    encoder: str
    scene: Scene
    opacity: tuple[float, ...]

    @classmethod
    def of(cls, form: Form, encoder: str, scene: Scene, shape: Shape, shot: Shot) -> Draft:
        """With the contraband where `shot` says, as `shape` shows it."""
        return cls(form, encoder, scene, tuple(shape(number, shot, form) for number in range(form.frames)))

    @property
    def shown(self) -> list[int]:
        """The frames that show contraband."""
        return [number for number, opacity in enumerate(self.opacity) if opacity >= SHOWN]

    def picture(self, number: int) -> Picture:
        """What frame `number` shows."""
        every_s = self.form.cut_every_s
        harmless = int(number / self.form.fps / every_s) % 2 if every_s else 0
        return self.scene.picture(number, self.opacity[number], harmless)
