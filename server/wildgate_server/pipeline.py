"""The way of a video. Read this file first: it is the picture in README as code.

    receive    `service`      a request comes over gRPC, its content apart from its message
    admit      `admission`    it gets a place, or is refused at once
    identify   `source/`      content by its digest, before anything else; what lies at a URI once it is sampled
    refuse     `blocking`     an exact copy of a blocked video, before anything else is done
    look up    `caching/`     an equal video is answered from the cache, or with the scoring that is under way
    sample     `sampling/`    in a worker process: index, keyframes, their packets copied into small clips
    look       `inference/`   the clips go to Triton in batches, detections come back; in doubt, once more
    judge      `policy`       detections become a verdict
    recognise  `blocking`     its fingerprint, new or kept with a verdict, is looked for on the list of blocks
    answer     `wire`         the verdict, and what this request's own way was like

`service` does the first two and the last, `ScoringPipeline` all between them; `scoring` has look and judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic

from blake3 import blake3

from wildgate_server.blocking import Blocking, Findings
from wildgate_server.blocks.fingerprint import VideoFingerprint
from wildgate_server.caching.single_flight import SingleFlight
from wildgate_server.caching.verdict_cache import VerdictCache
from wildgate_server.caching.verdict_key import VerdictBasis
from wildgate_server.errors import DeadlineExceeded, FetchFailed, InvalidRequest, VerdictNotCached
from wildgate_server.inference.evidence import EvidenceFrame
from wildgate_server.media.sampled_video import SAMPLED, SampledVideo
from wildgate_server.metrics import Metrics
from wildgate_server.rollout.canary import on_trial
from wildgate_server.sampling.look import PLAIN_LOOK, Look, Places, Scrutiny
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.sampling.random_draw import is_drawn
from wildgate_server.sampling.secret import SamplingSecret
from wildgate_server.scoring import ScoredVideo, Scorer
from wildgate_server.source.content import checked_digest
from wildgate_server.source.sources import Sources
from wildgate_server.source.video_source import VideoSource
from wildgate_server.stages import Stage, Timings

__all__ = ["Answer", "ReadCost", "ScoringPipeline"]


@dataclass(frozen=True, slots=True)
class ReadCost:
    """What reading a video took one request; `file_bytes` is the size of the file, None where it is not known."""

    read_bytes: int
    read_requests: int = 0
    file_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, and what is this request's own.

    `verdict` is encoded once, when it is made: the same bytes are kept, and answer all who ask about equal videos.
    `timings` are milliseconds. `read` is None where the verdict itself says what reading took.
    `blocks` is what the list of blocks says, None where there is none; with `explained` the answer has the fingerprint.
    """

    verdict: bytes = field(repr=False)
    timings: Timings
    cached: bool = False
    evidence: tuple[EvidenceFrame, ...] = field(default=(), repr=False)
    read: ReadCost | None = None
    blocks: Findings | None = None
    explained: bool = False


