"""One sampled video looked at by one release: every window is asked for, and what comes back is read as detections."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace

from wildgate_server.errors import BackendUnavailable, CorruptVideo, RowRefused, UnsupportedCodec
from wildgate_server.inference.batcher import RowResult
from wildgate_server.inference.detections import Detection, Letterbox, read_detections
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.media.sampled_video import ClipWindow, SampledTrack, SampledVideo
from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.repository.model_configs import CLIP_DECODER, CLIP_DECODER_SOFTWARE, ensemble
from wildgate_server.repository.releases import Release
from wildgate_server.triton.client import ClipRow, DecoderRefused

__all__ = ["Observation", "Observer", "SeenTrack"]

# A longer clip that does not decode is given up: asking for its frames one by one would decode all of it each time.
_MAX_SALVAGED_FRAMES = 256
_MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class SeenTrack:
    """What was seen in one video track: its windows that were looked at, and where its picture lies in the square."""

    track: SampledTrack
    windows: tuple[ClipWindow, ...]
    detections: tuple[Detection, ...]
    letterbox: Letterbox

    @property
    def looked_at_s(self) -> tuple[float, ...]:
        """When the looked-at frames are shown, in seconds."""
        return tuple(time_s for window in self.windows for time_s in window.times_s)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one release saw in a video, track by track, decoded by the model `decoder`.

    `queue_ms` and `infer_ms` are those of the slowest window.
    """

    release: Release
    tracks: tuple[SeenTrack, ...]
    decoder: str
    queue_ms: float
    infer_ms: float

    @property
    def detections(self) -> tuple[Detection, ...]:
        """All that was seen, one track after the other."""
        return tuple(found for seen in self.tracks for found in seen.detections)


class Observer:
    """Has videos looked at by the ensembles that `router` reaches."""

    def __init__(self, manifest: ModelManifest, router: ReleaseRouter) -> None:
        self._side_px = manifest.frame_side_px
        self._router = router

    async def observe(
        self, video: SampledVideo, deadline: float, *, canary: bool = False, software: bool = False
    ) -> Observation:
        """Asks the serving release, or the one on trial, for every window of every track.

        A window that Triton refuses is asked for frame by frame, if that is cheap; one that the GPU's decoder refuses
        is asked of the CPU's, whose answer counts. `software` asks the CPU's from the start.

        A verdict is that of one version: where another one came into force between two windows, all are asked for
        again. Raises CorruptVideo when no frame can be decoded, UnsupportedCodec, BackendUnavailable and
        DeadlineExceeded.
        """
        inquiries = [
            _Inquiry(self._router, track, self._letterbox(track), deadline, canary, software) for track in video.tracks
        ]
        for _ in range(_MAX_ATTEMPTS):
            by_track = await _gather([inquiry.windows(inquiry.track.windows) for inquiry in inquiries])
            answers = [answer for answers in by_track for answer in answers]
            if not answers:
                raise CorruptVideo("no frame that was to be looked at can be decoded", field="source")
            if len(versions := {answer.row.version for answer in answers}) == 1:
                break
        else:
            raise BackendUnavailable(f"the versions {sorted(versions)} of the detector take turns", retry_after_s=1.0)
        return Observation(
            release=self._router.release(versions.pop()),
            tracks=tuple(
                SeenTrack(
                    track=inquiry.track,
                    windows=tuple(answer.window for answer in seen),
                    detections=tuple(found for answer in seen for found in answer.detections),
                    letterbox=inquiry.letterbox,
                )
                for inquiry, seen in zip(inquiries, by_track, strict=True)
            ),
            decoder=CLIP_DECODER_SOFTWARE if software else CLIP_DECODER,
            queue_ms=max(answer.row.queue_ms for answer in answers),
            infer_ms=max(answer.row.infer_ms for answer in answers),
        )

    def _letterbox(self, track: SampledTrack) -> Letterbox:
        return Letterbox.of(track.width, track.height, track.display.rotation, self._side_px)


@dataclass(frozen=True, slots=True)
class _WindowAnswer:
    """A window, or a frame of one, as Triton answered for it."""

    window: ClipWindow
    detections: Sequence[Detection]
    row: RowResult


@dataclass(frozen=True, slots=True)
class _Inquiry:
    """What all windows of one track have in common."""

    router: ReleaseRouter
    track: SampledTrack
    letterbox: Letterbox
    deadline: float
    canary: bool
    software: bool

    async def windows(self, windows: Sequence[ClipWindow]) -> list[_WindowAnswer]:
        """The answers in order; the first failure cancels the others and is raised as itself."""
        return [answer for answers in await _gather([self._window(each) for each in windows]) for answer in answers]

    async def _window(self, window: ClipWindow) -> list[_WindowAnswer]:
        try:
            return [await self._ask(window)]
        except DecoderRefused:
            return await replace(self, software=True).windows([window])
        except RowRefused as refusal:
            if refusal.unsupported:
                raise UnsupportedCodec(
                    f"the detector's decoder does not know codec {self.track.codec}",
                    metadata={"codec": self.track.codec, "profile": self.track.profile},
                    field="source",
                ) from None
            if len(window.times_s) == 1 or window.coded_frames > _MAX_SALVAGED_FRAMES:
                return []
        return await self.windows(window.frames())

    async def _ask(self, window: ClipWindow) -> _WindowAnswer:
        row = ClipRow(window.clip, window.frame_index, self.track.display.rotation)
        name = ensemble(canary=self.canary, software=self.software)
        result = await self.router.submit(name, row, self.deadline)
        labels = self.router.release(result.version).labels
        detections = read_detections(result.detections, window.times_s, labels, self.letterbox, self.track.number)
        return _WindowAnswer(window, detections, result)


async def _gather(answers: Sequence[Coroutine[None, None, list[_WindowAnswer]]]) -> list[list[_WindowAnswer]]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer) for answer in answers]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
