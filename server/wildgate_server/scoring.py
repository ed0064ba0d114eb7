"""One sampled video looked at and judged: detections of the release that answers, the policy's verdict, evidence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from time import monotonic

from wildgate_server.blocks.fingerprint import VideoFingerprint
from wildgate_server.blocks.keypoints import Picture
from wildgate_server.budget import Budget
from wildgate_server.errors import CorruptVideo, InvalidVideo, VideoTooCostly
from wildgate_server.inference.evidence import EvidenceFrame, Frames, evidence_frames, pictures_of
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

    `tracks` are what was seen in each video track, the default one first. `second_look`: more frames were looked at
    around what was seen. `looked_again`: it rests on more than the first sampling of the video. `decoder` is the model
    that decoded it; `fingerprint` is what it is recognised by.
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

    @property
    def top_score(self) -> float:
        """The best score of anything seen, 0 where nothing was."""
        return max((found.score for seen in self.tracks for found in seen.detections), default=0.0)


@dataclass(kw_only=True, eq=False, slots=True)
class Scorer:
    """Scores videos with the parts it is given; holds the policy in force.

    `frames` returns decoded frames for evidence, as `TritonClient.frames` does. `needs_cpu_decoder(track)` tells
    whether the profile's decoder cannot be trusted with a track. `canary_patience_s` is how long a verdict may wait
    for a version on trial, at least.
    """

    policy: Policy
    router: ReleaseRouter
    observer: Observer
    frames: Frames
    needs_cpu_decoder: Callable[[SampledTrack], bool]
    metrics: Metrics
    canary_patience_s: float

    @property
    def releases(self) -> Releases:
        """The releases in force now."""
        return self.router.releases

    async def score(
        self,
        video: SampledVideo,
        *,
        deadline: float,
        resample: Resample | None = None,
        max_evidence_frames: int = 0,
        budget: Budget | None = None,
    ) -> ScoredVideo:
        """Scores one sampled video, to be answered before `deadline` (monotonic seconds).

        Where pictures are not sound, or it is open whether something was shown for long enough, `resample` samples it
        once more, if there is one. Raises CorruptVideo when Triton can decode no frame of it, UnsupportedCodec,
        VideoTooCostly past its `budget`, BackendUnavailable, DeadlineExceeded, and what `resample` raises unless the
        video is at fault.
        """
        began = monotonic()
        looked_s = 0.0
        budget = budget or Budget()
        with self.router.held() as releases:
            seen, video, believed = await self._look_soundly(video, releases, deadline, resample, budget)
            if believed is not None:
                looked_s += monotonic() - began - seen[0].infer_ms / 1e3
            # One policy per verdict: the one in force now, which knows the labels of every release that may answer.
            policy = self.policy
            judging = monotonic()
            opinions = [Opinion(each, _judge(policy, each)) for each in seen]
            judged_s = monotonic() - judging
            again = partial(resample, believed) if resample else None
            more = await self._second_look(opinions, releases, deadline, again, budget) if again else None
            if more:
                looked_s += monotonic() - judging - judged_s
                judging = monotonic()
                opinions = [Opinion(each, _judge(policy, each)) for each in more]
                judged_s += monotonic() - judging
        if len(opinions) > 1:
            compare(opinions[0], opinions[1], video.content_digest, self.metrics)
        observation, judgement = opinions[0].observation, opinions[0].judgement
        making = monotonic()
        evidence = await evidence_frames(self.frames, observation, max_evidence_frames, deadline)
        timings = {
            Stage.QUEUE: observation.queue_ms,
            **_triton_times(observation),
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
            fingerprint=observation.fingerprint,
        )

    def goes_aside(self, video: SampledVideo, budget: Budget) -> bool:
        """Whether a video goes to the decoder that gives way to all other work: it takes long, or needs that one."""
        return any(self.needs_cpu_decoder(track) for track in video.tracks) or not budget.is_usual(video.pixels)

    async def pictures(
        self, scored: ScoredVideo, wanted: Collection[tuple[int, float]], deadline: float
    ) -> dict[tuple[int, float], Picture]:
        """The `wanted` looked-at frames of a scored video, each by a track's number and a time.

        Raises BackendUnavailable, DeadlineExceeded.
        """
        return await pictures_of(self.frames, scored.decoder, scored.tracks, wanted, deadline)

    async def _look_soundly(
        self,
        video: SampledVideo,
        releases: Releases,
        deadline: float,
        resample: Resample | None,
        budget: Budget,
    ) -> tuple[list[Observation], SampledVideo, Places | None]:
        """What is seen in the video, and the video; both also as sampled once more where that leaves shorter gaps.

        In the second case also the keyframes that alone are believed from then on, as in `Look`.
        """
        seen: list[Observation] = []
        refused: CorruptVideo | None = None
        try:
            seen = await self._look(video, releases, deadline, budget)
        except CorruptVideo as error:
            refused = error
        if resample and (not seen or seen[0].unsound):
            self.metrics.looked_again("unsound")
            believed = seen[0].sound if seen else ()
            with _unless_too_costly():
                again = await resample(believed, ())
                more = await self._look(again, releases, deadline, budget)
                merged = _merged(seen, more, Observation.repaired_by) if seen else more
                if merged and (not seen or _gaps_s(merged[0]) < _gaps_s(seen[0])):
                    return merged, video if seen else replace(again, content_digest=video.content_digest), believed
        if refused:
            raise refused
        return seen, video, None

    async def _second_look(
        self,
        opinions: Sequence[Opinion],
        releases: Releases,
        deadline: float,
        around: Callable[[Places], Awaitable[SampledVideo]],
        budget: Budget,
    ) -> list[Observation] | None:
        """What is seen with more frames around the sightings in doubt; None where there are none, or no more frames."""
        doubts = [doubt for opinion in opinions for doubt in opinion.judgement.doubts]
        if not doubts:
            return None
        self.metrics.looked_again("doubtful")
        strongest = sorted(doubts, key=lambda doubt: (-doubt.action, -doubt.score, doubt.track, doubt.time_s))
        near = tuple(dict.fromkeys((doubt.track, doubt.time_s) for doubt in strongest))[:_MOST_DOUBTS]
        with _unless_too_costly():
            more = await self._look(await around(near), releases, deadline, budget)
            return _merged([opinion.observation for opinion in opinions], more, Observation.joined_with) or None
        return None

    async def _look(
        self, video: SampledVideo, releases: Releases, deadline: float, budget: Budget
    ) -> list[Observation]:
        """What the verdict comes from and, if a version is tried on the video, what that is compared with."""
        software = self.goes_aside(video, budget)
        canary = releases.rollout.canary
        serving = self.observer.observe(video, deadline, budget, software=software)
        if not canary or not on_trial(video.content_digest, canary.share):
            return [await serving]
        trial = self.observer.observe(video, deadline, budget, canary=True, software=software)
        answers = await answers_of_both(trial, serving, deadline, self.canary_patience_s)
        observations = [answer for answer in answers if not isinstance(answer, Exception)]
        if not observations:
            raise next(answer for answer in reversed(answers) if isinstance(answer, Exception))  # the serving one's
        for version, answer in zip((canary.version, releases.rollout.serving), answers, strict=True):
            if isinstance(answer, Exception):
                self.metrics.not_compared(releases.by_version[version].model_version, reason_of(answer))
        return observations


def _triton_times(observation: Observation) -> Timings:
    if not observation.decode_ms:
        return {Stage.INFER: observation.infer_ms}
    return {Stage.DECODE: observation.decode_ms, Stage.DETECT: observation.infer_ms - observation.decode_ms}


@contextmanager
def _unless_too_costly() -> Iterator[None]:
    """Leaves it at that where the video has no more to show; one that has cost too much is refused."""
    try:
        yield
    except VideoTooCostly:
        raise
    except InvalidVideo:
        pass


def _merged(
    seen: Sequence[Observation],
    more: Sequence[Observation],
    merge: Callable[[Observation, Observation], Observation],
) -> list[Observation]:
    """What each version saw in both; none of one that came into force meanwhile: a verdict is that of one."""
    by_version = {each.release.version: each for each in more}
    return [merge(each, by_version[each.release.version]) for each in seen if each.release.version in by_version]


def _judge(policy: Policy, observation: Observation) -> Judgement:
    return Judgement.of_tracks(_judge_track(policy, seen) for seen in observation.tracks)


def _judge_track(policy: Policy, seen: SeenTrack) -> Judgement:
    sightings = [Sighting(found.label, found.score, found.time_s) for found in seen.detections]
    return policy.judge(sightings, View(seen.track.first_s, seen.track.last_s, seen.frames, seen.track.number))


def _gaps_s(observation: Observation) -> list[float]:
    """The gaps of all tracks, longest first: compared one by one, so that a long one that stays hides no other."""
    by_track = (gaps_s(seen.track.first_s, seen.looked_at_s, seen.track.last_s) for seen in observation.tracks)
    return sorted(chain.from_iterable(by_track), reverse=True)
