"""One sampled video looked at and judged: detections of the release that answers, the policy's verdict, evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from wildgate_server.inference.detections import Detection
from wildgate_server.inference.evidence import EvidenceFrame, Frames, evidence_frames
from wildgate_server.inference.observation import Observation, Observer
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.media.sampled_video import SampledTrack, SampledVideo
from wildgate_server.metrics import Metrics
from wildgate_server.policy import Judgement, Policy, Sighting
from wildgate_server.repository.releases import Release, Releases
from wildgate_server.rollout.canary import Opinion, answers_of_both, compare, on_trial, reason_of
from wildgate_server.sampling.plan import longest_gap_s
from wildgate_server.stages import Stage, Timings

__all__ = ["ScoredVideo", "Scorer"]


@dataclass(frozen=True, slots=True)
class ScoredVideo:
    """A verdict and all it rests on. Times are presentation seconds, timings milliseconds."""

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

    `frames` returns decoded frames for evidence, as `TritonClient.frames` does. `needs_cpu_decoder(track)` tells
    whether the profile's decoder cannot be trusted with a track. `canary_patience_s` is how long a verdict may wait
    for a version on trial, at least.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        router: ReleaseRouter,
        observer: Observer,
        frames: Frames,
        needs_cpu_decoder: Callable[[SampledTrack], bool],
        metrics: Metrics,
        canary_patience_s: float,
    ) -> None:
        self._router = router
        self._observer = observer
        self._frames = frames
        self._needs_cpu_decoder = needs_cpu_decoder
        self._metrics = metrics
        self._canary_patience_s = canary_patience_s
        self.policy = policy

    @property
    def releases(self) -> Releases:
        """The releases in force now."""
        return self._router.releases

    async def score(self, video: SampledVideo, *, deadline: float, max_evidence_frames: int = 0) -> ScoredVideo:
        """Scores one sampled video, to be answered before `deadline` (monotonic seconds).

        Raises CorruptVideo when Triton can decode no frame of it, UnsupportedCodec, BackendUnavailable and
        DeadlineExceeded.
        """
        with self._router.held() as releases:
            observations = await self._look(video, releases, deadline)
        judging = monotonic()
        # One policy per verdict: the one in force now, which knows the labels of every release that can have answered.
        policy = self.policy
        opinions = [Opinion(seen, _judge(policy, seen)) for seen in observations]
        if len(opinions) > 1:
            compare(opinions[0], opinions[1], video.content_digest, self._metrics)
        seen, judgement = opinions[0].observation, opinions[0].judgement
        judged = monotonic()
        shown = seen.tracks[0]
        evidence = await evidence_frames(self._frames, seen, max_evidence_frames, deadline)
        made = monotonic()
        return ScoredVideo(
            video=video,
            looked_at_s=shown.looked_at_s,
            longest_gap_s=longest_gap_s(shown.track.first_s, shown.looked_at_s, shown.track.last_s),
            detections=seen.detections,
            judgement=judgement,
            policy=policy,
            release=seen.release,
            evidence=evidence,
            timings={
                Stage.QUEUE: seen.queue_ms,
                Stage.INFER: seen.infer_ms,
                Stage.POLICY: (judged - judging) * 1e3,
                Stage.EVIDENCE: (made - judged) * 1e3,
            },
        )

    async def _look(self, video: SampledVideo, releases: Releases, deadline: float) -> list[Observation]:
        """What the video's verdict comes from and, if a version is on trial on it, what it is compared with."""
        software = any(self._needs_cpu_decoder(track) for track in video.tracks)
        canary = releases.rollout.canary
        serving = self._observer.observe(video, deadline, software=software)
        if not canary or not on_trial(video.content_digest, canary.share):
            return [await serving]
        trial = self._observer.observe(video, deadline, canary=True, software=software)
        answers = await answers_of_both(trial, serving, deadline, self._canary_patience_s)
        observations = [answer for answer in answers if not isinstance(answer, Exception)]
        if not observations:
            raise next(answer for answer in reversed(answers) if isinstance(answer, Exception))  # the serving one's
        for version, answer in zip((canary.version, releases.rollout.serving), answers, strict=True):
            if isinstance(answer, Exception):
                self._metrics.not_compared(releases.by_version[version].model_version, reason_of(answer))
        return observations


def _judge(policy: Policy, seen: Observation) -> Judgement:
    sightings = [Sighting(found.label, found.score, found.time_s) for found in seen.detections]
    return policy.judge(sightings, seen.tracks[0].looked_at_s)
