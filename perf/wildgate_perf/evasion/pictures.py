"""What the videos show: frames of the project's own samples, small, and how to tell the two kinds apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

__all__ = ["FPS", "HEIGHT", "WIDTH", "Scene", "enlarged", "luma_of", "shows_contraband"]

Picture = npt.NDArray[np.uint8]
"""FFmpeg's yuv420p as it lies in memory: [HEIGHT * 3 / 2, WIDTH]."""
Thumbnails = npt.NDArray[np.float32]
"""One or several, [..., pixels]."""

WIDTH, HEIGHT = 320, 180  # as large as the shipped detector sees them
FPS = 24  # of the samples that are used

_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_CONTRABAND = ("tusks_on_a_table.mp4",)
_HARMLESS = ("fruit_and_horns.mp4", "ordinary_animals.mp4")
_ALIKE = 6.0  # grey levels by which a coded picture's thumbnail may differ from what was coded, on average
_VISIBLE = 0.5  # of opacity
_NOISE = 3.0  # grey levels, as of a phone's sensor


@dataclass(frozen=True)
class Scene:
    """The pictures of one video: which samples, from where on, and whether mirrored, all drawn from `seed`."""

    contraband: str
    harmless: tuple[str, ...]
    offset: int
    mirrored: bool

    @classmethod
    def drawn(cls, seed: int) -> Scene:
        """The scene of a seed."""
        draw = np.random.default_rng(seed)
        harmless = tuple(str(name) for name in draw.permutation(_HARMLESS))
        return cls(str(draw.choice(_CONTRABAND)), harmless, int(draw.integers(100)), bool(draw.integers(2)))

    def picture(self, number: int, opacity: float, harmless: int = 0) -> Picture:
        """Frame `number`: contraband of this opacity (0 to 1) over the harmless clip of this place."""
        below = self._frame(self.harmless[harmless], number)
        if not opacity:
            return below
        above = self._frame(self.contraband, number)
        parts = round(256 * opacity)
        mixed = (above.astype(np.uint16) * parts + below.astype(np.uint16) * (256 - parts)) >> 8
        return mixed.astype(np.uint8)

    def _frame(self, sample: str, number: int) -> Picture:
        """Forwards and backwards in turn: where a clip started again from its first frame, there would be a cut."""
        frames = _frames(sample, self.mirrored)
        there_and_back = (number + self.offset) % (2 * len(frames) - 2)
        return frames[min(there_and_back, 2 * len(frames) - 2 - there_and_back)]


def enlarged(picture: Picture, size: tuple[int, int], number: int) -> av.VideoFrame:
    """The picture as frame `number` of a video of `size`, width and height; with a sensor's noise where that is larger:
    without, hardly anything were left to code."""
    frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
    if size == (WIDTH, HEIGHT):
        return frame
    width, height = size
    planes = frame.reformat(width, height).to_ndarray()
    down, right = np.random.default_rng(number).integers(64, size=2)
    noise = _noise(width + 64, height + 64)[down : down + height, right : right + width]
    planes[:height] = (planes[:height] + noise).clip(0, 255)
    return av.VideoFrame.from_ndarray(planes, "yuv420p")


def luma_of(frame: av.VideoFrame) -> Picture:
    """A decoded frame's luma [HEIGHT, WIDTH], as coded: not stretched to a full range."""
    return frame.to_ndarray(format="yuv420p", width=WIDTH, height=HEIGHT)[:HEIGHT].astype(np.uint8, copy=False)


def shows_contraband(luma: Picture) -> bool:
    """Whether in a decoded picture's luma [HEIGHT, WIDTH] contraband has about half the opacity or more.

    The picture is taken for the mixture of a contraband and a harmless frame that is nearest to it; a damaged one is
    near none, or flat.
    """
    below, above = _pairs()
    thumbnail = _thumbnail(luma)
    seen, added = thumbnail - below, above - below
    opacity = ((seen * added).sum(axis=1) / (added * added).sum(axis=1)).clip(0, 1)
    apart = np.abs(seen - opacity[:, None] * added).mean(axis=1)
    nearest = int(apart.argmin())
    mixture = below[nearest] + opacity[nearest] * added[nearest]
    flat = thumbnail.std() < mixture.std() / 2
    return bool(apart[nearest] < _ALIKE and opacity[nearest] > _VISIBLE and not flat)


@cache
def _frames(sample: str, mirrored: bool) -> tuple[Picture, ...]:
    with av.open(str(_SAMPLES / sample), "r") as clip:
        rgb = [frame.to_ndarray(format="rgb24", width=WIDTH, height=HEIGHT) for frame in clip.decode(video=0)]
    turned = [np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture for picture in rgb]
    return tuple(
        av.VideoFrame.from_ndarray(picture, "rgb24").to_ndarray(format="yuv420p").astype(np.uint8) for picture in turned
    )


@cache
def _noise(width: int, height: int) -> npt.NDArray[np.int16]:
    return np.random.default_rng(0).normal(0, _NOISE, (height, width)).astype(np.int16)


@cache
def _pairs() -> tuple[Thumbnails, Thumbnails]:
    """Thumbnails of harmless frames, and beside each one of contraband, all with all."""
    pairs = [
        (_thumbnail(below[:HEIGHT]), _thumbnail(above[:HEIGHT]))
        for mirrored in (False, True)
        for harmless, contraband in product(_HARMLESS, _CONTRABAND)
        for below, above in product(_frames(harmless, mirrored)[::12], _frames(contraband, mirrored)[::12])
    ]
    below, above = zip(*pairs, strict=True)
    return np.stack(below), np.stack(above)


def _thumbnail(luma: Picture) -> Thumbnails:
    blocks = luma.reshape(HEIGHT // 20, 20, WIDTH // 20, 20).astype(np.float32)
    return np.asarray(blocks.mean(axis=(1, 3)).ravel(), np.float32)
