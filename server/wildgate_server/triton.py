"""Triton, asked over gRPC; the only module of the gateway that imports tritonclient. Its errors are translated here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from wildgate_server.errors import BackendUnavailable, DeadlineExceeded, RowRefused
from wildgate_server.model_configs import CLIP_DECODER, VIDEO_SCORER

__all__ = ["ClipRow", "TritonClient"]

_CHANNEL_ARGUMENTS = [
    ("grpc.lb_policy_name", "round_robin"),  # all Tritons behind a dns:/// name take part
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]
# A Python-backend process that was killed stays dead, while Triton itself says that the model is ready.
_STUB_DIED = "is not healthy"

_REFUSED = {"StatusCode.INVALID_ARGUMENT": False, "StatusCode.UNIMPLEMENTED": True}


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One row of a Triton request: a clip, which of its frames fill the F places, and its rotation in degrees."""

    clip: bytes
    frame_index: tuple[int, ...]
    rotation: int


class TritonClient:
    """Asks one Triton (or whatever stands behind a gRPC target) for detections and frames."""

    def __init__(self, target: str) -> None:
        self._client = InferenceServerClient(target, channel_args=_CHANNEL_ARGUMENTS)
        self._decoder_died = False

    async def __aenter__(self) -> TritonClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ready(self) -> bool:
        """Whether the ensemble can be asked and, as far as its last answer tells, can answer."""
        if self._decoder_died:
            return False
        try:
            return bool(await self._client.is_model_ready(VIDEO_SCORER, client_timeout=2.0))
        except InferenceServerException:
            return False

    async def detect(self, rows: Sequence[ClipRow], timeout_s: float) -> npt.NDArray[np.float32]:
        """DETECTIONS of the rows, FP32 [len(rows), F, K, 6].

        Raises RowRefused when a row cannot be decoded, BackendUnavailable, DeadlineExceeded.
        """
        detections: npt.NDArray[np.float32] = await self._infer(VIDEO_SCORER, "DETECTIONS", rows, timeout_s)
        return detections

    async def frames(self, rows: Sequence[ClipRow], timeout_s: float) -> npt.NDArray[np.uint8]:
        """FRAMES of the rows, UINT8 RGB [len(rows), F, S, S, 3], letterboxed. Raises as `detect` does."""
        frames: npt.NDArray[np.uint8] = await self._infer(CLIP_DECODER, "FRAMES", rows, timeout_s)
        return frames

    async def _infer(self, model: str, output: str, rows: Sequence[ClipRow], timeout_s: float) -> Any:
        try:
            answer = await self._client.infer(
                model, _inputs(rows), outputs=[InferRequestedOutput(output)], client_timeout=timeout_s
            )
        except InferenceServerException as error:
            self._decoder_died = _STUB_DIED in error.message()
            raise _translated(error) from error
        self._decoder_died = False
        return answer.as_numpy(output)


def _inputs(rows: Sequence[ClipRow]) -> list[InferInput]:
    """Clips of one request share a length, so shorter ones are padded with zeros behind the media file's end."""
    longest = max(len(row.clip) for row in rows)
    clips = np.zeros((len(rows), longest), np.uint8)
    for place, row in zip(clips, rows, strict=True):
        place[: len(row.clip)] = np.frombuffer(row.clip, np.uint8)
    tensors = (
        ("CLIP", "UINT8", clips),
        ("FRAME_INDEX", "INT32", np.array([row.frame_index for row in rows], np.int32)),
        ("ROTATION", "INT32", np.array([[row.rotation] for row in rows], np.int32)),
    )
    inputs = []
    for name, kind, tensor in tensors:
        inputs.append(InferInput(name, list(tensor.shape), kind))
        inputs[-1].set_data_from_numpy(tensor)
    return inputs


def _translated(error: InferenceServerException) -> Exception:
    status = str(error.status())
    if status in _REFUSED:
        return RowRefused(error.message(), unsupported=_REFUSED[status])
    if status == "StatusCode.DEADLINE_EXCEEDED":
        return DeadlineExceeded("the detector did not answer in time")
    return BackendUnavailable(f"the detector cannot be asked: {error.message()}", retry_after_s=1.0)
