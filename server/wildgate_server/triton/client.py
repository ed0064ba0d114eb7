"""Triton over gRPC: what it is asked, and what its errors mean to the gateway.

tritonserver 2.51 gets SIGSEGV when an inference ends before it is answered, by its caller's leaving or by its deadline
(triton-inference-server/server issue 7368, mended in 24.12): within 17 s where 4 to 8 callers left after 0 to 400 ms.
So a question that was asked is never taken back, and has no deadline of its own there: whoever asked stops waiting.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import structlog
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
from wildgate_server.tracing import Handed, headers
from wildgate_server.transport import IN_THE_CLEAR, ClientTls, Connected
from wildgate_server.triton.outage import Outage

__all__ = [
    "COSTLY",
    "DAMAGED",
    "BackendLost",
    "ClipRow",
    "DecoderRefused",
    "DetectionBatch",
    "TritonClient",
]

_log = structlog.get_logger()

_MAX_LOGGED = 400
_CHANNEL_ARGUMENTS = [
    ("grpc.lb_policy_name", "round_robin"),  # all Tritons behind a dns:/// name take part
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # one that comes back gets its share soon
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]
# What a Triton that is not there, that ends, or that has no room in /dev/shm says.
_LOST = re.compile(r"StatusCode\.(UNAVAILABLE|CANCELLED)|shared memory")
# A Python-backend process that was killed stays dead, while Triton itself says that the model is ready. An instance is
# called after its model: `clip_decoder_0_0`.
_STUB_DIED = re.compile(r"Stub process '(\w+?)(?:_\d+_\d+)?' is not healthy")
_READY_TIMEOUT_S = 1.0
_CLOSING_S = 10.0  # for what was asked and is not waited for any more: an external Triton serves others too
_MOST_ASKED = 256  # at once: those that a Triton that hangs never answers take memory
_ASKS = 3  # of what is not asked for in batches
_PAUSE_S = 0.2  # until an end of the server is known as such
_MISTRUST_S = 5.0  # after an external Triton reported a dead process; without traffic, no answer would prove otherwise

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
    trace: Handed | None = field(default=None, compare=False)
    """The trace of the request that it belongs to."""


DAMAGED = 2
"""SOUND of a picture that is damaged in the file itself: shown as players show it."""
COSTLY = 3
"""SOUND of a picture that was not decoded, since its window took longer than the decoder gives one."""


@dataclass(frozen=True, slots=True)
class DetectionBatch:
    """DETECTIONS FP32 [rows, F, K, 6], the version of the detector that made them, and what the decoder tells.

    SOUND UINT8 [rows, F] is 1 where the decoder vouches for the picture, 2 where it is damaged in the file itself,
    and 0 where it cannot be shown as it is, COSTLY where that was given up; PICTURE_SIZE INT32 [rows, F, 2] is the
    width and height in pixels at which it is displayed. COST FP32 [rows, 3] is processor seconds, decoded pixels,
    and how long decoding the batch took in seconds, 0 where the decoder does not say.
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


class BackendLost(BackendUnavailable):
    """Triton, or one of its processes, ended while it was asked: asked again, it may answer.

    It may also end again, if what it was asked is what ends it.
    """


class DecoderRefused(RowRefused):
    """The GPU's decoder did not take the rows, and does not say why: the CPU's has the last word.

    DALI's Triton backend fails a whole batch with UNKNOWN, whatever was wrong with which of its clips.
    """