class ScoringPipeline:
    """Takes a video that has a place from its source to its answer.

    Without a cache every video is scored by itself. `encode` makes a verdict what is kept and answered. `secret` makes
    the seeds that frames are drawn with, in a `random_share` of the videos. `blocking` asks the list of blocks, if
    there is one.
    """

    def __init__(
        self,
        *,
        sources: Sources,
        cache: VerdictCache | None,
        basis: VerdictBasis,
        sampling: SamplingPool,
        secret: SamplingSecret,
        random_share: float,
        scorer: Scorer,
        encode: Callable[[ScoredVideo], bytes],
        metrics: Metrics,
        blocking: Blocking | None = None,
    ) -> None:
        self._blocking = blocking
        self._sources = sources
        self._cache = cache
        self._basis = basis
        self._sampling = sampling
        self._secret = secret
        self._random_share = random_share
        self._scorer = scorer
        self._encode = encode
        self._metrics = metrics
        # A deadline concerns one caller alone; all else, such as a corrupt video, holds for all who ask about it.
        self._flights: SingleFlight[Answer] = SingleFlight(personal=(DeadlineExceeded,))

    @property
    def flights(self) -> int:
        """Scorings under way that others may share."""
        return len(self._flights)

    async def close(self) -> None:
        """Ends what is under way."""
        await self._flights.close()

    async def score_content(
        self,
        content: bytes,
        *,
        deadline: float,
        max_evidence_frames: int = 0,
        scrutiny: Scrutiny = Scrutiny.NORMAL,
        explain: bool = False,
    ) -> Answer:
        """The verdict on a media file, before `deadline` (monotonic seconds).

        Raises InvalidRequest, VideoTooLarge, and the errors of `SamplingPool.sample` and `Scorer.score`.
        """
        started = monotonic()
        source = await self._sources.of_content(content).identified()
        digest, read = source.key, ReadCost(len(content))
        if blocked := await self._exact(digest, content):
            return _finished(replace(blocked, timings={Stage.BLOCKS: _ms_since(started)}, read=read), started)
        del content
        if self._cache is None or max_evidence_frames or explain:
            answer = await self._sample_and_score(source, scrutiny, deadline, max_evidence_frames, explain=explain)
            return _finished(answer, started)

        if known := await self._look_up(digest, scrutiny):
            return _finished(replace(known, timings={Stage.CACHE: _ms_since(started)}, read=read), started)
        looked_up = monotonic()
        timings = {Stage.CACHE: (looked_up - started) * 1e3}
        work = partial(self._sample_and_score, source, scrutiny)
        flight = self._flights.run(self._key(self._in_flight_as(digest), scrutiny), work, deadline)
        del source, work  # the flight's now: whoever joins another's holds that one's copy, not a second one
        answer, shared = await flight
        if shared:
            answer = self._shared(answer, looked_up)
        return _finished(replace(answer, timings={**answer.timings, **timings}, read=read), started)

    async def score_uri(
        self,
        uri: str,
        *,
        deadline: float,
        max_evidence_frames: int = 0,
        scrutiny: Scrutiny = Scrutiny.NORMAL,
        explain: bool = False,
    ) -> Answer:
        """The verdict on what lies at a URI. It is known once it is sampled: decoding and detecting may be saved.

        Requests for one URI at one time share sampling, too. Raises InvalidRequest, UriNotAllowed, UriNotFound, and the
        errors of `SamplingPool.sample` and `Scorer.score`.
        """
        started = monotonic()
        source = self._sources.of_uri(uri)
        if self._cache is None or max_evidence_frames or explain:
            answer = await self._sample_and_score(source, scrutiny, deadline, max_evidence_frames, explain=explain)
            return _finished(answer, started)

        # Which videos are on trial shows only when they are sampled: what began under another rollout is not joined.
        subject = f"{self._scorer.releases.rollout!r} {source.key}"
        work = partial(self._sample_then_look_up, source, scrutiny)
        answer, shared = await self._flights.run(self._key(subject, scrutiny), work, deadline)
        return _finished(self._shared(answer, started) if shared else answer, started)

    async def score_digest(
        self, digest: str, *, max_evidence_frames: int = 0, scrutiny: Scrutiny = Scrutiny.NORMAL
    ) -> Answer:
        """The verdict that the cache has on content with this digest, `blake3:<hex>`.

        Raises InvalidRequest, and VerdictNotCached also for a video on trial, which is to be looked at.
        """
        started = monotonic()
        checked_digest(digest)
        if max_evidence_frames:
            raise InvalidRequest("evidence frames need the video, not its digest alone", field="max_evidence_frames")
        if blocked := await self._exact(digest):
            return _finished(replace(blocked, timings={Stage.BLOCKS: _ms_since(started)}, read=ReadCost(0)), started)
        known = await self._look_up(digest, scrutiny)
        if known is None:
            raise VerdictNotCached("no verdict on this content is kept here", field="content_digest")
        return _finished(replace(known, timings={Stage.CACHE: _ms_since(started)}, read=ReadCost(0)), started)

    async def _sample_then_look_up(self, source: VideoSource, scrutiny: Scrutiny, deadline: float) -> Answer:
        """Identifies what lies at a URI by sampling it; from there on its way is that of content."""
        sampled = await self._sample(source, scrutiny)
        looking = monotonic()
        digest = sampled.video.content_digest
        if blocked := await self._exact(digest):
            return replace(blocked, timings=sampled.timings, read=sampled.read)
        answer = await self._look_up(digest, scrutiny)
        looked_up = monotonic()
        timings = {**sampled.timings, Stage.CACHE: (looked_up - looking) * 1e3}
        if answer is None:
            key = self._key(self._in_flight_as(digest), scrutiny)
            answer, shared = await self._flights.run(key, partial(self._score, sampled), deadline)
            if shared:
                answer = self._shared(answer, looked_up)
        return replace(answer, timings={**answer.timings, **timings}, read=sampled.read)

    async def _sample_and_score(
        self,
        source: VideoSource,
        scrutiny: Scrutiny,
        deadline: float,
        max_evidence_frames: int = 0,
        *,
        explain: bool = False,
    ) -> Answer:
        sampled = await self._sample(source, scrutiny)
        answer = None if source.content_digest else await self._exact(sampled.video.content_digest)
        answer = answer or await self._score(sampled, deadline, max_evidence_frames, explain=explain)
        read = None if source.content_digest else sampled.read
        return replace(answer, timings={**sampled.timings, **answer.timings}, read=read)

    async def _look_up(self, digest: str, scrutiny: Scrutiny) -> Answer | None:
        """What the cache has on a video; nothing on one that a version is on trial on, which is to be compared."""
        if self._cache is None or self._trial_of(digest) is not None:
            return None
        verdict = await self._cache.find(self._key(digest, scrutiny))
        if verdict is None:
            return None
        blocks = None
        if self._blocking:  # now: what was blocked since the verdict was made counts
            blocks = await self._blocking.compare_kept(digest, verdict)
            if blocks is None:
                return None  # its pictures have to be compared
        return Answer(verdict, {}, cached=True, blocks=blocks)

    async def _exact(self, digest: str, content: bytes = b"") -> Answer | None:
        """The answer about a file that is blocked itself."""
        blocked = await self._blocking.exact(digest, content) if self._blocking else None
        return Answer(blocked[0], {}, blocks=blocked[1]) if blocked else None

    async def _sample(self, source: VideoSource, scrutiny: Scrutiny) -> _Sampled:
        """The video, sampled as the scrutiny asks and, where it is drawn, with frames that nobody foretells.

        What lies at a URI is known, and its seed with it, once it is sampled: where it takes a closer look it is
        sampled a second time, and what identifies it is both.
        """
        sampled = _Sampled(source, scrutiny)
        if source.content_digest:
            await self._sample_as(sampled, self._look(source.content_digest, scrutiny))
            return sampled
        first = await self._sample_as(sampled, PLAIN_LOOK)
        look = self._look(first.content_digest, scrutiny)
        if look != PLAIN_LOOK:
            closer = await self._sample_as(sampled, look)
            both = _joined_digest([first.content_digest, closer.content_digest])
            sampled.video = replace(closer, content_digest=both)
        return sampled

    def _look(self, digest: str, scrutiny: Scrutiny) -> Look:
        """How to look at what this digest identifies: as others are looked at, unless it is drawn or distrusted."""
        seed = self._secret.seed(digest)
        drawn = scrutiny > Scrutiny.NORMAL or is_drawn(seed, self._random_share)
        return Look(scrutiny, seed if drawn else b"")

    async def _sample_as(self, sampled: _Sampled, look: Look) -> SampledVideo:
        started = monotonic()
        video = await self._sampling.sample(sampled.source, look)
        taken_ms = _ms_since(started)
        self._metrics.sampled(
            sampled.source.kind,
            file_bytes=video.content_bytes,
            read_bytes=video.read_bytes,
            read_requests=video.read_requests,
        )
        sampled.add(look, video, taken_ms)
        return video

    async def _score(
        self, sampled: _Sampled, deadline: float, max_evidence_frames: int = 0, *, explain: bool = False
    ) -> Answer:
        """Has the video looked at and judged, and keeps the verdict under what it turned out to rest on.

        A verdict on a file that was read in parts, and then in more, is kept under nothing: whoever samples it anew
        finds only the first of them.
        """
        digest = sampled.video.content_digest
        parts = [digest]

        async def resample(sound: Places | None, near: Places) -> SampledVideo:
            kept = sampled.look, sampled.video, sampled.timings
            video = await self._sample_as(sampled, replace(sampled.look, near=near, sound_keyframes=sound))
            sampled.look, sampled.video, sampled.timings = kept  # the time is the second look's
            if video.content_bytes != sampled.video.content_bytes:
                raise FetchFailed("the file was changed while it was looked at", field="source", retry_after_s=1.0)
            parts.append(video.content_digest)
            return replace(video, content_digest=digest)  # by which it is on trial, or not

        scored = await self._scorer.score(
            sampled.video, deadline=deadline, resample=resample, max_evidence_frames=max_evidence_frames
        )
        is_whole = sampled.source.content_digest is not None
        if scored.looked_again and not is_whole:
            scored = replace(scored, video=replace(scored.video, content_digest=_joined_digest(parts)))
        verdict = self._encode(scored)
        if self._cache and (is_whole or not scored.looked_again):
            subject = f"{digest} {sampled.scrutiny.name}"
            await self._cache.keep(self._basis.key(subject, scored.release, scored.policy), verdict)
        blocks, timings = None, scored.timings
        if self._blocking:
            asking = monotonic()
            pictures = partial(self._scorer.pictures, scored, deadline=deadline)
            blocks = await self._blocking.compare(digest, scored.fingerprint, pictures, explain=explain)
            timings = {**timings, Stage.BLOCKS: _ms_since(asking)}
        return Answer(verdict, timings, evidence=scored.evidence, blocks=blocks, explained=explain)

    async def fingerprint(self, content: bytes, deadline: float) -> VideoFingerprint | None:
        """The fingerprint of a media file that is looked at closely; None where the models make none.

        Raises what `score_content` does.
        """
        source = await self._sources.of_content(content).identified()
        sampled = await self._sample(source, Scrutiny.HIGH)
        return (await self._scorer.score(sampled.video, deadline=deadline)).fingerprint

    def _shared(self, answer: Answer, since: float) -> Answer:
        """Another request's answer as that of one that waited for it."""
        self._metrics.shared()
        return replace(answer, timings={Stage.SHARED: _ms_since(since)})

    def _trial_of(self, digest: str) -> int | None:
        """The version on trial on the video, if there is one."""
        canary = self._scorer.releases.rollout.canary
        return canary.version if canary and on_trial(digest, canary.share) else None

    def _in_flight_as(self, digest: str) -> str:
        """What scorings are shared by: one that began before the video was on trial is not joined when it is."""
        version = self._trial_of(digest)
        return digest if version is None else f"{digest} {version}"

    def _key(self, subject: str, scrutiny: Scrutiny) -> str:
        """The key of what the serving release and the policy in force say now, looking as closely as is asked."""
        return self._basis.key(f"{subject} {scrutiny.name}", self._scorer.releases.serving, self._scorer.policy)


