"""whole_video: Triton's Python model that gets a whole video, decodes its keyframes and detects in them.

Triton loads this file as `1/model.py`; the package it belongs to is linked beside it (`triton_peer.py`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.insert(0, str(Path(__file__).parent))
from wildgate_perf.bench.peers.peer_setup import PeerSetup


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the detector."""
        self._scorer = PeerSetup.from_environment().scorer()

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request: for VIDEO UINT8 [bytes], ANSWER [1] as JSON."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        video = pb_utils.get_input_tensor_by_name(request, "VIDEO").as_numpy()
        answer = json.dumps(self._scorer.score(video.tobytes())).encode()
        return pb_utils.InferenceResponse([pb_utils.Tensor("ANSWER", np.array([answer], np.object_))])
