"""clip_decoder of profile `rtx`: `dali.py`'s pipeline in the Python backend; FRAMES stay where it decodes.

CLIP, FRAME_INDEX and DISPLAY come as host tensors, rows of all requests run as one batch, and FRAMES go on as DLPack
tensors of the device. One row that does not decode fails DALI's whole batch, so then each request runs by itself, and
one that fails again goes to the CPU decoder beside this file (`model.py`): either it knows what is wrong with the clip,
in the very words and codes of the other profiles, or it can decode what DALI could not, and a warning says so.

A stock tritonserver loads this file: it imports numpy, nvidia.dali, Triton's own module and (through `model.py`) av.
Config parameters: `device` ("gpu" or "cpu"), `num_threads`, and those of `model.py`. On "cpu" it has run in a real
Triton with VP9 (tests/models/test_rtx_clip_decoder.py); has not run on a GPU yet.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import triton_python_backend_utils as pb_utils
from nvidia.dali.backend import TensorCPU, TensorGPU


def _beside(name: str) -> ModuleType:
    """The module `name`.py of this model version; its name is too common to be found by a plain import."""
    qualified = f"clip_decoder_{name}"
    spec = importlib.util.spec_from_file_location(qualified, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module  # Dataclasses look themselves up here.
    spec.loader.exec_module(module)
    return module


_software = _beside("model")
ClipRefusedError = _software.ClipRefusedError
# What DALI's pipeline raises: the operators' errors, and those of a batch that it does not take.
_OUTPUTS = ("FRAMES", "SOUND", "PICTURE_SIZE", "COST")
# By these names, [rows, ...] as tensors that speak DLPack.
Outputs = Mapping[str, Any]
_DALI_ERRORS = (RuntimeError, MemoryError, TypeError, ValueError)


@dataclass(frozen=True)
class Rows:
    """A request's rows; clips are uint8 [bytes] and may end in zeros."""

    clips: Sequence[np.ndarray]
    frame_index: np.ndarray
    display: np.ndarray

    @classmethod
    def of(cls, request) -> Rows:
        """The rows of a request. Raises ClipRefusedError where DALI would not notice what is wrong."""
        rows = cls(*(_input(request, name) for name in ("CLIP", "FRAME_INDEX", "DISPLAY")))
        for display in rows.display.tolist():
            _software.Display.of(display)
        return rows

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def may_decode(self) -> bool:
        """Whether every clip begins as MP4 or Matroska do: DALI would try whatever else its libraries know."""
        heads = [clip[:16].tobytes() for clip in self.clips]
        return all(head[4:8] == b"ftyp" or head[:4] == b"\x1a\x45\xdf\xa3" for head in heads)


def _input(request, name: str) -> np.ndarray:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()


class DaliDecoder:
    """`dali.py`'s pipeline on one device; `device_id` counts GPUs and is None on the CPU."""

    def __init__(self, device_id: int | None, num_threads: int) -> None:
        self._module = _beside("dali")
        self._device_id = device_id
        self._num_threads = num_threads
        self._build()

    def _build(self) -> None:
        device = "cpu" if self._device_id is None else "gpu"
        self._pipeline = self._module.frames_pipeline(
            device=device, device_id=self._device_id, num_threads=self._num_threads
        )
        self._pipeline.build()

    def decode(self, requests: Sequence[Rows]) -> list[Outputs]:
        """The outputs of each request.

        Raises one of `_DALI_ERRORS` when any row cannot be decoded.
        """
        try:
            outputs = self._pipeline.run(
                CLIP=[clip for rows in requests for clip in rows.clips],
                FRAME_INDEX=[index for rows in requests for index in rows.frame_index],
                DISPLAY=[display for rows in requests for display in rows.display],
            )
            batches = [output.as_tensor() for output in outputs]
        except _DALI_ERRORS:
            self._build()  # DALI says that a pipeline is no longer valid after an error.
            raise
        starts = np.cumsum([0, *map(len, requests)]).tolist()
        return [
            {name: _slice(batch, start, len(rows)) for name, batch in zip(_OUTPUTS, batches, strict=True)}
            for start, rows in zip(starts, requests, strict=False)
        ]


