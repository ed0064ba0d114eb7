"""Triton over gRPC; the only module of the gateway that imports tritonclient. Its errors are translated here."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from wildgate_server.errors import BackendUnavailable, DeadlineExceeded, RowRefused
from wildgate_server.media.sampled_video import Display
from wildgate_server.repository.model_configs import (
    CLIP_DECODER,
    CLIP_DECODER_SOFTWARE,
    CPU_PROFILE,
    FRAME_FINGERPRINT,
    ensemble,
)

__all__ = [
    "COSTLY",
    "DAMAGED",
    "ClipRow",
    "DecoderRefused",
    "DetectionBatch",
    "ModelControl",
    "ModelControlError",
    "TritonClient",
]

_CHANNEL_ARGUMENTS = [
    ("grpc.lb_policy_name", "round_robin"),  # all Tritons behind a dns:/// name take part
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]
# A Python-backend process that was killed stays dead, while Triton itself says that the model is ready. An instance is
# called after its model: `clip_decoder_0_0`.
_STUB_DIED = re.compile(r"Stub process '(\w+?)(?:_\d+_\d+)?' is not healthy")
_RESTRICTED_HEADER = "triton-grpc-protocol-"
_READY_TIMEOUT_S = 2.0
_LEAST_TIMEOUT_S = 0.05  # tritonserver 2.51 crashes where a call ends while it is being taken in (seen with 1 ms)
_MISTRUST_S = 5.0  # after an external Triton reported a dead process; without traffic, no answer would prove otherwise
_CONTROL_TIMEOUT_S = 10.0
_LOAD_TIMEOUT_S = 300.0

_ON_GPU = {ensemble(canary=canary) for canary in (False, True)} | {CLIP_DECODER}
"""What decodes on the GPU in other profiles than `cpu`."""
_UNKNOWN = "StatusCode.UNKNOWN"
_REFUSED = {"StatusCode.INVALID_ARGUMENT": False, "StatusCode.UNIMPLEMENTED": True}


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One row of a Triton request: a clip, which of its frames fill the F places, and how they are displayed."""

    clip: bytes
    frame_index: tuple[int, ...]
    display: Display


DAMAGED = 2
"""SOUND of a picture that is damaged in the file itself: shown as players show it."""
COSTLY = 3
"""SOUND of a picture that was not decoded, since its window took longer than the decoder gives one."""


@dataclass(frozen=True, slots=True)
class DetectionBatch:
    """DETECTIONS FP32 [rows, F, K, 6], the version of the detector that made them, and what the decoder tells.

    SOUND UINT8 [rows, F] is 1 where the decoder vouches for the picture, 2 where it is damaged in the file itself,
    and 0 where it cannot be shown as it is, COSTLY where that was given up; PICTURE_SIZE INT32 [rows, F, 2] is the
    width and height in pixels at which it is displayed. COST FP32 [rows, 2] is processor seconds and decoded pixels.
    FINGERPRINT UINT8 [rows, F, K, 32] are PDQ hashes, FINGERPRINT_QUALITY INT32 [rows, F, K] what each is worth, 0 to
    100.
    """

    detections: npt.NDArray[np.float32]
    sound: npt.NDArray[np.uint8]
    picture_size: npt.NDArray[np.int32]
    fingerprint: npt.NDArray[np.uint8]
    fingerprint_quality: npt.NDArray[np.int32]
    cost: npt.NDArray[np.float32]
    version: int


class DecoderRefused(RowRefused):
    """The GPU's decoder did not take the rows, and does not say why: the CPU's has the last word.

    DALI's Triton backend fails a whole batch with UNKNOWN, whatever was wrong with which of its clips.
    """


