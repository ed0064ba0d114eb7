"""A request's verdict: from the cache, from the scoring of an equal video that is under way, or by scoring it.

Content is known by its digest before anything else is done with it. What lies at a URI is known only when it was
sampled, so what is saved there is decoding and detecting; requests for one URI at one time share sampling too.

Not answered from the cache: a video that a version is on trial on, which is to be compared, and a request for evidence
frames, which the cache does not have. What comes of them is kept all the same.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.caching.single_flight import SingleFlight
from wildgate_server.caching.verdict_cache import VerdictCache
from wildgate_server.caching.verdict_key import VerdictBasis
from wildgate_server.errors import DeadlineExceeded, InvalidRequest, VerdictNotCached
from wildgate_server.evidence import EvidenceFrame
from wildgate_server.media.sampled_video import SampledVideo
from wildgate_server.metrics import Metrics
from wildgate_server.rollout.canary import on_trial
from wildgate_server.scoring import Sampled, Scorer
from wildgate_server.source.content import Content
from wildgate_server.source.content_digest import checked_digest
from wildgate_server.source.video_source import VideoSource
from wildgate_server.stages import Stage, Timings
from wildgate_server.wire import answer_of, verdict_of

__all__ = ["Asked", "Verdicts"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about a video; `deadline` is in monotonic seconds."""

    deadline: float
    max_evidence_frames: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    """A verdict that any number of requests may be answered with, and the stages it took to find it."""

    verdict: pb.Verdict
    timings: Timings
    cached: bool = False
    evidence: tuple[EvidenceFrame, ...] = field(default=(), repr=False)


