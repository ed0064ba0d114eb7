"""wildlife_detector: frames to detections with ONNX Runtime on the CPU.

`model.onnx` beside this file is the whole detector: scaling, box decoding, suppression and top-K are in the
graph. Every window runs by itself, of those frames alone that it has: what fills it up has the answer of the frame
before it. A batch would save nothing on a CPU, and a graph that leaves out bars finds more of them in one video than
in several. A stock tritonserver loads this file: it imports numpy, onnxruntime and Triton's own module, nothing else.
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
    """Raises ValueError when a tensor of the graph is not what the model's config promises.

    Windows may have any number of frames in the graph, or the config's.
    """
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
        found = [dims[0] if isinstance(tensor.shape[1], str) else tensor.shape[1], *tensor.shape[2:]]
        if found != dims:
            raise ValueError(f"model.onnx: {tensor.name} is {found}, config.pbtxt says {dims}")


def frames_of(window: np.ndarray) -> int:
    """How many frames a window [F, S, S, 3] has; those behind them are equal to the last."""
    count = len(window)
    while count > 1 and np.array_equal(window[count - 1], window[count - 2]):
        count -= 1
    return count


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the graph, checks it against the config and runs it once, before any caller has to wait."""
        config = json.loads(args["model_config"])
        graph = Path(args["model_repository"], args["model_version"], "model.onnx")
        self._session = open_session(graph)
        check_shapes(self._session, config)
        frames, *frame = self._session.get_inputs()[0].shape[1:]
        self._static_frames = None if isinstance(frames, str) else frames
        self._detect(np.zeros((self._static_frames or 1, *frame), np.uint8))

    def execute(self, requests: list) -> list:
        """One response for each request; where one fails, all do."""
        try:
            frames = [pb_utils.get_input_tensor_by_name(request, _INPUT).as_numpy() for request in requests]
            answers = [np.stack([self._detect(window) for window in windows]) for windows in frames]
            return [pb_utils.InferenceResponse([pb_utils.Tensor(_OUTPUT, answer)]) for answer in answers]
        except Exception as surprise:
            pb_utils.Logger.log_error(f"wildlife_detector: {traceback.format_exc()}")
            error = pb_utils.TritonError(
                f"wildlife_detector failed: {type(surprise).__name__}", pb_utils.TritonError.INTERNAL
            )
            return [pb_utils.InferenceResponse(error=error) for _ in requests]

    def _detect(self, window: np.ndarray) -> np.ndarray:
        """The detections [F, K, 6] of a window [F, S, S, 3]."""
        frames = window if self._static_frames else window[: frames_of(window)]
        [detections] = self._session.run([_OUTPUT], {_INPUT: frames[None]})[0]
        return detections[np.minimum(np.arange(len(window)), len(frames) - 1)]