class TritonClient:
    """Asks one Triton (or whatever stands behind a gRPC target) for detections and frames, by the models of `profile`.

    `on_dead(model)` is called for every answer that tells of a model whose process was killed; what heals it says so
    by `healed`. Without one, what stands behind the target is trusted to heal by itself: an answer is the proof, and
    after a few seconds Triton's own word counts again. `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        target: str,
        *,
        profile: str = CPU_PROFILE,
        on_dead: Callable[[str], None] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._client = InferenceServerClient(target, channel_args=_CHANNEL_ARGUMENTS)
        self._on_gpu = _ON_GPU if profile != CPU_PROFILE else set()
        self._on_dead = on_dead
        self._clock = clock
        self._dead: dict[str, float] = {}
        self._heals = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ready(self, model: str, version: int | None = None) -> bool:
        """Whether `model` (one version or any) is ready and, as far as answers show, works."""
        if not self._on_dead:
            self._dead = {name: seen for name, seen in self._dead.items() if self._clock() - seen < _MISTRUST_S}
        if self._dead:
            return False
        version_text = "" if version is None else str(version)
        try:
            return bool(await self._client.is_model_ready(model, version_text, client_timeout=_READY_TIMEOUT_S))
        except InferenceServerException:
            return False

    def healed(self, model: str) -> None:
        """`model` has been loaded again."""
        self._dead.pop(model, None)
        self._heals += 1

    async def detect(self, ensemble: str, rows: Sequence[ClipRow], timeout_s: float) -> DetectionBatch:
        """What `ensemble` detects in the rows.

        Raises RowRefused when a row cannot be decoded, which DecoderRefused leaves open, BackendUnavailable,
        DeadlineExceeded.
        """
        outputs = ("DETECTIONS", "SOUND", "PICTURE_SIZE", "FINGERPRINT", "FINGERPRINT_QUALITY", "COST")
        answer = await self._infer(ensemble, outputs, _inputs(rows), timeout_s)
        # An ensemble's version is that of the detector it asks.
        detections, sound, picture_size, fingerprint, quality, cost = map(answer.as_numpy, outputs)
        version = int(answer.get_response().model_version)
        return DetectionBatch(detections, sound, picture_size, fingerprint, quality, cost, version)

    async def frames(self, decoder: str, rows: Sequence[ClipRow], timeout_s: float) -> npt.NDArray[np.uint8]:
        """FRAMES of the rows, UINT8 RGB [len(rows), F, S, S, 3], letterboxed. Raises as `detect` does.

        What the GPU's decoder does not take, or takes too long, the other is asked for.
        """
        return (await self.pictures(decoder, rows, timeout_s))[0]

    async def pictures(
        self, decoder: str, rows: Sequence[ClipRow], timeout_s: float
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        """FRAMES as `frames` gives them, and PICTURE_SIZE, INT32 [len(rows), F, 2], 0 where there is no picture."""
        outputs, inputs, answer = ("FRAMES", "PICTURE_SIZE", "SOUND"), _inputs(rows), None
        with suppress(DecoderRefused):
            answer = await self._infer(decoder, outputs, inputs, timeout_s)
        if answer is None or (decoder != CLIP_DECODER_SOFTWARE and COSTLY in answer.as_numpy("SOUND")):
            answer = await self._infer(CLIP_DECODER_SOFTWARE, outputs, inputs, timeout_s)
        return answer.as_numpy("FRAMES"), answer.as_numpy("PICTURE_SIZE")

    async def fingerprint(
        self, frames: npt.NDArray[np.uint8], picture_size: npt.NDArray[np.int32], timeout_s: float
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        """FINGERPRINT and FINGERPRINT_QUALITY, as in a DetectionBatch, of what `pictures` gave, or what was made of it.

        Raises BackendUnavailable, DeadlineExceeded.
        """
        outputs = ("FINGERPRINT", "FINGERPRINT_QUALITY")
        inputs = _tensors(("FRAMES", "UINT8", frames), ("PICTURE_SIZE", "INT32", picture_size))
        answer = await self._infer(FRAME_FINGERPRINT, outputs, inputs, timeout_s)
        return answer.as_numpy(outputs[0]), answer.as_numpy(outputs[1])

    async def _infer(self, model: str, outputs: Sequence[str], inputs: list[InferInput], timeout_s: float) -> Any:
        if timeout_s < _LEAST_TIMEOUT_S:
            raise DeadlineExceeded("the deadline is too near to ask Triton")
        heals = self._heals
        try:
            answer = await self._client.infer(
                model, inputs, outputs=[*map(InferRequestedOutput, outputs)], client_timeout=timeout_s
            )
        except InferenceServerException as error:
            if heals == self._heals:  # else it may tell of a process that has been replaced since
                self._note_death(error.message())
            raise _translated(error, on_gpu=model in self._on_gpu) from error
        if not self._on_dead:
            self._dead.clear()
        return answer

    def _note_death(self, message: str) -> None:
        if died := _STUB_DIED.search(message):
            self._dead[died[1]] = self._clock()
            if self._on_dead:
                self._on_dead(died[1])


class ModelControlError(Exception):
    """Triton did not load or unload a model; the text is Triton's own."""


