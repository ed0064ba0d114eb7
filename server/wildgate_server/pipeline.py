"""The way of a video. Read this file first: it is the picture in README as code.

    admit      `admission`    a call gets a place, or is refused at once, with its message unread
    receive    `service`      where `arrivals` has room the message is read; its content is kept apart from the rest
    identify   `source/`      content by its digest, before anything else; a file at a URI once it is sampled
    refuse     `blocking`     an exact copy of a blocked video, before anything else is done
    look up    `caching/`     an equal video is answered from the cache, or joins the scoring that is under way
    sample     `sampling/`    in a worker process: index, keyframes, their packets copied into small clips
    take turns `turns`        as many videos are looked at at once as the machine does well, the most urgent first
    look       `inference/`   the clips go to Triton in batches, detections come back; in doubt, once more
    judge      `policy`       detections become a verdict
    recognise  `blocking`     its fingerprint, new or kept with a verdict, is looked for on the list of blocks
    hand over  `enforcement/` a REVIEW or BLOCK has a case, or is on disk until it can have one
    answer     `wire`         the verdict, with this request's own timings and reading

`service` does the first two steps and the last two, `ScoringPipeline` those between; look and judge are in `scoring`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic

from blake3 import blake3

from wildgate_server.blocking import Blocking, Findings
from wildgate_server.budget import Budget, BudgetSettings
from wildgate_server.caching.single_flight import SingleFlight
from wildgate_server.caching.verdict_cache import VerdictCache
from wildgate_server.caching.verdict_key import VerdictBasis
from wildgate_server.case_pictures import case_pictures
from wildgate_server.enforcement.handoff import HandedOver
from wildgate_server.errors import DeadlineExceeded, FetchFailed, InvalidRequest, VerdictNotCached
from wildgate_server.inference.evidence import EvidenceFrame
from wildgate_server.media.sampled_video import SAMPLED, SampledVideo
from wildgate_server.metrics import Metrics
from wildgate_server.rollout.canary import on_trial
from wildgate_server.sampling.cost import usual_videos
from wildgate_server.sampling.look import PLAIN_LOOK, Look, Places, Scrutiny
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.sampling.random_draw import is_drawn
from wildgate_server.sampling.secret import SamplingSecret
from wildgate_server.scoring import ScoredVideo, Scorer
from wildgate_server.source.content import checked_digest
from wildgate_server.source.sources import Sources
from wildgate_server.source.video_source import VideoSource
from wildgate_server.stages import Stage, Timings
from wildgate_server.tracing import span
from wildgate_server.turns import Standing, Turn, Turns

__all__ = ["Answer", "ReadCost", "ScoringPipeline"]

_ORDINARY = Standing()


@dataclass(frozen=True, slots=True)
class ReadCost:
    """What one request read of a video; `file_bytes` is the size of the file, None where it is not known."""

    read_bytes: int
    read_requests: int = 0
    file_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, with what belongs to this request alone.

    `verdict` is encoded once, when it is made: the same bytes are cached, and answer every request for an equal video.
    `timings` are milliseconds. `read` is None where the verdict itself says what was read.
    `blocks` is what the list of blocks says, None where there is none; with `explained` the answer has the fingerprint.
    `case_pictures` are for the case of a REVIEW or BLOCK, `case` is that case, once it is handed over.
    """

    verdict: bytes = field(repr=False)
    timings: Timings
    cached: bool = False
    evidence: tuple[EvidenceFrame, ...] = field(default=(), repr=False)
    read: ReadCost | None = None
    blocks: Findings | None = None
    explained: bool = False
    case_pictures: tuple[EvidenceFrame, ...] = field(default=(), repr=False)
    case: HandedOver | None = None

    def handed_over(self, case: HandedOver) -> Answer:
        """The answer with its case, and the time that this took."""
        total_ms = self.timings.get(Stage.TOTAL, 0.0) + case.took_ms
        return replace(self, case=case, timings={**self.timings, Stage.CASE: case.took_ms, Stage.TOTAL: total_ms})


