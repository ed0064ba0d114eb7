"""One sampled video looked at by one release: every window is asked for, and what comes back is read as detections."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeAlias, TypeVar

from wildgate_server.blocks.fingerprint import (
    FrameFingerprint,
    VideoFingerprint,
    read_fingerprint,
    without_repeats,
)
from wildgate_server.budget import Budget
from wildgate_server.errors import BackendUnavailable, CorruptVideo, RowRefused, UnsupportedCodec, VideoTooCostly
from wildgate_server.inference.batcher import RowResult
from wildgate_server.inference.detections import Detection, read_detections
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.media.letterbox import Letterbox
from wildgate_server.media.sampled_video import ClipWindow, SampledTrack, SampledVideo
from wildgate_server.persistence import ShownFrame
from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.repository.model_configs import CLIP_DECODER, CLIP_DECODER_SOFTWARE, ensemble
from wildgate_server.repository.releases import Release
from wildgate_server.tracing import handed
from wildgate_server.triton.client import COSTLY, DAMAGED, ClipRow, DecoderRefused

__all__ = ["Observation", "Observer", "SeenTrack", "SeenWindow"]

_MAX_ATTEMPTS = 3
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """A window as Triton answered for it: `letterboxes` are by the places of its times, None where nothing is sound.

    `damaged_s` are the times of frames that are damaged in the file itself: seen as players show them. `superseded`:
    what of it is not sound was asked for in another way. `fingerprints` are those of all sound frames.
    """

    window: ClipWindow
    letterboxes: tuple[Letterbox | None, ...]
    detections: tuple[Detection, ...]
    damaged_s: tuple[float, ...] = ()
    superseded: bool = False
    fingerprints: tuple[FrameFingerprint, ...] = ()

    @property
    def places(self) -> Iterator[tuple[ShownFrame, Letterbox | None]]:
        """The frames that were to be looked at."""
        shown_s = self.window.shown_s or (0.0,) * len(self.window.times_s)
        return zip(map(ShownFrame, self.window.times_s, shown_s), self.letterboxes, strict=True)


@dataclass(frozen=True, slots=True)
class SeenTrack:
    """What was seen in one video track, in all its windows."""

    track: SampledTrack
    windows: tuple[SeenWindow, ...]

    @property
    def detections(self) -> tuple[Detection, ...]:
        """All that was seen, in time order."""
        return tuple(sorted((found for seen in self.windows for found in seen.detections), key=_time_s))

    @property
    def frames(self) -> tuple[ShownFrame, ...]:
        """The looked-at frames, ascending: those that are sound, or damaged for players, too."""
        shown = {frame.time_s: frame for seen in self.windows for frame, letterbox in seen.places if letterbox}
        return tuple(shown[time_s] for time_s in sorted(shown))

    @property
    def looked_at_s(self) -> tuple[float, ...]:
        """When the looked-at frames are shown, in seconds."""
        return tuple(frame.time_s for frame in self.frames)

    @property
    def unsound_s(self) -> tuple[float, ...]:
        """When the frames are shown that were to be looked at and that the decoder does not vouch for, in seconds."""
        asked = {frame.time_s for seen in self.windows if not seen.superseded for frame, _ in seen.places}
        return tuple(sorted(asked - {*self.looked_at_s}))

    @property
    def damaged_s(self) -> tuple[float, ...]:
        """When the looked-at frames are shown that are damaged in the file itself, in seconds."""
        return tuple(time_s for seen in self.windows for time_s in seen.damaged_s)

    def joined_with(self, more: SeenTrack) -> SeenTrack:
        """With what another look at the same track saw; frames that were looked at in both count once."""
        known = {*self.looked_at_s}
        fresh = [
            replace(seen, detections=tuple(found for found in seen.detections if found.time_s not in known))
            for seen in more.windows
        ]
        return SeenTrack(self.track, (*self.windows, *fresh))

    def superseded(self) -> SeenTrack:
        """The same, where what is not sound was asked for in another way."""
        return SeenTrack(self.track, tuple(replace(seen, superseded=True) for seen in self.windows))


@dataclass(frozen=True, slots=True)
class Observation:
    """What one release saw in a video, track by track, decoded by the model `decoder`.

    `queue_ms` is that of the window that waited longest, `infer_ms` and `decode_ms` those of the one that Triton took
    longest for; `decode_ms` is 0 where that is not known.
    """

    release: Release
    tracks: tuple[SeenTrack, ...]
    decoder: str
    queue_ms: float
    infer_ms: float
    decode_ms: float = 0.0

    @property
    def detections(self) -> tuple[Detection, ...]:
        """All that was seen, one track after the other."""
        return tuple(found for seen in self.tracks for found in seen.detections)

    @property
    def unsound(self) -> tuple[tuple[int, float], ...]:
        """Frames that were to be looked at and are not sound: each its track's number and its time in seconds."""
        return tuple((seen.track.number, time_s) for seen in self.tracks for time_s in seen.unsound_s)

    @property
    def sound(self) -> tuple[tuple[int, float], ...]:
        """The looked-at frames: each its track's number and its time in seconds."""
        return tuple((seen.track.number, time_s) for seen in self.tracks for time_s in seen.looked_at_s)

    @property
    def fingerprint(self) -> VideoFingerprint:
        """What the video is recognised by, of all its tracks; as long as the longest of them."""
        windows = (window for seen in self.tracks for window in seen.windows)
        frames = without_repeats(frame for window in windows for frame in window.fingerprints)
        return VideoFingerprint(frames, max(seen.track.last_s - seen.track.first_s for seen in self.tracks))

    def joined_with(self, more: Observation) -> Observation:
        """With what the same release saw at another look."""
        again = {seen.track.number: seen for seen in more.tracks}
        tracks = (
            seen.joined_with(again[seen.track.number]) if seen.track.number in again else seen for seen in self.tracks
        )
        return replace(self, tracks=tuple(tracks))

    def repaired_by(self, more: Observation) -> Observation:
        """With what the same release saw where this is not sound."""
        return replace(self, tracks=tuple(seen.superseded() for seen in self.tracks)).joined_with(more)


