"""whole_video: Triton's Python model that gets a whole video, decodes its keyframes and detects in them.

Triton loads this file as `1/model.py`; the package it belongs to is linked beside it (`triton_peer.py`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.insert(0, str(Path(__file__).parent))
from wildgate_perf.bench.peers.detector import open_detector
from wildgate_perf.bench.peers.keyframes import NoKeyframes, decode_keyframes
from wildgate_perf.bench.peers.peer_setup import PeerSetup


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the detector."""
        setup = PeerSetup.from_environment()
        self._scorer = open_detector(setup.graph, setup.letterbox_value)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request: for VIDEO UINT8 [bytes], DETECTIONS FP32 [n, F, K, 6] and TIMES_S FP64 [m]."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        video = pb_utils.get_input_tensor_by_name(request, "VIDEO").as_numpy()
        try:
            keyframes = decode_keyframes(video.tobytes(), self._scorer.shape)
        except NoKeyframes as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        found = self._scorer.detect(keyframes.windows)
        times = np.array(keyframes.times_s, np.float64)
        return pb_utils.InferenceResponse([pb_utils.Tensor("DETECTIONS", found), pb_utils.Tensor("TIMES_S", times)])
