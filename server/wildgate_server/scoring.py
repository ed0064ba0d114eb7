"""One sampled video looked at and judged: detections of the release that answers, the policy's verdict, evidence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from time import monotonic

from wildgate_server.blocks.fingerprint import VideoFingerprint
from wildgate_server.errors import CorruptVideo, InvalidVideo
from wildgate_server.inference.evidence import EvidenceFrame, Frames, Picture, evidence_frames, pictures_of
from wildgate_server.inference.observation import Observation, Observer, SeenTrack
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.media.sampled_video import SampledTrack, SampledVideo
from wildgate_server.metrics import Metrics
from wildgate_server.policy import Judgement, Policy, Sighting, View
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.repository.releases import Release, Releases
from wildgate_server.rollout.canary import Opinion, answers_of_both, compare, on_trial, reason_of
from wildgate_server.sampling.look import Places
from wildgate_server.sampling.timeline import gaps_s
from wildgate_server.stages import Stage, Timings

__all__ = ["Resample", "ScoredVideo", "Scorer"]


Resample = Callable[[Places | None, Places], Awaitable[SampledVideo]]
"""Samples the same video once more: `resample(sound_keyframes, near)`, as in `Look`."""

_MOST_DOUBTS = 8  # sightings that a second look is for, the highest scores first


@dataclass(frozen=True, slots=True)
class ScoredVideo:
    """A verdict and all it rests on; timings are milliseconds.

    `tracks` are what was seen of each video track, the default one first. `second_look`: more frames were looked at
    around what was seen. `looked_again`: it rests on more than the first sampling of the video. `decoder` is the model
    that decoded it; `fingerprint` is None where the models make none.
    """

    video: SampledVideo
    tracks: tuple[SeenTrack, ...]
    judgement: Judgement
    policy: Policy
    release: Release
    evidence: tuple[EvidenceFrame, ...]
    timings: Timings = field(repr=False)
    second_look: bool = False
    looked_again: bool = False
    decoder: str = CLIP_DECODER
    fingerprint: VideoFingerprint | None = None


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

    async def score(
        self, video: SampledVideo, *, deadline: float, resample: Resample | None = None, max_evidence_frames: int = 0
    ) -> ScoredVideo:
        """Scores one sampled video, to be answered before `deadline` (monotonic seconds).

        Where pictures are not sound, or what was seen may not have been shown for long enough, it is sampled once more
        by `resample`, if there is one. Raises CorruptVideo when Triton can decode no frame of it, UnsupportedCodec,
        BackendUnavailable, DeadlineExceeded, and what `resample` raises unless the video is at fault.
        """
        began = monotonic()
        looked_s = 0.0
        with self._router.held() as releases:
            seen, video, believed = await self._look_soundly(video, releases, deadline, resample)
            if believed is not None:
                looked_s += monotonic() - began - seen[0].infer_ms / 1e3
            # One policy per verdict: the one in force now, which knows the labels of every release that may answer.
            policy = self.policy
            judging = monotonic()
            opinions = [Opinion(each, _judge(policy, each)) for each in seen]
            judged_s = monotonic() - judging
            again = partial(resample, believed) if resample else None
            more = await self._second_look(opinions, releases, deadline, again) if again else None
            if more:
                looked_s += monotonic() - judging - judged_s
                judging = monotonic()
                opinions = [Opinion(each, _judge(policy, each)) for each in more]
                judged_s += monotonic() - judging
        if len(opinions) > 1:
            compare(opinions[0], opinions[1], video.content_digest, self._metrics)
        observation, judgement = opinions[0].observation, opinions[0].judgement
        making = monotonic()
        evidence = await evidence_frames(self._frames, observation, max_evidence_frames, deadline)
        timings = {
            Stage.QUEUE: observation.queue_ms,
            Stage.INFER: observation.infer_ms,
            Stage.POLICY: judged_s * 1e3,
            Stage.EVIDENCE: (monotonic() - making) * 1e3,
        }
        if looked_s:
            timings[Stage.SECOND_LOOK] = looked_s * 1e3
        return ScoredVideo(
            video=video,
            tracks=observation.tracks,
            judgement=judgement,
            policy=policy,
            release=observation.release,
            evidence=evidence,
            timings=timings,
            second_look=more is not None,
            looked_again=more is not None or believed is not None,
            decoder=observation.decoder,
            fingerprint=getattr(observation, "fingerprint", None),
        )

    async def pictures(
        self, scored: ScoredVideo, wanted: Collection[tuple[int, float]], deadline: float
    ) -> dict[tuple[int, float], Picture]:
        """The `wanted` looked-at frames of a scored video, each by a track's number and a time.

        Raises BackendUnavailable, DeadlineExceeded.
        """
        return await pictures_of(self._frames, scored.decoder, scored.tracks, wanted, deadline)

    async def _look_soundly(
        self, video: SampledVideo, releases: Releases, deadline: float, resample: Resample | None
    ) -> tuple[list[Observation], SampledVideo, Places | None]:
        """What is seen of the video, or of it as sampled once more where that leaves shorter gaps, and which.

        With it the keyframes that alone are believed then, as in `Look`.
        """
        seen: list[Observation] = []
        refused: CorruptVideo | None = None
        try:
            seen = await self._look(video, releases, deadline)
        except CorruptVideo as error:
            refused = error
        if resample and (not seen or seen[0].unsound):
            self._metrics.looked_again("unsound")
            with suppress(InvalidVideo):
                believed = seen[0].sound if seen else ()
                again = await resample(believed, ())
                observations = await self._look(again, releases, deadline)
                if not seen or _gaps_s(observations[0]) < _gaps_s(seen[0]):
                    return observations, replace(again, content_digest=video.content_digest), believed
        if refused:
            raise refused
        return seen, video, None

    async def _second_look(
        self,
        opinions: Sequence[Opinion],
        releases: Releases,
        deadline: float,
        around: Callable[[Places], Awaitable[SampledVideo]],
    ) -> list[Observation] | None:
        """What is seen with more frames around sightings that may call for a graver action; None if there are none."""
        doubts = [doubt for opinion in opinions for doubt in opinion.judgement.doubts]
        if not doubts:
            return None
        self._metrics.looked_again("doubtful")
        strongest = sorted(doubts, key=lambda doubt: (-doubt.action, -doubt.score, doubt.track, doubt.time_s))
        near = tuple(dict.fromkeys((doubt.track, doubt.time_s) for doubt in strongest))[:_MOST_DOUBTS]
        try:
            more = await self._look(await around(near), releases, deadline)
        except InvalidVideo:  # nothing more can be looked at
            return None
        by_version = {each.release.version: each for each in more}
        seen = [opinion.observation for opinion in opinions if opinion.observation.release.version in by_version]
        # None where another version came into force meanwhile: a verdict is that of one.
        return [each.and_(by_version[each.release.version]) for each in seen] or None

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


def _judge(policy: Policy, observation: Observation) -> Judgement:
    return Judgement.of_tracks(_judge_track(policy, seen) for seen in observation.tracks)


def _judge_track(policy: Policy, seen: SeenTrack) -> Judgement:
    sightings = [Sighting(found.label, found.score, found.time_s) for found in seen.detections]
    return policy.judge(sightings, View(seen.track.first_s, seen.track.last_s, seen.frames, seen.track.number))


def _gaps_s(observation: Observation) -> list[float]:
    """The stretches of all tracks without a looked-at frame, the longest first: one that stays hides no shorter one."""
    by_track = (gaps_s(seen.track.first_s, seen.looked_at_s, seen.track.last_s) for seen in observation.tracks)
    return sorted(chain.from_iterable(by_track), reverse=True)