class Observer:
    """Has videos looked at by the ensembles that `router` reaches."""

    def __init__(self, manifest: ModelManifest, router: ReleaseRouter) -> None:
        self._side_px = manifest.frame_side_px
        self._router = router

    async def observe(
        self,
        video: SampledVideo,
        deadline: float,
        budget: Budget | None = None,
        *,
        canary: bool = False,
        software: bool = False,
    ) -> Observation:
        """Asks the serving release, or the one on trial, for every window of every track.

        A window that the GPU's decoder refuses, or that takes long, is asked of the other, whose answer counts; where
        that refuses it, too, nothing of it is sound. `software` asks that one from the start. `budget` is told what
        decoding costs, and ends it.

        A verdict is that of one version: where another one came into force between two windows, all are asked for
        again. Raises CorruptVideo when no frame is sound, VideoTooCostly, UnsupportedCodec, BackendUnavailable and
        DeadlineExceeded.
        """
        budget = budget or Budget()
        inquiries = [
            _Inquiry(
                self._router, track, self._side_px, deadline, budget, canary, software, track is video.default_track
            )
            for track in video.tracks
        ]
        for _ in range(_MAX_ATTEMPTS):
            by_track = await _gather([inquiry.windows() for inquiry in inquiries])
            rows = [row for answers in by_track for _, row in answers if row]
            if len(versions := {row.version for row in rows}) <= 1:
                break
        else:
            raise BackendUnavailable(
                f"the versions {sorted(versions)} of the detector answer in turn", retry_after_s=1.0
            )
        tracks = tuple(
            SeenTrack(inquiry.track, tuple(seen for seen, _ in answers))
            for inquiry, answers in zip(inquiries, by_track, strict=True)
        )
        if not any(seen.looked_at_s for seen in tracks):
            raise CorruptVideo("none of the chosen frames can be decoded", field="source")
        slowest = max(rows, key=lambda row: row.infer_ms)
        return Observation(
            release=self._router.release(versions.pop()),
            tracks=tracks,
            decoder=CLIP_DECODER_SOFTWARE if software else CLIP_DECODER,
            queue_ms=max(row.queue_ms for row in rows),
            infer_ms=slowest.infer_ms,
            decode_ms=slowest.decode_ms,
        )


