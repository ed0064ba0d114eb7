"""wildlife_detector: frames to detections with ONNX Runtime on the CPU.

`model.onnx` beside this file is the whole detector: scaling, box decoding, suppression and top-K are in the
graph. Requests that Triton hands over together run as one batch. A stock tritonserver loads this file: it
imports numpy, onnxruntime and Triton's own module, nothing else.
"""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

_INPUT, _OUTPUT = "FRAMES", "DETECTIONS"


def open_session(graph: Path) -> onnxruntime.InferenceSession:
    """The graph on one thread: instances share the cores, more threads would only wait for each other."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def check_shapes(session: onnxruntime.InferenceSession, config: dict) -> None:
    """Raises ValueError when a tensor of the graph is not what the model's config promises."""
    tensors = [*session.get_inputs(), *session.get_outputs()]
    promised = [
        pb_utils.get_input_config_by_name(config, _INPUT),
        pb_utils.get_output_config_by_name(config, _OUTPUT),
    ]
    names = [tensor.name for tensor in tensors]
    if names != [_INPUT, _OUTPUT]:
        raise ValueError(f"model.onnx has the tensors {names}, not {[_INPUT, _OUTPUT]}")
    for tensor, promise in zip(tensors, promised, strict=True):
        dims = [int(dim) for dim in promise["dims"]]
        if list(tensor.shape[1:]) != dims:
            raise ValueError(f"model.onnx: {tensor.name} is {list(tensor.shape[1:])}, config.pbtxt says {dims}")


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the graph, checks it against the config and runs it once, before any caller has to wait."""
        config = json.loads(args["model_config"])
        graph = Path(args["model_repository"], args["model_version"], "model.onnx")
        self._session = open_session(graph)
        check_shapes(self._session, config)
        self._run(np.zeros((1, *self._session.get_inputs()[0].shape[1:]), np.uint8))

    def execute(self, requests: list) -> list:
        """One response for each request; all of them come from one run."""
        try:
            frames = [pb_utils.get_input_tensor_by_name(request, _INPUT).as_numpy() for request in requests]
            # One request, the usual case, is not copied.
            detections = self._run(frames[0] if len(frames) == 1 else np.concatenate(frames))
            ends = np.cumsum([len(rows) for rows in frames])
            parts = np.split(detections, ends[:-1])
            return [pb_utils.InferenceResponse([pb_utils.Tensor(_OUTPUT, part)]) for part in parts]
        except Exception as surprise:
            pb_utils.Logger.log_error(f"wildlife_detector: {traceback.format_exc()}")
            error = pb_utils.TritonError(
                f"wildlife_detector failed: {type(surprise).__name__}", pb_utils.TritonError.INTERNAL
            )
            return [pb_utils.InferenceResponse(error=error) for _ in requests]

    def _run(self, frames: np.ndarray) -> np.ndarray:
        return self._session.run([_OUTPUT], {_INPUT: frames})[0]
