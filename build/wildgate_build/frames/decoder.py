"""The server's own decoder without Triton: a detector must be calibrated and checked on what it will see.

`model_repository/clip_decoder/1/model.py` is loaded as it is. It imports Triton's Python module, which exists
only inside Triton's stub process; an empty stand-in is enough for the functions used here.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wildgate_build.errors import FramesError
from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.sampling.offline import ClipWindow, Display

__all__ = ["ClipDecoder"]

_BACKEND: Final = "triton_python_backend_utils"
_PLACE: Final = Path("clip_decoder", "1", "model.py")
_LOADING: Final = Lock()

Frame = npt.NDArray[np.uint8]


class ClipDecoder:
    """Decodes clip windows as the server does, to frames of `side` pixels.

    Letterbox value and the largest picture come from the manifest. Raises FramesError.
    """

    def __init__(self, repository: Path, manifest: ModelManifest, side: int) -> None:
        module = _load(repository / _PLACE)
        self._decode: Callable[..., Any] = module.decode_window
        self._refused: type[Exception] = module.ClipRefusedError
        self._scaler: Any = module.FrameScaler(side, manifest.letterbox_value)
        self._limits: Any = module.Limits(manifest.max_frame_pixels)

    def frames(self, window: ClipWindow, display: Display) -> dict[float, Frame]:
        """The looked-at frames of a window that are sound, uint8 [side, side, 3], by their times in seconds.

        Raises FramesError where the decoder refuses the window.
        """
        places = window.frame_index[: len(window.times_s)]
        try:
            decoded = self._decode(window.clip, places, display.row, self._scaler, self._limits)
        except self._refused as refusal:
            raise FramesError(str(refusal)) from refusal
        shown = zip(window.times_s, decoded.frames, decoded.sound, strict=True)
        return {time_s: frame for time_s, frame, sound in shown if sound}


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("wildgate_clip_decoder", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise FramesError(f"{file}: there is no clip decoder; is the model repository right?")
    module = importlib.util.module_from_spec(spec)
    with _LOADING:
        before = sys.modules.get(_BACKEND)
        sys.modules[_BACKEND] = ModuleType(_BACKEND)
        sys.modules[spec.name] = module  # its dataclasses look themselves up there
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise FramesError(f"{file}: the clip decoder cannot be loaded: {error}") from error
        finally:
            del sys.modules[_BACKEND]
            if before:
                sys.modules[_BACKEND] = before
    return module
