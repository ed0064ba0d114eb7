"""What an uploader does to a video so that it is not recognised: pictures changed, and encoded anew."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["CUT_S", "EDITS", "Edit", "Footage"]

CUT_S = 0.7
"""What is cut off at the beginning; of a short video less than three seconds may be left."""

_LONGER_SIDE = 480
_MOST_S = 6.0
_MOST_FPS = 15.0

Picture = npt.NDArray[np.uint8]
Pictures = Sequence[Picture]


@dataclass(frozen=True)
class Footage:
    """A video's frames as they are displayed, RGB [n, height, width, 3], and how many there are in a second."""

    frames: Sequence[Picture]
    fps: float

    @classmethod
    def of(cls, file: Path) -> Footage:
        """The first seconds of a file, no larger than phones upload. Raises av.FFmpegError."""
        with av.open(str(file), "r") as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate or stream.guessed_rate or 25)
            frames: list[Picture] = []
            every = max(round(fps / _MOST_FPS), 1)
            for number, frame in enumerate(container.decode(stream)):
                if number >= _MOST_S * fps:
                    break
                if number % every:
                    continue
                scale = min(_LONGER_SIDE / max(frame.width, frame.height), 1.0)
                size = (max(round(frame.width * scale), 16), max(round(frame.height * scale), 16))
                turned: Any = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                width, height = size if turned.shape[1] == frame.width else size[::-1]
                frames.append(cv2.resize(turned, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8))
        return cls(frames, fps / every)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.frames) / self.fps