@dataclass(slots=True)
class _Sampled:
    """A video as it was sampled last, and what all samplings of it took: milliseconds by stage, and reading."""

    source: VideoSource
    scrutiny: Scrutiny
    look: Look = PLAIN_LOOK
    video: SampledVideo = field(init=False, repr=False)
    timings: Timings = field(default_factory=dict)
    read: ReadCost | None = None

    def add(self, look: Look, video: SampledVideo, taken_ms: float) -> None:
        """Counts one more sampling, which took `taken_ms` in all."""
        self.look = look
        waited_ms = max(taken_ms - video.read_ms - video.sample_ms, 0.0)
        spent = {Stage.READ: video.read_ms, Stage.SAMPLE: video.sample_ms, Stage.HANDOVER: waited_ms}
        self.video = video
        self.timings = {stage: self.timings.get(stage, 0.0) + spent_ms for stage, spent_ms in spent.items()}
        before = self.read or ReadCost(0)
        self.read = ReadCost(
            before.read_bytes + video.read_bytes, before.read_requests + video.read_requests, video.content_bytes
        )


def _joined_digest(parts: Sequence[str]) -> str:
    """What identifies a file that was sampled several times: by all that was read of it."""
    return f"{SAMPLED}{blake3(' '.join(parts).encode()).hexdigest()}"


def _finished(answer: Answer, started: float) -> Answer:
    return replace(answer, timings={**answer.timings, Stage.TOTAL: _ms_since(started)})


def _ms_since(moment: float) -> float:
    return (monotonic() - moment) * 1e3