def _slice(batch, start: int, count: int):
    """Rows `start` to `start + count` of a dense DALI tensor, without copying them on a GPU."""
    if isinstance(batch, TensorCPU):
        return TensorCPU(np.array(np.asarray(batch)[start : start + count]), "")
    if [start, count] == [0, batch.shape()[0]]:
        return batch
    return TensorGPU(_DeviceRows(batch, start, count), "")


class _DeviceRows:
    """Some rows of a tensor on the GPU; keeps the whole tensor alive."""

    def __init__(self, batch, start: int, count: int) -> None:
        self._batch = batch
        whole = batch.__cuda_array_interface__
        address, _ = whole["data"]
        row_bytes = math.prod(whole["shape"][1:])  # of one byte each
        shape = (count, *whole["shape"][1:])
        self.__cuda_array_interface__ = {**whole, "shape": shape, "data": (address + start * row_bytes, False)}


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the model's config and builds the pipeline. Raises ValueError for an unknown `device`."""
        av.logging.set_level(None)
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        device = parameters["device"]
        if device not in ("gpu", "cpu"):
            raise ValueError(f"config parameter `device` is {device!r}, not gpu or cpu")
        side = int(pb_utils.get_output_config_by_name(config, "FRAMES")["dims"][1])
        self._scaler = _software.FrameScaler(side, int(parameters["letterbox_value"]))
        self._limits = _software.Limits(int(parameters["max_frame_pixels"]), float(parameters["window_processor_s"]))
        device_id = int(args["model_instance_device_id"]) if device == "gpu" else None
        self._dali = DaliDecoder(device_id, int(parameters["num_threads"]))
        self._decoded: list = []

    def execute(self, requests: list) -> list:
        """One response for each request; a clip at fault fails its own request and no other."""
        responses: list = [None] * len(requests)
        waiting: dict[int, Rows] = {}
        for place, request in enumerate(requests):
            try:
                waiting[place] = Rows.of(request)
            except Exception as error:
                responses[place] = _failure(error)
        for place, outputs in self._decode(waiting).items():
            responses[place] = _failure(outputs) if isinstance(outputs, Exception) else _success(outputs)
        return responses

    def _decode(self, waiting: dict[int, Rows]) -> dict[int, object]:
        """The outputs or what went wrong, by the places of `waiting`."""
        fit = [place for place, rows in waiting.items() if rows.may_decode]
        results: dict[int, object] = {}
        try:
            if fit:
                results |= zip(fit, self._dali.decode([waiting[place] for place in fit]), strict=True)
        except _DALI_ERRORS as error:
            if len(fit) == 1:
                results[fit[0]] = self._decode_by_software(waiting[fit[0]], error)
            else:
                results |= {place: self._decode_alone(waiting[place]) for place in fit}
        for place, rows in waiting.items():
            if place not in results:
                results[place] = self._decode_by_software(rows, None)
        # What a GPU holds must outlive this call: Triton copies it when the call has returned.
        self._decoded = list(results.values())
        return results

    def _decode_alone(self, rows: Rows):
        try:
            return self._dali.decode([rows])[0]
        except _DALI_ERRORS as error:
            return self._decode_by_software(rows, error)

    def _decode_by_software(self, rows: Rows, dali_error: Exception | None):
        """What the CPU decoder makes of rows that DALI could not decode: outputs or its error."""
        try:
            decoded = _software.decode_rows(rows.clips, rows.frame_index, rows.display, self._scaler, self._limits)
            outputs = _software.tensors_of(decoded)
        except Exception as error:
            return error
        if outputs["SOUND"].any():
            pb_utils.Logger.log_warn(f"clip_decoder: decoded on the CPU what DALI could not: {str(dali_error)[:200]!r}")
        return {name: TensorCPU(tensor, "") for name, tensor in outputs.items()}


def _success(outputs: Outputs):
    return pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack(name, tensor) for name, tensor in outputs.items()])


def _failure(error: Exception):
    if isinstance(error, ClipRefusedError):
        code = pb_utils.TritonError.UNSUPPORTED if error.unsupported else pb_utils.TritonError.INVALID_ARG
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))
    pb_utils.Logger.log_error("clip_decoder: " + "".join(traceback.format_exception(error)))
    message = f"clip_decoder failed: {type(error).__name__}"
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))
