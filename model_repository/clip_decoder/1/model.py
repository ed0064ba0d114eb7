"""clip_decoder: the wanted frames of a clip window as they are displayed, letterboxed, RGB, on the CPU (PyAV, FFmpeg).

CLIP is a small media file that the gateway made. FRAME_INDEX counts its frames in presentation order, that is by rank
among the packets' timestamps; only these are scaled. DISPLAY says how a stored picture is shown: degrees
counter-clockwise, whether it is mirrored before that, and the width and height of a pixel. SOUND says of each frame
whether the decoder vouches for it (`decoding.py`); where it does not, FRAMES has the letterbox value. A window may
take so much processor time; COST says what it took, and where that was too much, SOUND that it was given up.

A stock tritonserver loads this file: it imports numpy, av, Triton's own module, and `decoding.py` and `tone_mapping.py`
beside it. Frames and side come from the model's config, the letterbox value from a config parameter.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import av
import numpy as np
import triton_python_backend_utils as pb_utils
from av.video.reformatter import Interpolation, VideoReformatter


def _beside(name: str) -> ModuleType:
    """The module `name`.py of this model version; Triton does not say where a model's own modules are found."""
    spec = importlib.util.spec_from_file_location(f"clip_decoder_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_decoding = _beside("decoding")
_tone_mapping = _beside("tone_mapping")
ClipRefusedError = _decoding.ClipRefusedError

# AVColorSpace values that swscale converts from; others count as unspecified, which FFmpeg reads as BT.601.
_CONVERTIBLE_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_UNSPECIFIED, _BT2020 = 2, 9
# Without full chroma, swscale's shortcut makes pictures one to two grey levels too dark, DALI's are not.
_AREA = Interpolation.AREA | Interpolation.FULL_CHR_H_INT
_MAX_SIDE = (1 << 31) - 1  # of a displayed picture: PICTURE_SIZE is INT32


@dataclass(frozen=True)
class Display:
    """How a stored picture is shown: mirrored left to right, then turned; `aspect` is a pixel's width and height."""

    rotation: int = 0
    mirrored: bool = False
    aspect: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, row: Sequence[int]) -> Display:
        """A row of DISPLAY. Raises ClipRefusedError where it says what cannot be."""
        rotation, mirrored, width, height = row
        if rotation not in (0, 90, 180, 270):
            raise ClipRefusedError(f"DISPLAY has the rotation {rotation}, not 0, 90, 180 or 270")
        if mirrored not in (0, 1):
            raise ClipRefusedError(f"DISPLAY has {mirrored} for mirrored, not 0 or 1")
        if width < 1 or height < 1:
            raise ClipRefusedError(f"DISPLAY has pixels of {width}:{height}, not of a width and a height above 0")
        return cls(rotation, bool(mirrored), (width, height))

    @property
    def sideways(self) -> bool:
        """Whether the displayed picture's width is the stored one's height."""
        return self.rotation % 180 == 90

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height at which a stored picture is displayed: one side is stretched, none loses pixels."""
        wide, high = self.aspect
        if wide > high:
            width = min(round(width * wide / high), _MAX_SIDE)
        elif high > wide:
            height = min(round(height * high / wide), _MAX_SIDE)
        return (height, width) if self.sideways else (width, height)


class DecodedWindow(NamedTuple):
    """FRAMES uint8 [F, side, side, 3], SOUND uint8 [F], PICTURE_SIZE int32 [F, 2] (width, height) of one row.

    COST float32 [3] is processor seconds and decoded pixels, of rows that are decoded together the first one's, and
    0: how long the batch took, which is known when it is done.
    """

    frames: np.ndarray
    sound: np.ndarray
    picture_size: np.ndarray
    cost: np.ndarray


@dataclass(frozen=True)
class Limits:
    """What decoding a window may take: pixels of a picture, and processor seconds."""

    max_pixels: int
    processor_s: float = math.inf


@dataclass(frozen=True)
class Letterbox:
    """Where a displayed picture lies in the square; mapping boxes back to the picture inverts exactly this.

    With S the square's side: scale = S / max(width, height); a side becomes max(1, round(side * scale)) with
    Python's round (halves go to the even number); the offset is (S - new side) // 2. All in pixels.
    """

    width: int
    height: int
    left: int
    top: int

    @classmethod
    def of(cls, width: int, height: int, side: int) -> Letterbox:
        """The place of a displayed picture of `width` x `height` pixels in a square of `side`."""
        scale = side / max(width, height)
        new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
        return cls(new_width, new_height, (side - new_width) // 2, (side - new_height) // 2)


class FrameScaler:
    """Makes letterboxed RGB squares of decoded frames; keeps swscale's tables between frames of one kind."""

    def __init__(self, side: int, letterbox_value: int) -> None:
        self.side = side
        self.letterbox_value = letterbox_value
        self._reformatter = VideoReformatter()

    def square(self, frame: av.VideoFrame, display: Display) -> np.ndarray:
        """`frame` as it is displayed, as uint8 [side, side, 3].

        Scaling, colour matrix and range are one swscale pass straight to the small picture; mirroring and turning that
        one gives what doing so to the large picture first would, for less. HDR keeps its depth until it is mapped.
        """
        box = Letterbox.of(*display.size(frame.width, frame.height), self.side)
        width, height = (box.height, box.width) if display.sideways else (box.width, box.height)
        is_hdr = frame.color_trc in (_tone_mapping.PQ, _tone_mapping.HLG)
        if frame.colorspace not in _CONVERTIBLE_MATRICES or (is_hdr and frame.colorspace == _UNSPECIFIED):
            frame.colorspace = _BT2020 if is_hdr else _UNSPECIFIED
        picture = self._reformatter.reformat(
            frame, width, height, format="rgb48le" if is_hdr else "rgb24", interpolation=_AREA, threads=1
        ).to_ndarray()
        if is_hdr:
            picture = _tone_mapping.to_sdr(picture, frame.color_trc, frame.color_primaries)
        if display.mirrored:
            picture = picture[:, ::-1]
        square = np.full((self.side, self.side, 3), self.letterbox_value, np.uint8)
        shown = np.rot90(picture, display.rotation // 90)
        square[box.top : box.top + box.height, box.left : box.left + box.width] = shown
        return square


def decode_window(
    clip: bytes, frame_index: Sequence[int], display: Sequence[int], scaler: FrameScaler, limits: Limits
) -> DecodedWindow:
    """The frames `frame_index` of `clip`, shown as `display`, a row of DISPLAY, says; zeros after its end do no harm.

    Raises ClipRefusedError where nothing of the clip can be decoded at all, or it does not hold the frames.
    """
    shown_as = Display.of(display)
    count, side = len(frame_index), scaler.side
    window = DecodedWindow(
        np.full((count, side, side, 3), scaler.letterbox_value, np.uint8),
        np.zeros(count, np.uint8),
        np.zeros((count, 2), np.int32),
        np.zeros(3, np.float32),
    )
    meter = _decoding.Meter(limits.processor_s)
    try:
        for places, frame, sound in _decoding.wanted_frames(clip, frame_index, limits.max_pixels, side, meter):
            window.frames[places] = scaler.square(frame, shown_as)
            window.sound[places] = sound
            window.picture_size[places] = shown_as.size(frame.width, frame.height)
    except _decoding.TooCostlyError:
        window.sound[window.sound == 0] = _decoding.Sound.COSTLY
    window.cost[:2] = meter.processor_s, meter.pixels
    return window


def decode_rows(
    clips: Sequence[np.ndarray], indices: np.ndarray, displays: np.ndarray, scaler: FrameScaler, limits: Limits
) -> list[DecodedWindow]:
    """The rows of a request; neighbours with the same clip are decoded in one pass, as what continues a window is."""
    rows = zip(clips, indices.tolist(), displays.tolist(), strict=True)
    decoded = []
    for (clip, display), same in groupby(((clip.tobytes(), index, display) for clip, index, display in rows), _clip_of):
        windows = [index for _, index, _ in same]
        together = decode_window(clip, [frame for index in windows for frame in index], display, scaler, limits)
        cost = [together.cost, *[np.zeros_like(together.cost)] * (len(windows) - 1)]
        parted = (*(np.split(tensor, len(windows)) for tensor in together[:-1]), cost)
        decoded += [DecodedWindow(*window) for window in zip(*parted, strict=True)]
    return decoded


def _clip_of(row: tuple[bytes, list[int], list[int]]) -> tuple[bytes, list[int]]:
    clip, _, display = row
    return clip, display


def tensors_of(rows: Sequence[DecodedWindow]) -> dict[str, np.ndarray]:
    """The outputs of a request with these rows, by their names."""
    names = ("FRAMES", "SOUND", "PICTURE_SIZE", "COST")
    return dict(zip(names, map(np.stack, zip(*rows, strict=True)), strict=True))


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads shape and letterbox value from the model's config."""
        av.logging.set_level(None)  # What is wrong with a clip is in the answer; FFmpeg's notes would flood the log.
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        dims = pb_utils.get_output_config_by_name(config, "FRAMES")["dims"]
        self._scaler = FrameScaler(int(dims[1]), int(parameters["letterbox_value"]))
        self._limits = Limits(int(parameters["max_frame_pixels"]), float(parameters["window_processor_s"]))
        os.nice(int(parameters.get("nice", "0")))  # this process has no other instance in it

    def execute(self, requests: list) -> list:
        """One response for each request; a clip at fault fails its own request and no other."""
        began = time.monotonic()
        answers = [self._outputs(request) for request in requests]
        return [_response(answer, time.monotonic() - began) for answer in answers]

    def _outputs(self, request):
        """The request's outputs by name, or the error that it ends in."""
        try:
            return tensors_of(self._decode_rows(request))
        except ClipRefusedError as refusal:
            code = pb_utils.TritonError.UNSUPPORTED if refusal.unsupported else pb_utils.TritonError.INVALID_ARG
            return pb_utils.TritonError(str(refusal), code)
        except Exception as surprise:
            pb_utils.Logger.log_error(f"clip_decoder: {traceback.format_exc()}")
            message = f"clip_decoder failed: {type(surprise).__name__}"
            return pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL)

    def _decode_rows(self, request) -> list[DecodedWindow]:
        clips = pb_utils.get_input_tensor_by_name(request, "CLIP").as_numpy()
        indices = pb_utils.get_input_tensor_by_name(request, "FRAME_INDEX").as_numpy()
        displays = pb_utils.get_input_tensor_by_name(request, "DISPLAY").as_numpy()
        return decode_rows(clips, indices, displays, self._scaler, self._limits)


def _response(answer, took_s: float):
    """The response with what `_outputs` made, and how long the whole batch took."""
    if not isinstance(answer, dict):
        return pb_utils.InferenceResponse(error=answer)
    answer["COST"][:, 2] = took_s
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, tensor) for name, tensor in answer.items()])