class TritonClient:
    """Asks one Triton (or whatever stands behind a gRPC target) for detections and frames, by the models of `profile`.

    `on_dead(model)` is called for every answer that tells of a model whose process was killed; what heals it says so
    by `healed`. Without one, what stands behind the target is trusted to heal by itself: an answer is the proof, and
    after a few seconds Triton's own word counts again. `clock` returns monotonic seconds.

    During an `outage` nothing is asked. `answered_s` is when the last answer since then came, `failures` is how many
    questions in a row have failed, `asked` how many wait for their answers.
    """

    def __init__(
        self,
        target: str,
        *,
        profile: str = CPU_PROFILE,
        tls: ClientTls = IN_THE_CLEAR,
        on_dead: Callable[[str], None] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._tls = tls
        self._client = self._connected(target)
        self._on_gpu = _ON_GPU if profile != CPU_PROFILE else set()
        self._on_dead = on_dead
        self._clock = clock
        self._dead: dict[str, float] = {}
        self._heals = 0
        self._calls: set[asyncio.Task[Any]] = set()
        self.outage = Outage(clock)
        self.answered_s = -math.inf
        self.failures = 0

    @property
    def asked(self) -> int:
        """Questions that Triton has not answered, whether anybody waits for them or not."""
        return len(self._calls)

    @property
    def dead(self) -> Collection[str]:
        """Models that have lost a process and are not healed."""
        return self._dead.keys()

    async def moved(self, target: str) -> None:
        """Another server has taken the place of the one before, at `target`."""
        before, self._client = self._client, self._connected(target)
        for model in [*self._dead]:
            self.healed(model)
        self.answered_s, self.failures = -math.inf, 0
        await before.close()

    def _connected(self, target: str) -> Connected[InferenceServerClient]:
        return Connected(
            self._tls, lambda creds: InferenceServerClient(target, creds=creds, channel_args=_CHANNEL_ARGUMENTS)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._calls:
            await asyncio.wait(self._calls, timeout=_CLOSING_S)
        await self._client.close()

    async def ready(self, model: str, version: int | None = None) -> bool:
        """Whether `model` (one version or any) is ready and, as far as answers show, works."""
        if not self._on_dead:
            self._dead = {name: seen for name, seen in self._dead.items() if self._clock() - seen < _MISTRUST_S}
        if self._dead:
            return False
        version_text = "" if version is None else str(version)
        try:
            return bool(await self._client.now.is_model_ready(model, version_text, client_timeout=_READY_TIMEOUT_S))
        except InferenceServerException:
            return False

    async def live(self) -> bool:
        """Whether Triton says anything at all within a second."""
        try:
            return bool(await self._client.now.is_server_live(client_timeout=_READY_TIMEOUT_S))
        except InferenceServerException:
            return False

    def healed(self, model: str) -> None:
        """`model` has been loaded again."""
        self._dead.pop(model, None)
        self._heals += 1
        self.outage.end(model)

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
            answer = await self._infer_again(decoder, outputs, inputs, timeout_s)
        if answer is None or (decoder != CLIP_DECODER_SOFTWARE and COSTLY in answer.as_numpy("SOUND")):
            answer = await self._infer_again(CLIP_DECODER_SOFTWARE, outputs, inputs, timeout_s)
        return answer.as_numpy("FRAMES"), answer.as_numpy("PICTURE_SIZE")

    async def fingerprint(
        self, frames: npt.NDArray[np.uint8], picture_size: npt.NDArray[np.int32], timeout_s: float
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        """FINGERPRINT and FINGERPRINT_QUALITY, as in a DetectionBatch, of what `pictures` gave, or what was made of it.

        Raises BackendUnavailable, DeadlineExceeded.
        """
        outputs = ("FINGERPRINT", "FINGERPRINT_QUALITY")
        inputs = _tensors(("FRAMES", "UINT8", frames), ("PICTURE_SIZE", "INT32", picture_size))
        answer = await self._infer_again(FRAME_FINGERPRINT, outputs, inputs, timeout_s)
        return answer.as_numpy(outputs[0]), answer.as_numpy(outputs[1])

    async def _infer(self, model: str, outputs: Sequence[str], inputs: list[InferInput], timeout_s: float) -> Any:
        ends = self._clock() + timeout_s
        await self.outage.over(timeout_s)
        if ends <= self._clock():
            raise DeadlineExceeded("the deadline is too near to ask Triton")
        if self.asked >= _MOST_ASKED:
            raise BackendUnavailable(f"the detector has left {self.asked} questions unanswered", retry_after_s=1.0)
        heals = self._heals
        asking = self._client.now.infer(model, inputs, outputs=[*map(InferRequestedOutput, outputs)], headers=headers())
        call = asyncio.create_task(asking)
        self._calls.add(call)
        call.add_done_callback(self._ended)
        if not (await asyncio.wait({call}, timeout=ends - self._clock()))[0]:
            raise DeadlineExceeded("the detector did not answer in time")
        try:
            answer = call.result()
        except InferenceServerException as error:
            if heals == self._heals:  # else it may tell of a process that has been replaced since
                self._note_death(error.message())
            failure = _translated(error, on_gpu=model in self._on_gpu)
            if isinstance(failure, BackendUnavailable):
                self.failures += 1
                _log.warning("triton_failed", model=model, error=error.message()[:_MAX_LOGGED])
            raise failure from error
        except asyncio.CancelledError:
            raise BackendLost("the detector has gone", retry_after_s=1.0) from None
        if not self._on_dead:
            self._dead.clear()
        self.answered_s, self.failures = self._clock(), 0
        return answer

    async def _infer_again(self, model: str, outputs: Sequence[str], inputs: list[InferInput], timeout_s: float) -> Any:
        """As `_infer`, asking again what was lost."""
        ends = self._clock() + timeout_s
        for _ in range(_ASKS - 1):
            try:
                return await self._infer(model, outputs, inputs, ends - self._clock())
            except BackendLost:
                await asyncio.sleep(_PAUSE_S)
        return await self._infer(model, outputs, inputs, ends - self._clock())

    def _ended(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # nobody may wait for it any more

    def _note_death(self, message: str) -> None:
        if died := _STUB_DIED.search(message):
            self._dead[died[1]] = self._clock()
            if self._on_dead:
                self.outage.begin(died[1])
                self.answered_s = -math.inf
                self._on_dead(died[1])


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
    lost = _LOST.search(f"{status} {error.message()}") or _STUB_DIED.search(error.message())
    kind = BackendLost if lost else BackendUnavailable
    return kind(f"the detector cannot be asked: {error.message()}", retry_after_s=1.0)