class ModelControl:
    """Loads and unloads models of a Triton that runs with explicit model control.

    `secret` is what the server was told to ask for (`--grpc-restricted-protocol=model-repository:wildgate=<secret>`);
    a server that restricts nothing needs none.

    Observed with tritonserver 2.51: `load` of a model that is loaded keeps its instances answering until the new ones
    are there; a version whose directory has not changed since is not loaded again (its modification time decides), one
    that its config does not name any more goes when its last request is answered; where one version fails, nothing
    changes for the others. Requests under way in an ensemble are answered by the versions they began with, whatever is
    unloaded in the meantime. But an ensemble that is loaded while a version it needs is missing is gone, the old one
    too; and with an ensemble its members are looked at again, so that a config given with `load` does not last.
    """

    def __init__(self, target: str, secret: str | None = None) -> None:
        self._client = InferenceServerClient(target)
        self._headers = {f"{_RESTRICTED_HEADER}wildgate": secret} if secret else None

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.close()

    async def server_ready(self) -> bool:
        """Whether the server answers and all that it was told to load is ready."""
        try:
            return bool(await self._client.is_server_ready(client_timeout=_READY_TIMEOUT_S))
        except InferenceServerException:
            return False

    async def load(self, model: str) -> None:
        """Loads `model`, or loads it again, by the config that lies in the repository. Raises ModelControlError."""
        await self._ask(self._client.load_model(model, headers=self._headers, client_timeout=_LOAD_TIMEOUT_S))

    async def unload(self, model: str) -> None:
        """Unloads `model` once its requests are answered. Raises ModelControlError."""
        await self._ask(self._client.unload_model(model, headers=self._headers, client_timeout=_LOAD_TIMEOUT_S))

    async def loaded(self) -> dict[str, tuple[int, ...]]:
        """The models that are ready, and which of their versions are. Raises ModelControlError."""
        index = await self._ask(
            self._client.get_model_repository_index(headers=self._headers, client_timeout=_CONTROL_TIMEOUT_S)
        )
        found: dict[str, tuple[int, ...]] = {}
        for entry in index.models:
            if entry.state == "READY":
                found[entry.name] = (*found.get(entry.name, ()), int(entry.version))
        return found

    async def _ask(self, call: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await call
        except InferenceServerException as error:
            raise ModelControlError(error.message()) from error


def _inputs(rows: Sequence[ClipRow]) -> list[InferInput]:
    """Clips of one request share a length, so shorter ones are padded with zeros behind the media file's end."""
    longest = max(len(row.clip) for row in rows)
    clips = np.zeros((len(rows), longest), np.uint8)
    for place, row in zip(clips, rows, strict=True):
        place[: len(row.clip)] = np.frombuffer(row.clip, np.uint8)
    return _tensors(
        ("CLIP", "UINT8", clips),
        ("FRAME_INDEX", "INT32", np.array([row.frame_index for row in rows], np.int32)),
        ("DISPLAY", "INT32", np.array([row.display.row for row in rows], np.int32)),
    )


def _tensors(*tensors: tuple[str, str, npt.NDArray[Any]]) -> list[InferInput]:
    inputs = []
    for name, kind, tensor in tensors:
        inputs.append(InferInput(name, list(tensor.shape), kind))
        inputs[-1].set_data_from_numpy(tensor)
    return inputs


def _translated(error: InferenceServerException, *, on_gpu: bool) -> Exception:
    status = str(error.status())
    if on_gpu and status == _UNKNOWN and not _STUB_DIED.search(error.message()):
        return DecoderRefused(error.message())
    if status in _REFUSED:
        return RowRefused(error.message(), unsupported=_REFUSED[status])
    if status == "StatusCode.DEADLINE_EXCEEDED":
        return DeadlineExceeded("the detector did not answer in time")
    return BackendUnavailable(f"the detector cannot be asked: {error.message()}", retry_after_s=1.0)