@dataclass(kw_only=True, eq=False, slots=True)
class ScoringPipeline:
    """Takes an admitted video from its source to its answer.

    Without a cache every video is scored by itself. `encode` makes a scored video the verdict that is cached and
    answered. `secret` makes the seeds by which frames are drawn at random, in a `random_share` of the videos.
    `turns` say whose turn it is to be looked at, `budget` what a video may cost. `blocking` asks the list of blocks, if
    there is one. `case_pictures` are made for the case of a REVIEW or BLOCK.
    """

    sources: Sources
    cache: VerdictCache | None
    basis: VerdictBasis
    sampling: SamplingPool
    secret: SamplingSecret
    random_share: float
    scorer: Scorer
    encode: Callable[[ScoredVideo], bytes]
    metrics: Metrics
    turns: Turns
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    blocking: Blocking | None = None
    case_pictures: int = 0
    # A deadline concerns one caller alone; any other failure, such as a corrupt video, concerns all that wait for it.
    _flights: SingleFlight[Answer] = field(
        init=False, default_factory=lambda: SingleFlight(personal=(DeadlineExceeded,))
    )

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
        standing: Standing = _ORDINARY,
        max_evidence_frames: int = 0,
        scrutiny: Scrutiny = Scrutiny.NORMAL,
        explain: bool = False,
    ) -> Answer:
        """The verdict on a media file, before `deadline` (monotonic seconds).

        Raises InvalidRequest, VideoTooLarge, and the errors of `SamplingPool.sample` and `Scorer.score`.
        """
        started = monotonic()
        source = await self.sources.of_content(content).identified()
        digest, read = source.key, ReadCost(len(content))
        if blocked := await self._exact(digest, content):
            return _finished(replace(blocked, timings={Stage.BLOCKS: _ms_since(started)}, read=read), started)
        del content
        if self.cache is None or max_evidence_frames or explain:
            answer = await self._sample_and_score(
                source, scrutiny, standing, deadline, max_evidence_frames, explain=explain
            )
            return _finished(answer, started)

        if known := await self._look_up(digest, scrutiny):
            return _finished(replace(known, timings={Stage.CACHE: _ms_since(started)}, read=read), started)
        looked_up = monotonic()
        timings = {Stage.CACHE: (looked_up - started) * 1e3}
        work = partial(self._sample_and_score, source, scrutiny, standing)
        key = self._key(self._in_flight_as(digest), scrutiny)
        flight = self._flights.run(key, work, deadline)
        del source, work  # the flight's now: a request that joins another's holds that one's copy, not a second one
        with self.turns.apart(when=key in self._flights):
            answer, shared = await flight
        if shared:
            answer = self._shared(answer, looked_up)
        return _finished(replace(answer, timings={**answer.timings, **timings}, read=read), started)

    async def score_uri(
        self,
        uri: str,
        *,
        deadline: float,
        standing: Standing = _ORDINARY,
        max_evidence_frames: int = 0,
        scrutiny: Scrutiny = Scrutiny.NORMAL,
        explain: bool = False,
    ) -> Answer:
        """The verdict on the file at a URI, which is identified by sampling it; the cache saves decoding and detecting.

        Simultaneous requests for one URI share sampling, too. Raises InvalidRequest, UriNotAllowed, UriNotFound, and
        the errors of `SamplingPool.sample` and `Scorer.score`.
        """
        started = monotonic()
        source = self.sources.of_uri(uri)
        if self.cache is None or max_evidence_frames or explain:
            answer = await self._sample_and_score(
                source, scrutiny, standing, deadline, max_evidence_frames, explain=explain
            )
            return _finished(answer, started)

        # Whether a video is on trial is known once it is sampled, so one begun under another rollout is not joined.
        subject = f"{self.scorer.releases.rollout!r} {source.key}"
        work = partial(self._sample_then_look_up, source, scrutiny, standing)
        key = self._key(subject, scrutiny)
        with self.turns.apart(when=key in self._flights):
            answer, shared = await self._flights.run(key, work, deadline)
        return _finished(self._shared(answer, started) if shared else answer, started)

    async def score_digest(
        self, digest: str, *, max_evidence_frames: int = 0, scrutiny: Scrutiny = Scrutiny.NORMAL
    ) -> Answer:
        """The verdict that the cache has on content with this digest, `blake3:<hex>`.

        Raises InvalidRequest, and VerdictNotCached: also for a video on trial, which has to be looked at.
        """
        started = monotonic()
        checked_digest(digest)
        if max_evidence_frames:
            raise InvalidRequest("evidence frames need the video, not its digest alone", field="max_evidence_frames")
        if blocked := await self._exact(digest):
            return _finished(replace(blocked, timings={Stage.BLOCKS: _ms_since(started)}, read=ReadCost(0)), started)
        known = await self._look_up(digest, scrutiny)
        if known is None:
            raise VerdictNotCached("no verdict on this content is cached", field="content_digest")
        return _finished(replace(known, timings={Stage.CACHE: _ms_since(started)}, read=ReadCost(0)), started)

    async def _sample_then_look_up(
        self, source: VideoSource, scrutiny: Scrutiny, standing: Standing, deadline: float
    ) -> Answer:
        """Identifies the file at a URI by sampling it; from there on its way is that of content."""
        sampled = await self._sample(source, scrutiny, standing)
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
        standing: Standing,
        deadline: float,
        max_evidence_frames: int = 0,
        *,
        explain: bool = False,
    ) -> Answer:
        sampled = await self._sample(source, scrutiny, standing)
        answer = None if source.content_digest else await self._exact(sampled.video.content_digest)
        answer = answer or await self._score(sampled, deadline, max_evidence_frames, explain=explain)
        read = None if source.content_digest else sampled.read
        return replace(answer, timings={**sampled.timings, **answer.timings}, read=read)

    async def _look_up(self, digest: str, scrutiny: Scrutiny) -> Answer | None:
        """What the cache has on a video; nothing on one that a new version is tried on, which is to be compared."""
        if self.cache is None or self._trial_of(digest) is not None:
            return None
        verdict = await self.cache.find(self._key(digest, scrutiny))
        if verdict is None:
            return None
        blocks = None
        if self.blocking:  # now: what was blocked since the verdict was made counts
            blocks = await self.blocking.compare_kept(digest, verdict)
            if blocks is None:
                return None  # its pictures have to be compared
        return Answer(verdict, {}, cached=True, blocks=blocks)

    async def _exact(self, digest: str, content: bytes = b"") -> Answer | None:
        """The answer about a file that is blocked itself."""
        blocked = await self.blocking.exact(digest, content) if self.blocking else None
        return Answer(blocked[0], {}, blocks=blocked[1]) if blocked else None

    async def _sample(self, source: VideoSource, scrutiny: Scrutiny, standing: Standing) -> _Sampled:
        """The video, sampled as closely as is asked and, where it is drawn, with frames that nobody can predict.

        A file at a URI has no digest, and so no seed, until it is sampled: for a closer look it is sampled a second
        time, and both samples identify it.
        """
        sampled = _Sampled(source, scrutiny, standing, Budget(self.budget))
        look = self._look(source.content_digest, scrutiny) if source.content_digest else PLAIN_LOOK
        sampled.take(look, *await self._sample_as(sampled, look))
        first = sampled.video.content_digest
        if not source.content_digest and (look := self._look(first, scrutiny)) != PLAIN_LOOK:
            sampled.take(look, *await self._sample_as(sampled, look))
            both = _joined_digest([first, sampled.video.content_digest])
            sampled.video = replace(sampled.video, content_digest=both)
        return sampled

    def _look(self, digest: str, scrutiny: Scrutiny) -> Look:
        """How to look at the video with this digest: plainly, unless it is drawn or distrusted."""
        seed = self.secret.seed(digest)
        drawn = scrutiny > Scrutiny.NORMAL or is_drawn(seed, self.random_share)
        return Look(scrutiny, seed if drawn else b"")

    async def _sample_as(self, sampled: _Sampled, look: Look) -> tuple[SampledVideo, float]:
        """One more sampling of the video, whose reading is counted, and how long it took in milliseconds."""
        started = monotonic()
        with span("sample", kind=sampled.source.kind):
            video = await self.sampling.sample(sampled.source, look, sampled.budget)
        taken_ms = _ms_since(started)
        self.metrics.sampled(
            sampled.source.kind,
            file_bytes=video.content_bytes,
            read_bytes=video.read_bytes,
            read_requests=video.read_requests,
        )
        sampled.count_reading(video)
        return video, taken_ms

    async def _score(
        self, sampled: _Sampled, deadline: float, max_evidence_frames: int = 0, *, explain: bool = False
    ) -> Answer:
        """Has the video looked at and judged, and caches the verdict by what it rests on.

        A verdict for which more parts of a file were read later is not cached: another request for that file would
        look it up by the first parts alone.
        """
        digest = sampled.video.content_digest
        parts = [digest]

        async def resample(turn: Turn, sound: Places | None, near: Places) -> SampledVideo:
            async with turn.aside():  # a host that does not answer holds up nobody else
                video, _ = await self._sample_as(sampled, replace(sampled.look, near=near, sound_keyframes=sound))
                turn.work += usual_videos(video)
            if video.content_bytes != sampled.video.content_bytes:
                raise FetchFailed("the file changed while it was looked at", field="source", retry_after_s=1.0)
            parts.append(video.content_digest)
            return replace(video, content_digest=digest)  # which decides whether it is on trial

        in_turn = not self.scorer.goes_aside(sampled.video, sampled.budget)
        work = usual_videos(sampled.video)
        async with self.turns.turn(sampled.standing, deadline, work=work, needed=in_turn) as turn:
            sampled.budget.aside = turn.aside
            scored = await self.scorer.score(
                sampled.video,
                deadline=deadline,
                resample=partial(resample, turn),
                max_evidence_frames=max_evidence_frames,
                budget=sampled.budget,
            )
        self.metrics.scored(scored.top_score, scored.judgement.action.name)
        is_whole = sampled.source.content_digest is not None
        if scored.looked_again and not is_whole:
            scored = replace(scored, video=replace(scored.video, content_digest=_joined_digest(parts)))
        verdict = self.encode(scored)
        if self.cache and (is_whole or not scored.looked_again):
            subject = f"{digest} {sampled.scrutiny.name}"
            await self.cache.keep(self.basis.key(subject, scored.release, scored.policy), verdict)
        blocks, timings = None, {**scored.timings, Stage.QUEUE: scored.timings.get(Stage.QUEUE, 0.0) + turn.waited_ms}
        if self.blocking:
            asking = monotonic()
            pictures = partial(self.scorer.pictures, scored, deadline=deadline)
            blocks = await self.blocking.compare(digest, scored.fingerprint, pictures, explain=explain)
            timings = {**timings, Stage.BLOCKS: _ms_since(asking)}
        pictures_for_case: tuple[EvidenceFrame, ...] = ()
        if self.case_pictures:
            making = monotonic()
            pictures_for_case = await case_pictures(self.scorer, scored, blocks, self.case_pictures, deadline)
            timings = {**timings, Stage.EVIDENCE: timings.get(Stage.EVIDENCE, 0.0) + _ms_since(making)}
        return Answer(
            verdict,
            timings,
            evidence=scored.evidence,
            blocks=blocks,
            explained=explain,
            case_pictures=pictures_for_case,
        )

    def _shared(self, answer: Answer, since: float) -> Answer:
        """Another request's answer, for one that waited for it."""
        self.metrics.shared()
        return replace(answer, timings={Stage.SHARED: _ms_since(since)})

    def _trial_of(self, digest: str) -> int | None:
        """The version that is tried on the video, if there is one."""
        canary = self.scorer.releases.rollout.canary
        return canary.version if canary and on_trial(digest, canary.share) else None

    def _in_flight_as(self, digest: str) -> str:
        """What scorings are shared by: one that began before a trial is not joined by a video on trial."""
        version = self._trial_of(digest)
        return digest if version is None else f"{digest} {version}"

    def _key(self, subject: str, scrutiny: Scrutiny) -> str:
        """The key of a verdict by the serving release and the policy in force, looking as closely as is asked."""
        return self.basis.key(f"{subject} {scrutiny.name}", self.scorer.releases.serving, self.scorer.policy)