@dataclass(frozen=True)
class Edit:
    """A disguise: pictures are changed, what comes before `cut_s` is left out, it plays `speed` times as fast.

    `blocked`: it is still to be recognised. Aims are for disguises that are `asked` for.
    """

    name: str
    change: Callable[[Pictures], Pictures] = lambda pictures: pictures
    speed: float = 1.0
    cut_s: float = 0.0
    crf: int = 26
    asked: bool = False
    blocked: bool = True

    def encoded(self, footage: Footage) -> bytes:
        """The disguised video as an MP4 file."""
        output = io.BytesIO()
        frames = footage.frames[round(self.cut_s * footage.fps) :] or footage.frames[-1:]
        with av.open(output, "w", format="mp4") as file:
            options = {"preset": "superfast", "crf": str(self.crf), "g": "48", "threads": "1"}
            rate = max(round(footage.fps * self.speed * 1000), 1000)
            stream = file.add_stream("libx264", rate=Fraction(rate, 1000), options=options)
            shown = [self._even(picture) for picture in self.change(frames)]
            stream.height, stream.width = shown[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for place, picture in enumerate(shown):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts = place
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        return output.getvalue()

    @staticmethod
    def _even(picture: Picture) -> Picture:
        height, width = (side // 2 * 2 for side in picture.shape[:2])
        return np.ascontiguousarray(picture[:height, :width])


def _cropped(picture: Picture) -> Picture:
    """90 % of each side are left."""
    height, width = picture.shape[:2]
    top, left = round(height * 0.05), round(width * 0.05)
    return picture[top : height - top, left : width - left]


def _mirrored(picture: Picture) -> Picture:
    return picture[:, ::-1]


def _with_logo(picture: Picture) -> Picture:
    """A bright disc with a letter in the upper right corner, a sixth of the picture wide."""
    marked = np.ascontiguousarray(picture).copy()
    height, width = marked.shape[:2]
    radius = max(min(height, width) // 8, 4)
    at = (width - radius - radius // 3, radius + radius // 3)
    cv2.circle(marked, at, radius, (250, 210, 30), -1)
    cv2.putText(marked, "W", (at[0] - radius // 2, at[1] + radius // 3), 0, radius / 24, (20, 20, 120), 3)
    return marked


def _with_caption(picture: Picture) -> Picture:
    """A white band with text over the lower sixth."""
    marked = np.ascontiguousarray(picture).copy()
    height, width = marked.shape[:2]
    top = height - height // 6
    marked[top:] = 250
    cv2.putText(marked, "CALL 555 0199 NOW", (width // 20, height - height // 20), 0, width / 450, (10, 10, 10), 2)
    return marked


def _around(picture: Picture, above: int, beside: int, colour: tuple[int, int, int]) -> Picture:
    framed = cv2.copyMakeBorder(picture, above, above, beside, beside, cv2.BORDER_CONSTANT, value=colour)
    return framed.astype(np.uint8, copy=False)


def _with_bars(picture: Picture) -> Picture:
    return _around(picture, picture.shape[0] // 6, 0, (0, 0, 0))


def _sixteen_to_nine(picture: Picture) -> tuple[int, int]:
    """How much has to be added above and beside to make it 9:16, or 16:9 where it is upright already."""
    height, width = picture.shape[:2]
    if width > height:
        return max((width * 16 // 9 - height) // 2, 0), 0
    return 0, max((height * 16 // 9 - width) // 2, 0)


def _in_other_format(picture: Picture) -> Picture:
    return _fitted(_around(picture, *_sixteen_to_nine(picture), (0, 0, 0)))


def _fitted(picture: Picture) -> Picture:
    scale = min(_LONGER_SIDE / max(picture.shape[:2]), 1.0)
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _with_frame(picture: Picture) -> Picture:
    edge = max(picture.shape[:2]) // 14
    return _around(picture, edge, edge, (200, 40, 90))


def _with_blurred_fill(picture: Picture) -> Picture:
    """As apps make it: the picture itself, enlarged and blurred, fills what would be bars."""
    above, beside = _sixteen_to_nine(picture)
    height, width = picture.shape[:2]
    whole = (width + 2 * beside, height + 2 * above)
    scale = max(whole[0] / width, whole[1] / height)
    large = cv2.resize(picture, (round(width * scale) + 1, round(height * scale) + 1))
    left, top = (large.shape[1] - whole[0]) // 2, (large.shape[0] - whole[1]) // 2
    fill = large[top : top + whole[1], left : left + whole[0]]
    filled = cv2.GaussianBlur(fill, (0, 0), max(whole) / 40).astype(np.uint8, copy=False)
    filled[above : above + height, beside : beside + width] = picture
    return _fitted(filled)


def _with_heavy_caption(picture: Picture) -> Picture:
    """Bands with text over a third of it, and text across the middle."""
    marked = _with_caption(picture)
    height, width = marked.shape[:2]
    marked[: height // 6] = 250
    cv2.putText(marked, "ONLY TODAY", (width // 20, height // 8), 0, width / 450, (10, 10, 10), 2)
    cv2.putText(marked, "BEST PRICE", (width // 6, height // 2), 0, width / 250, (255, 255, 0), 4)
    return marked


def _tilted(picture: Picture) -> Picture:
    """By 5 degrees, enlarged until no corner is empty."""
    height, width = picture.shape[:2]
    turned = cv2.warpAffine(
        picture, cv2.getRotationMatrix2D((width / 2, height / 2), 5, 1.18), (width, height), flags=cv2.INTER_LINEAR
    )
    return turned.astype(np.uint8, copy=False)


def _with_grain(picture: Picture) -> Picture:
    noise = np.random.default_rng(picture.size).normal(0, 20, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def _with_filter(picture: Picture) -> Picture:
    """Warm, pale and high in contrast, as filters of apps are."""
    grey = picture.mean(axis=2, keepdims=True)
    toned = (0.5 * picture + 0.5 * grey - 128) * (1.5, 1.3, 1.0) + (150, 128, 100)
    filtered: Picture = toned.clip(0, 255).astype(np.uint8)
    return filtered


def _each(change: Callable[[Picture], Picture]) -> Callable[[Pictures], Pictures]:
    return lambda pictures: [change(picture) for picture in pictures]


EDITS = (
    Edit("re-encode", crf=32, asked=True),
    Edit("crop 10 %", _each(_cropped), asked=True),
    Edit("mirror", _each(_mirrored), asked=True),
    Edit("logo", _each(_with_logo), asked=True),
    Edit("caption band", _each(_with_caption), asked=True),
    Edit("bars", _each(_with_bars), asked=True),
    Edit("9:16 bars", _each(_in_other_format), asked=True),
    Edit("coloured frame", _each(_with_frame), asked=True),
    Edit("blurred fill", _each(_with_blurred_fill), asked=True),
    Edit("speed 1.1", speed=1.1, asked=True),
    Edit("cut", cut_s=CUT_S, asked=True),
    Edit(
        "crop, mirror, logo, speed",
        _each(lambda picture: _with_logo(_mirrored(_cropped(picture)))),
        speed=1.1,
        asked=True,
    ),
    Edit("heavy caption", _each(_with_heavy_caption)),
    Edit("tilted 5 degrees", _each(_tilted)),
    Edit("grain", _each(_with_grain)),
    Edit("colour filter", _each(_with_filter)),
    Edit("backwards", lambda pictures: pictures[::-1]),
    Edit("speed 0.5", speed=0.5),
    Edit("speed 2", speed=2.0),
)
