"""frame_fingerprint: PDQ hashes of frames and of their regions, with ONNX Runtime on the CPU.

`model.onnx` beside this file is all of it; `wildgate_build.fingerprint` generates it. It takes one window at a time, of
the frames alone that it has: the rest of its places repeat the last one, and so do their answers. A stock tritonserver
loads this file: it imports numpy, onnxruntime and Triton's own module, nothing else.
"""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

_INPUTS, _OUTPUTS = ("FRAMES", "PICTURE_SIZE"), ("FINGERPRINT", "FINGERPRINT_QUALITY")


def open_session(graph: Path) -> onnxruntime.InferenceSession:
    """The graph on one thread: instances share the cores, more threads would only wait for each other."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def check_shapes(session: onnxruntime.InferenceSession, config: dict) -> None:
    """Raises ValueError when the tensors of the graph are not what the model's config promises, for any F."""
    graph = {tensor.name: list(tensor.shape[2:]) for tensor in (*session.get_inputs(), *session.get_outputs())}
    promised = {tensor["name"]: [*map(int, tensor["dims"][1:])] for tensor in (*config["input"], *config["output"])}
    if graph != promised:
        raise ValueError(f"model.onnx has the tensors {graph}, config.pbtxt says {promised}")


def frames_of(frames: np.ndarray, sizes: np.ndarray) -> int:
    """How many frames a window has; those behind them are equal to the last."""
    count = len(frames)
    while count > 1 and all(np.array_equal(each[count - 1], each[count - 2]) for each in (sizes, frames)):
        count -= 1
    return count


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the graph, checks it against the config and runs it once, before any caller has to wait."""
        self._session = open_session(Path(args["model_repository"], args["model_version"], "model.onnx"))
        check_shapes(self._session, json.loads(args["model_config"]))
        frame, size = (tensor.shape[2:] for tensor in self._session.get_inputs())
        self._fingerprints(np.zeros((1, *frame), np.uint8), np.zeros((1, *size), np.int32))

    def execute(self, requests: list) -> list:
        """One response for each request."""
        try:
            return [self._respond(request) for request in requests]
        except Exception as surprise:
            pb_utils.Logger.log_error(f"frame_fingerprint: {traceback.format_exc()}")
            error = pb_utils.TritonError(
                f"frame_fingerprint failed: {type(surprise).__name__}", pb_utils.TritonError.INTERNAL
            )
            return [pb_utils.InferenceResponse(error=error) for _ in requests]

    def _respond(self, request):
        rows = zip(*(pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in _INPUTS), strict=True)
        answers = zip(*(self._fingerprints(*row) for row in rows), strict=True)
        tensors = zip(_OUTPUTS, map(np.stack, answers), strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor(*named) for named in tensors])

    def _fingerprints(self, frames: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
        """The hashes [F, K, 32] and qualities [F, K] of one window."""
        count = frames_of(frames, sizes)
        inputs = dict(zip(_INPUTS, (frames[None, :count], sizes[None, :count]), strict=True))
        places = np.minimum(np.arange(len(frames)), count - 1)
        return [answer[0, places] for answer in self._session.run(list(_OUTPUTS), inputs)]