@dataclass(slots=True)
class _Sampled:
    """A video as it was sampled last, and what that took: milliseconds by stage, and all that was ever read of it."""

    source: VideoSource
    scrutiny: Scrutiny
    standing: Standing
    budget: Budget
    look: Look = PLAIN_LOOK
    video: SampledVideo = field(init=False, repr=False)
    timings: Timings = field(default_factory=dict)
    read: ReadCost | None = None

    def take(self, look: Look, video: SampledVideo, taken_ms: float) -> None:
        """Goes on with one more sampling, which took `taken_ms` in all."""
        self.look, self.video = look, video
        waited_ms = max(taken_ms - video.read_ms - video.sample_ms, 0.0)
        spent = {Stage.READ: video.read_ms, Stage.SAMPLE: video.sample_ms, Stage.HANDOVER: waited_ms}
        self.timings = {stage: self.timings.get(stage, 0.0) + spent_ms for stage, spent_ms in spent.items()}

    def count_reading(self, video: SampledVideo) -> None:
        """Counts what one more sampling read."""
        before = self.read or ReadCost(0)
        self.read = ReadCost(
            before.read_bytes + video.read_bytes, before.read_requests + video.read_requests, video.content_bytes
        )


def _joined_digest(parts: Sequence[str]) -> str:
    """The digest of a file that was sampled several times: of all that was read of it."""
    return f"{SAMPLED}{blake3(' '.join(parts).encode()).hexdigest()}"


def _finished(answer: Answer, started: float) -> Answer:
    return replace(answer, timings={**answer.timings, Stage.TOTAL: _ms_since(started)})


def _ms_since(moment: float) -> float:
    return (monotonic() - moment) * 1e3
