"""frame_fingerprint: PDQ hashes of frames and of their regions, with ONNX Runtime on the CPU.

`model.onnx` beside this file is all of it; `wildgate_build.fingerprint` generates it. Requests that Triton hands over
together run as one batch. A stock tritonserver loads this file: it imports numpy, onnxruntime and Triton's own module,
nothing else.
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
    """Raises ValueError when the tensors of the graph are not what the model's config promises."""
    graph = {tensor.name: list(tensor.shape[1:]) for tensor in (*session.get_inputs(), *session.get_outputs())}
    promised = {tensor["name"]: [*map(int, tensor["dims"])] for tensor in (*config["input"], *config["output"])}
    if graph != promised:
        raise ValueError(f"model.onnx has the tensors {graph}, config.pbtxt says {promised}")


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the graph, checks it against the config and runs it once, before any caller has to wait."""
        self._session = open_session(Path(args["model_repository"], args["model_version"], "model.onnx"))
        check_shapes(self._session, json.loads(args["model_config"]))
        frames, sizes = (tensor.shape[1:] for tensor in self._session.get_inputs())
        self._run([np.zeros((1, *frames), np.uint8), np.zeros((1, *sizes), np.int32)])

    def execute(self, requests: list) -> list:
        """One response for each request; all of them come from one run."""
        try:
            asked = [
                [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in _INPUTS]
                for request in requests
            ]
            # One request, the usual case, is not copied.
            answers = self._run(
                asked[0] if len(asked) == 1 else [np.concatenate(rows) for rows in zip(*asked, strict=True)]
            )
            ends = np.cumsum([len(frames) for frames, _ in asked])[:-1]
            parts = zip(*(np.split(answer, ends) for answer in answers), strict=True)
            return [
                pb_utils.InferenceResponse([pb_utils.Tensor(*named) for named in zip(_OUTPUTS, part, strict=True)])
                for part in parts
            ]
        except Exception as surprise:
            pb_utils.Logger.log_error(f"frame_fingerprint: {traceback.format_exc()}")
            error = pb_utils.TritonError(
                f"frame_fingerprint failed: {type(surprise).__name__}", pb_utils.TritonError.INTERNAL
            )
            return [pb_utils.InferenceResponse(error=error) for _ in requests]

    def _run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return self._session.run(list(_OUTPUTS), dict(zip(_INPUTS, inputs, strict=True)))
