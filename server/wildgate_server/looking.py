"""Looking at one sampled video: its windows are asked for, and what comes back is read as detections of one release."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace

from wildgate_server.detections import Detection, Letterbox, read_detections
from wildgate_server.errors import BackendUnavailable, CorruptVideo, RowRefused, UnsupportedCodec
from wildgate_server.media.sampled_video import ClipWindow, SampledVideo
from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.repository.model_configs import ensemble
from wildgate_server.repository.releases import Release
from wildgate_server.routes import Routes
from wildgate_server.triton.client import ClipRow, DecoderRefused

__all__ = ["Look", "Looker"]

_MAX_SALVAGED_FRAMES = 256  # a longer clip that does not decode is given up: each of its frames would decode it anew
_ASKS = 3


@dataclass(frozen=True, slots=True)
class _Answered:
    """A window, or a frame of one, as Triton answered for it."""

    window: ClipWindow
    detections: Sequence[Detection]
    version: int
    queue_ms: float
    infer_ms: float


@dataclass(frozen=True, slots=True)
class Look:
    """What one release sees in a video; `queue_ms` and `infer_ms` are those of the slowest window."""

    release: Release
    windows: tuple[ClipWindow, ...]
    detections: tuple[Detection, ...]
    letterbox: Letterbox
    queue_ms: float
    infer_ms: float

    @property
    def looked_at_s(self) -> tuple[float, ...]:
        """When the looked-at frames are shown, in seconds."""
        return tuple(time_s for window in self.windows for time_s in window.times_s)


class Looker:
    """Has videos looked at by the ensembles that `routes` lead to."""

    def __init__(self, manifest: ModelManifest, routes: Routes) -> None:
        self._side = manifest.frame_side_px
        self._routes = routes

    async def look(self, video: SampledVideo, ensemble: str, deadline: float) -> Look:
        """Asks `ensemble` for every window; one that Triton refuses is asked for frame by frame, if that is cheap.

        A window that the GPU's decoder does not take is asked for again with the CPU's, whose answer counts.

        A verdict is that of one version: where another one came into force between two windows, all are asked for
        again. Raises CorruptVideo when no frame can be decoded, UnsupportedCodec, BackendUnavailable and
        DeadlineExceeded.
        """
        letterbox = Letterbox.of(video.width, video.height, video.rotation, self._side)
        asking = _Asking(self._routes, ensemble, video, letterbox, deadline)
        for _ in range(_ASKS):
            answers = await asking.windows(video.windows)
            if not answers:
                raise CorruptVideo("no frame that was to be looked at can be decoded", field="source")
            if len(versions := {answer.version for answer in answers}) == 1:
                break
        else:
            raise BackendUnavailable(f"the versions {sorted(versions)} of the detector take turns", retry_after_s=1.0)
        return Look(
            release=self._routes.release(versions.pop()),
            windows=tuple(answer.window for answer in answers),
            detections=tuple(found for answer in answers for found in answer.detections),
            letterbox=letterbox,
            queue_ms=max(answer.queue_ms for answer in answers),
            infer_ms=max(answer.infer_ms for answer in answers),
        )


@dataclass(frozen=True, slots=True)
class _Asking:
    """What all windows of one look have in common."""

    routes: Routes
    ensemble: str
    video: SampledVideo
    letterbox: Letterbox
    deadline: float

    async def windows(self, windows: Sequence[ClipWindow]) -> list[_Answered]:
        """The answers in order; the first failure cancels the others and is raised as itself."""
        return [answer for answers in await _gather([self._window(each) for each in windows]) for answer in answers]

    async def _window(self, window: ClipWindow) -> list[_Answered]:
        try:
            return [await self._ask(window)]
        except DecoderRefused:
            on_cpu = ensemble(canary=self.ensemble == ensemble(canary=True), software=True)
            return await replace(self, ensemble=on_cpu).windows([window])
        except RowRefused as refusal:
            if refusal.unsupported:
                raise UnsupportedCodec(
                    f"the detector's decoder does not know codec {self.video.codec}",
                    metadata={"codec": self.video.codec, "profile": self.video.profile},
                    field="source",
                ) from None
            if len(window.times_s) == 1 or window.coded_frames > _MAX_SALVAGED_FRAMES:
                return []
        return await self.windows(window.frames())

    async def _ask(self, window: ClipWindow) -> _Answered:
        row = ClipRow(window.clip, window.frame_index, self.video.rotation)
        result = await self.routes.submit(self.ensemble, row, self.deadline)
        labels = self.routes.release(result.version).labels
        detections = read_detections(result.detections, window.times_s, labels, self.letterbox)
        return _Answered(window, detections, result.version, result.queue_ms, result.infer_ms)


async def _gather(answers: Sequence[Coroutine[None, None, list[_Answered]]]) -> list[list[_Answered]]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer) for answer in answers]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
