"""One video scored: sample, ask, judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from wildgate_server.detections import Detection
from wildgate_server.evidence import EvidenceFrame, EvidenceMaker, Looked
from wildgate_server.looking import Look, Looker
from wildgate_server.media.sampled_video import SampledVideo
from wildgate_server.metrics import CanaryMetrics
from wildgate_server.policy import Judgement, Policy, Sighting
from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.repository.model_configs import CLIP_DECODER, CLIP_DECODER_SOFTWARE, ensemble
from wildgate_server.repository.releases import Release, Releases
from wildgate_server.rollout.canary import Opinion, answers_of_both, compare, on_trial, reason_of
from wildgate_server.routes import Routes
from wildgate_server.sampling.plan import longest_gap_s
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.source.video_source import VideoSource
from wildgate_server.stages import Stage, Timings

__all__ = ["Sampled", "ScoredVideo", "Scorer"]


@dataclass(frozen=True, slots=True)
class Sampled:
    """A video that can be asked about, and how long it took to get there, in milliseconds."""

    video: SampledVideo
    timings: Timings = field(repr=False)


@dataclass(frozen=True, slots=True)
class ScoredVideo:
    """A verdict and all it rests on. Times are presentation seconds, timings milliseconds, sampling's included."""

    video: SampledVideo
    looked_at_s: tuple[float, ...]
    longest_gap_s: float
    detections: tuple[Detection, ...]
    judgement: Judgement
    policy: Policy
    release: Release
    evidence: tuple[EvidenceFrame, ...]
    timings: Timings = field(repr=False)


class Scorer:
    """Scores videos with the parts it is given; holds the policy in force.

    `software(video)` tells whether a video is to be decoded on the CPU, because the profile's decoder cannot.
    `canary_patience_s` is how long a verdict may wait for a version on trial, at least.
    """

    def __init__(
        self,
        *,
        manifest: ModelManifest,
        policy: Policy,
        sampling: SamplingPool,
        software: Callable[[SampledVideo], bool],
        routes: Routes,
        evidence: EvidenceMaker,
        metrics: CanaryMetrics,
        canary_patience_s: float,
    ) -> None:
        self._sampling = sampling
        self._software = software
        self._routes = routes
        self._looker = Looker(manifest, routes)
        self._evidence = evidence
        self._metrics = metrics
        self._canary_patience_s = canary_patience_s
        self.policy = policy

    @property
    def releases(self) -> Releases:
        """The releases in force now."""
        return self._routes.releases

    async def sample(self, source: VideoSource) -> Sampled:
        """Samples one video. Raises the errors of `SamplingPool.sample`."""
        started = monotonic()
        video = await self._sampling.sample(source)
        taken_ms = (monotonic() - started) * 1e3
        return Sampled(
            video,
            {
                Stage.READ: video.read_ms,
                Stage.SAMPLE: video.sample_ms,
                Stage.HANDOVER: max(taken_ms - video.read_ms - video.sample_ms, 0.0),
            },
        )

    async def score(self, sampled: Sampled, *, deadline: float, max_evidence_frames: int = 0) -> ScoredVideo:
        """Scores one sampled video, to be answered before `deadline` (monotonic seconds).

        Raises CorruptVideo when Triton can decode no frame of it, UnsupportedCodec, BackendUnavailable and
        DeadlineExceeded.
        """
        video = sampled.video
        software = self._software(video)
        with self._routes.held() as releases:
            answers = await self._look(video, software, releases, deadline)
        judging = monotonic()
        # One policy per verdict: the one in force now, which knows the labels of every release that can have answered.
        policy = self.policy
        opinions = [Opinion(look, _judge(policy, look)) for look in answers]
        if len(opinions) > 1:
            compare(opinions[0], opinions[1], video.content_digest, self._metrics)
        opinion = opinions[0]
        look = opinion.look
        judged = monotonic()
        looked = Looked(
            windows=look.windows,
            detections=look.detections,
            letterbox=look.letterbox,
            rotation=video.rotation,
            decoder=CLIP_DECODER_SOFTWARE if software else CLIP_DECODER,
        )
        evidence = await self._evidence.make(looked, max_evidence_frames, deadline)
        made = monotonic()
        return ScoredVideo(
            video=video,
            looked_at_s=look.looked_at_s,
            longest_gap_s=longest_gap_s(video.first_s, look.looked_at_s, video.last_s),
            detections=look.detections,
            judgement=opinion.judgement,
            policy=policy,
            release=look.release,
            evidence=tuple(evidence),
            timings={
                **sampled.timings,
                Stage.QUEUE: look.queue_ms,
                Stage.INFER: look.infer_ms,
                Stage.POLICY: (judged - judging) * 1e3,
                Stage.EVIDENCE: (made - judged) * 1e3,
            },
        )

    async def _look(self, video: SampledVideo, software: bool, releases: Releases, deadline: float) -> list[Look]:
        """What the video's verdict comes from and, if a version is on trial on it, what it is compared with."""
        canary = releases.rollout.canary
        serving = self._looker.look(video, ensemble(software=software), deadline)
        if not canary or not on_trial(video.content_digest, canary.share):
            return [await serving]
        trial = self._looker.look(video, ensemble(canary=True, software=software), deadline)
        answers = await answers_of_both(trial, serving, deadline, self._canary_patience_s)
        looks = [answer for answer in answers if not isinstance(answer, Exception)]
        if not looks:
            raise next(answer for answer in reversed(answers) if isinstance(answer, Exception))  # the serving one's
        for version, answer in zip((canary.version, releases.rollout.serving), answers, strict=True):
            if isinstance(answer, Exception):
                self._metrics.failed(releases.by_version[version].model_version, reason_of(answer))
        return looks


def _judge(policy: Policy, look: Look) -> Judgement:
    sightings = [Sighting(found.label, found.score, found.time_s) for found in look.detections]
    return policy.judge(sightings, look.looked_at_s)