_Answer: TypeAlias = tuple[SeenWindow, RowResult | None]
"""A window as it was seen, and Triton's answer; none where it was refused."""


@dataclass(frozen=True, slots=True)
class _Inquiry:
    """What all windows of one track have in common."""

    router: ReleaseRouter
    track: SampledTrack
    side_px: int
    deadline: float
    budget: Budget
    canary: bool
    software: bool
    required: bool
    """Whether the video cannot be scored without this track; of another one nothing is sound without a decoder."""

    async def windows(self) -> list[_Answer]:
        """The answers in order; the first failure cancels the others and is raised as itself."""
        alike = [tuple(windows) for _, windows in groupby(self.track.windows, lambda window: window.clip)]
        return [answer for answers in await _gather([self._windows(group) for group in alike]) for answer in answers]

    async def _windows(self, windows: Sequence[ClipWindow]) -> list[_Answer]:
        """The answers to windows that share a clip."""
        try:
            answers = await self._ask(windows)
            if not any(row and COSTLY in row.sound for _, row in answers):
                return answers
            if self.software:
                raise VideoTooCostly("decoding a part of the video takes longer than it may", field="source")
            return await self._aside(windows)
        except DecoderRefused:
            return await self._aside(windows)
        except RowRefused as refusal:
            if refusal.unsupported and self.required:
                raise UnsupportedCodec(
                    f"there is no decoder for codec {self.track.codec}",
                    metadata={"codec": self.track.codec, "profile": self.track.profile},
                    field="source",
                ) from None
            return [(SeenWindow(window, (None,) * len(window.times_s), ()), None) for window in windows]

    async def _aside(self, windows: Sequence[ClipWindow]) -> list[_Answer]:
        async with self.budget.aside():
            return await replace(self, software=True)._windows(windows)

    async def _ask(self, windows: Sequence[ClipWindow]) -> list[_Answer]:
        trace = handed()
        rows = [ClipRow(window.clip, window.frame_index, self.track.display, trace) for window in windows]
        name = ensemble(canary=self.canary, software=self.software)
        results = await self.router.submit(name, rows, self.deadline)
        self.budget.spend(sum(float(row.cost[0]) for row in results), sum(float(row.cost[1]) for row in results))
        return [(self._seen(window, row), row) for window, row in zip(windows, results, strict=True)]

    def _seen(self, window: ClipWindow, row: RowResult) -> SeenWindow:
        places = slice(len(window.times_s))
        letterboxes = tuple(
            Letterbox.of(width, height, self.side_px) if sound not in (0, COSTLY) else None
            for sound, (width, height) in zip(
                row.sound[places].tolist(), row.picture_size[places].tolist(), strict=True
            )
        )
        labels = self.router.release(row.version).labels
        detections = read_detections(row.detections, window.times_s, labels, letterboxes, self.track.number)
        sounds = zip(window.times_s, row.sound.tolist(), strict=False)
        damaged_s = tuple(time_s for time_s, sound in sounds if sound == DAMAGED)
        fingerprints = tuple(
            read_fingerprint(hashes, qualities, time_s, self.track.number)
            for hashes, qualities, time_s, letterbox in zip(
                row.fingerprint, row.fingerprint_quality, window.times_s, letterboxes, strict=False
            )
            if letterbox
        )
        return SeenWindow(window, letterboxes, tuple(detections), damaged_s, fingerprints=fingerprints)


async def _gather(answers: Sequence[Coroutine[None, None, _T]]) -> list[_T]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer) for answer in answers]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def _time_s(found: Detection) -> float:
    return found.time_s
