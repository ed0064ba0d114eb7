"""One video's way through the gateway: sample, ask, judge."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from wildgate_server.batcher import Batcher, RowResult
from wildgate_server.detections import Detection, Letterbox, read_detections
from wildgate_server.errors import CorruptVideo, RowRefused, UnsupportedCodec
from wildgate_server.evidence import EvidenceFrame, EvidenceMaker
from wildgate_server.manifest import ModelManifest
from wildgate_server.policy import Judgement, Policy, Sighting
from wildgate_server.sampler import ClipWindow, SampledVideo
from wildgate_server.sampling import longest_gap_s
from wildgate_server.sampling_pool import SamplingPool
from wildgate_server.stages import Stage, Timings
from wildgate_server.triton import ClipRow

__all__ = ["ScoredVideo", "Scorer"]

_MAX_SALVAGED_FRAMES = 256  # a longer clip that does not decode is given up: each of its frames would decode it anew


@dataclass(frozen=True, slots=True)
class ScoredVideo:
    """A verdict and all it rests on. Times are presentation seconds, timings milliseconds."""

    video: SampledVideo
    looked_at_s: tuple[float, ...]
    longest_gap_s: float
    detections: tuple[Detection, ...]
    judgement: Judgement
    policy_version: str
    model_version: str
    evidence: tuple[EvidenceFrame, ...]
    timings: Timings = field(repr=False)


@dataclass(frozen=True, slots=True)
class _LookedAt:
    """A window as Triton answered for it."""

    window: ClipWindow
    result: RowResult


class Scorer:
    """Scores videos with the parts it is given; holds the policy in force."""

    def __init__(
        self,
        *,
        manifest: ModelManifest,
        policy: Policy,
        sampling: SamplingPool,
        batcher: Batcher,
        evidence: EvidenceMaker,
    ) -> None:
        self._manifest = manifest
        self._sampling = sampling
        self._batcher = batcher
        self._evidence = evidence
        self.policy = policy

    async def score(self, source: bytes | Path, *, deadline: float, max_evidence_frames: int = 0) -> ScoredVideo:
        """Scores one video, to be answered before `deadline` (monotonic seconds).

        Raises the errors of `sample_video`, CorruptVideo when Triton can decode no frame of it, UnsupportedCodec,
        BackendUnavailable and DeadlineExceeded.
        """
        started = monotonic()
        policy = self.policy  # one policy per verdict, whatever is reloaded meanwhile
        video = await self._sampling.sample(source)
        sampled = monotonic()
        windows = await self._look(video, deadline)
        judging = monotonic()
        looked_at_s = tuple(time_s for look in windows for time_s in look.window.times_s)
        letterbox = Letterbox.of(video.width, video.height, video.rotation, self._manifest.frame_side_px)
        detections = [
            detection
            for look in windows
            for detection in read_detections(
                look.result.detections, look.window.times_s, self._manifest.labels, letterbox
            )
        ]
        sightings = [Sighting(found.label, found.score, found.time_s) for found in detections]
        judgement = policy.judge(sightings, looked_at_s)
        judged = monotonic()
        evidence = await self._evidence.make(
            [look.window for look in windows],
            detections,
            letterbox,
            video.rotation,
            max_evidence_frames,
            deadline,
        )
        ended = monotonic()
        return ScoredVideo(
            video=video,
            looked_at_s=looked_at_s,
            longest_gap_s=longest_gap_s(video.first_s, looked_at_s, video.last_s),
            detections=tuple(detections),
            judgement=judgement,
            policy_version=policy.version,
            model_version=self._manifest.model_version,
            evidence=tuple(evidence),
            timings={
                Stage.READ: video.read_ms,
                Stage.SAMPLE: video.sample_ms,
                Stage.HANDOVER: max((sampled - started) * 1e3 - video.read_ms - video.sample_ms, 0.0),
                Stage.QUEUE: max(look.result.queue_ms for look in windows),
                Stage.INFER: max(look.result.infer_ms for look in windows),
                Stage.POLICY: (judged - judging) * 1e3,
                Stage.EVIDENCE: (ended - judged) * 1e3,
                Stage.TOTAL: (ended - started) * 1e3,
            },
        )

    async def _look(self, video: SampledVideo, deadline: float) -> list[_LookedAt]:
        """Asks for every window; a window that Triton refuses is asked again frame by frame, if that is cheap."""
        answers = await _gather([self._look_at(window, video, deadline) for window in video.windows])
        windows = [look for answer in answers for look in answer]
        if not windows:
            raise CorruptVideo("no frame that was to be looked at can be decoded", field="source")
        return windows

    async def _look_at(self, window: ClipWindow, video: SampledVideo, deadline: float) -> list[_LookedAt]:
        try:
            return [await self._ask(window, video, deadline)]
        except RowRefused as refusal:
            if refusal.unsupported:
                raise UnsupportedCodec(
                    f"the detector's decoder does not know codec {video.codec}",
                    metadata={"codec": video.codec, "profile": video.profile},
                    field="source",
                ) from None
            if len(window.times_s) == 1 or window.coded_frames > _MAX_SALVAGED_FRAMES:
                return []
        answers = await _gather([self._look_at(frame, video, deadline) for frame in window.frames()])
        return [look for answer in answers for look in answer]

    async def _ask(self, window: ClipWindow, video: SampledVideo, deadline: float) -> _LookedAt:
        row = ClipRow(window.clip, window.frame_index, video.rotation)
        return _LookedAt(window, await self._batcher.submit(row, deadline))


async def _gather(looks: Sequence[Coroutine[None, None, list[_LookedAt]]]) -> list[list[_LookedAt]]:
    """The answers in order; the first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(look) for look in looks]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