class Verdicts:
    """Finds verdicts; without a cache it scores every video by itself.

    `max_gap_s` is the gap that sampling aims at.
    """

    def __init__(
        self, *, scorer: Scorer, cache: VerdictCache | None, basis: VerdictBasis, metrics: Metrics, max_gap_s: float
    ) -> None:
        self._scorer = scorer
        self._cache = cache
        self._basis = basis
        self._metrics = metrics
        self._max_gap_s = max_gap_s
        # What concerns one caller alone; all else, such as a corrupt video, holds for all who ask about it.
        self._flights: SingleFlight[_Found] = SingleFlight(personal=(DeadlineExceeded,))

    @property
    def flights(self) -> int:
        """Scorings under way that others may share."""
        return len(self._flights)

    def about(self, source: VideoSource, asked: Asked) -> Coroutine[Any, Any, pb.Verdict]:
        """The verdict on the video in `source`. Raises the errors of `Scorer.sample` and `Scorer.score`."""
        if self._cache is None or asked.max_evidence_frames:
            return self._alone(source, asked)
        if isinstance(source, Content):
            return self._about_content(source, asked, self._cache)
        return self._about_uri(source, asked, self._cache)

    async def about_digest(self, digest: str, *, max_evidence_frames: int = 0) -> pb.Verdict:
        """The verdict that the cache has on content with this digest, `blake3:<hex>`.

        Raises InvalidRequest, and VerdictNotCached also for a video on trial, which is to be looked at.
        """
        started = monotonic()
        checked_digest(digest)
        if max_evidence_frames:
            raise InvalidRequest("evidence frames need the video, not its digest alone", field="max_evidence_frames")
        found = await self._kept(digest, self._cache) if self._cache else None
        if found is None:
            raise VerdictNotCached("no verdict on this content is kept here", field="content_digest")
        return _answer(found, started, {Stage.CACHE: _ms_since(started)}, given_bytes=0)

    async def close(self) -> None:
        """Ends what is under way."""
        await self._flights.close()

    async def _alone(self, source: VideoSource, asked: Asked) -> pb.Verdict:
        started = monotonic()
        sampled = await self._sample(source)
        found = await self._score(sampled, asked.deadline, asked.max_evidence_frames)
        return _answer(found, started, found.timings)

    async def _about_content(self, content: Content, asked: Asked, cache: VerdictCache) -> pb.Verdict:
        started = monotonic()
        content = await content.identified()
        digest, size = content.key, len(content.content)
        if found := await self._kept(digest, cache):
            return _answer(found, started, {Stage.CACHE: _ms_since(started)}, given_bytes=size)
        looked_up = monotonic()
        cache_ms = (looked_up - started) * 1e3
        work = partial(self._score_content, content)
        flight = self._flights.run(self._key(self._flight_subject(digest)), work, asked.deadline)
        del content, work  # the flight's now: who follows another holds that one's copy, not a second one
        found, shared = await flight
        if shared:
            self._metrics.cache.shared()
            return _answer(
                found, started, {Stage.CACHE: cache_ms, Stage.SHARED: _ms_since(looked_up)}, given_bytes=size
            )
        return _answer(found, started, {**found.timings, Stage.CACHE: cache_ms}, given_bytes=size)

    async def _about_uri(self, source: VideoSource, asked: Asked, cache: VerdictCache) -> pb.Verdict:
        started = monotonic()
        # Which videos are on trial shows only when they were sampled: what began under another rollout is not joined.
        subject = f"{self._scorer.releases.rollout!r} {source.key}"
        work = partial(self._sample_and_find, source, cache)
        found, shared = await self._flights.run(self._key(subject), work, asked.deadline)
        if shared:
            self._metrics.cache.shared()
            return _answer(found, started, {Stage.SHARED: _ms_since(started)})
        return _answer(found, started, found.timings)

    async def _score_content(self, content: Content, deadline: float) -> _Found:
        return await self._score(await self._sample(content), deadline)

    async def _sample_and_find(self, source: VideoSource, cache: VerdictCache, deadline: float) -> _Found:
        sampled = await self._sample(source)
        looking = monotonic()
        digest = sampled.video.content_digest
        found = await self._kept(digest, cache)
        looked_up = monotonic()
        timings = {**sampled.timings, Stage.CACHE: (looked_up - looking) * 1e3}
        if found:
            return _Found(_read_as(found.verdict, sampled.video), timings, cached=True)
        work = partial(self._score, sampled)
        found, shared = await self._flights.run(self._key(self._flight_subject(digest)), work, deadline)
        if shared:
            self._metrics.cache.shared()
            timings[Stage.SHARED] = _ms_since(looked_up)
            return _Found(_read_as(found.verdict, sampled.video), timings, cached=found.cached)
        return _Found(found.verdict, {**found.timings, **timings})

    async def _sample(self, source: VideoSource) -> Sampled:
        sampled = await self._scorer.sample(source)
        video = sampled.video
        self._metrics.source.sampled(
            source.kind, file_bytes=video.content_bytes, read_bytes=video.read_bytes, read_requests=video.read_requests
        )
        return sampled

    async def _score(self, sampled: Sampled, deadline: float, max_evidence_frames: int = 0) -> _Found:
        """Scores a sampled video and keeps the verdict, under what it turned out to rest on."""
        scored = await self._scorer.score(sampled, deadline=deadline, max_evidence_frames=max_evidence_frames)
        verdict = verdict_of(scored, self._max_gap_s)
        if self._cache is not None:
            key = self._basis.key(scored.video.content_digest, scored.release, scored.policy)
            await self._cache.keep(key, verdict)
        return _Found(verdict, scored.timings, evidence=scored.evidence)

    async def _kept(self, digest: str, cache: VerdictCache) -> _Found | None:
        """What the cache has on a video, unless the video is on trial."""
        if self._on_trial(digest):
            return None
        verdict = await cache.find(self._key(digest))
        return None if verdict is None else _Found(verdict, {}, cached=True)

    def _on_trial(self, digest: str) -> bool:
        canary = self._scorer.releases.rollout.canary
        return canary is not None and on_trial(digest, canary.share)

    def _flight_subject(self, digest: str) -> str:
        """What scorings are shared by: one that began before the video was on trial is not joined when it is."""
        canary = self._scorer.releases.rollout.canary
        return f"{digest} {canary.version}" if canary and on_trial(digest, canary.share) else digest

    def _key(self, subject: str) -> str:
        """The key of what the serving release and the policy in force say now."""
        return self._basis.key(subject, self._scorer.releases.serving, self._scorer.policy)


def _answer(found: _Found, started: float, timings: Timings, *, given_bytes: int | None = None) -> pb.Verdict:
    """What one request is answered with; `given_bytes` are those of the video that it brought along, if none was read.

    A verdict that came of another request says what reading took that one.
    """
    timings = {**timings, Stage.TOTAL: _ms_since(started)}
    answer = answer_of(found.verdict, timings, cached=found.cached, evidence=found.evidence)
    if given_bytes is not None:
        answer.video.read_bytes, answer.video.read_requests = given_bytes, 0
    return answer


def _read_as(verdict: pb.Verdict, video: SampledVideo) -> pb.Verdict:
    """The verdict on an equal video, with what reading this one took."""
    own = pb.Verdict()
    own.CopyFrom(verdict)
    own.video.content_bytes = video.content_bytes
    own.video.read_bytes = video.read_bytes
    own.video.read_requests = video.read_requests
    return own


def _ms_since(moment: float) -> float:
    return (monotonic() - moment) * 1e3
