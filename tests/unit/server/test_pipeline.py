"""The way of a video, from its source to its answer: with a scripted sampler and scorer at the seams."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from blake3 import blake3
from blocked_videos import block, disguise, scenery
from event_loop import settled
from releases_under_test import manifest, releases
from scored_videos import FINGERPRINT, LOOKED_AT_S, POLICY, judgement, sampled_video, scored_video

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.blocking import Blocking
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.follower import BlockState
from wildgate_server.blocks.keypoints import keypoints_of
from wildgate_server.blocks.original import Original, OriginalFrame
from wildgate_server.budget import Budget
from wildgate_server.caching.verdict_cache import MemoryStore, VerdictCache
from wildgate_server.caching.verdict_key import VerdictBasis
from wildgate_server.errors import (
    BackendUnavailable,
    CorruptVideo,
    DeadlineExceeded,
    FetchFailed,
    InvalidRequest,
    NotAVideo,
    VerdictNotCached,
    WildgateError,
)
from wildgate_server.inference.evidence import EvidenceFrame
from wildgate_server.limit import GradientLimit
from wildgate_server.media.sampled_video import SAMPLED, SampledVideo
from wildgate_server.metrics import Metrics
from wildgate_server.pipeline import Answer, ScoringPipeline
from wildgate_server.policy import Action, Judgement, Policy
from wildgate_server.repository.releases import Releases
from wildgate_server.rollout.canary import on_trial
from wildgate_server.sampling.look import PLAIN_LOOK, Look, Places, Scrutiny
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.sampling.secret import SamplingSecret
from wildgate_server.scoring import Resample, ScoredVideo
from wildgate_server.source.source_settings import SourceSettings
from wildgate_server.source.sources import Sources
from wildgate_server.source.video_source import VideoSource
from wildgate_server.stages import Stage
from wildgate_server.turns import Turns
from wildgate_server.wire import encoded_blocked_verdict, encoded_verdict, kept_fingerprint, verdict_of

PATIENCE_S = 30.0
VIDEO = b"a video"
DIGEST = f"blake3:{blake3(VIDEO).hexdigest()}"
SECRET = SamplingSecret(bytes(16))
SAMPLED_DIGEST = "blake3-sampled:" + "5" * 64


@dataclass
class FakeScorer:
    """Scores with the release that serves, or the one on trial; waits while it is held, fails while it has an error.

    Where there is something to look at a second time, `near` it, it does; each sampling of a file has a digest, and
    reads the file, of its own.
    """

    releases: Releases = field(default_factory=lambda: releases(1))
    policy: Policy = POLICY
    sampled: list[object] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    scored: list[float] = field(default_factory=list)
    cancelled: int = 0
    error: Exception | None = None
    scoring: asyncio.Event = field(default_factory=asyncio.Event)
    file_digest: str = SAMPLED_DIGEST
    near: Places = ()
    judgement: Judgement = field(default_factory=judgement)
    picture: np.ndarray = field(default_factory=lambda: scenery(1))
    pictures_error: WildgateError | None = None
    shown: list[list[tuple[int, float]]] = field(default_factory=list)
    budgets: list[Budget | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scoring.set()

    async def sample(self, source: VideoSource, look: Look = PLAIN_LOOK, budget: Budget | None = None) -> SampledVideo:
        self.sampled.append(source)
        self.looks.append(look)
        self.budgets.append(budget)
        if source.kind == "content":
            size = len(source.content)
            return sampled_video(
                content_digest=source.content_digest, content_bytes=size, read_bytes=size, read_requests=0
            )
        reads = len(self.sampled)
        digest = self.file_digest if look == PLAIN_LOOK else f"{SAMPLED}{blake3(repr(look).encode()).hexdigest()}"
        return sampled_video(content_digest=digest, read_bytes=100 * reads, read_requests=reads)

    async def pictures(
        self, scored: ScoredVideo, wanted: Collection[tuple[int, float]], deadline: float
    ) -> dict[tuple[int, float], np.ndarray]:
        self.shown.append(sorted(wanted))
        self.patience_s = deadline - monotonic()
        if self.pictures_error:
            raise self.pictures_error
        return dict.fromkeys(wanted, self.picture)

    def goes_aside(self, video: SampledVideo, budget: Budget) -> bool:
        return False

    async def score(
        self,
        video: SampledVideo,
        *,
        deadline: float,
        resample: Resample,
        max_evidence_frames: int = 0,
        budget: Budget | None = None,
    ) -> ScoredVideo:
        self.scored.append(deadline)
        self.budgets.append(budget)
        try:
            await self.scoring.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        if self.near:
            video = replace(video, content_digest=(await resample(None, self.near)).content_digest)
        canary = self.releases.rollout.canary
        trial = canary and on_trial(video.content_digest, canary.share)
        return scored_video(
            video=video,
            policy=self.policy,
            judgement=self.judgement,
            release=self.releases.by_version[canary.version] if canary and trial else self.releases.serving,
            evidence=(EvidenceFrame(2.0, b"jpeg"),) * max_evidence_frames,
            timings={Stage.INFER: 30.0},
            second_look=bool(self.near),
            looked_again=bool(self.near),
        )


class Parts:
    def __init__(
        self,
        root: Path,
        *,
        cached: bool = True,
        random_share: float = 0.0,
        sampling: Any = None,
        blocks: BlockList | None = None,
    ) -> None:
        self.root = root
        self.scorer = FakeScorer()
        self.metrics = Metrics()
        settings = SourceSettings(file_roots=(root,), buckets=("s3://b", "gs://b"))
        self.pipeline = ScoringPipeline(
            sources=Sources(settings),
            cache=VerdictCache([MemoryStore(100, 1 << 20)], 3600, self.metrics) if cached else None,
            basis=VerdictBasis(
                manifest=manifest(),
                decoders={},
                profile="cpu",
                sampling=SamplingSettings(),
                source=settings,
                secret="s",
            ),
            sampling=sampling or self.scorer,
            secret=SECRET,
            random_share=random_share,
            scorer=self.scorer,
            encode=partial(encoded_verdict, max_gap_s=2.5),
            metrics=self.metrics,
            turns=Turns(GradientLimit(4, 64)),
            blocking=self.asking(blocks) if blocks else None,
        )

    def asking(self, blocks: BlockList) -> Blocking:
        return Blocking(
            blocks,
            state=lambda: BlockState.CURRENT,
            policy=lambda: self.scorer.policy,
            kept_fingerprint=kept_fingerprint,
            blocked_verdict=encoded_blocked_verdict,
            metrics=self.metrics,
        )

    async def content(
        self, content: bytes = VIDEO, patience_s: float = PATIENCE_S, evidence: int = 0, **options: Any
    ) -> pb.Verdict:
        scoring = self.pipeline.score_content(
            content, deadline=monotonic() + patience_s, max_evidence_frames=evidence, **options
        )
        del content
        return verdict_of(await scoring)

    async def uri(self, uri: str = "a.mp4", patience_s: float = PATIENCE_S, **options: Any) -> pb.Verdict:
        uri = uri if "://" in uri else f"file://{self.root}/{uri}"
        return verdict_of(await self.pipeline.score_uri(uri, deadline=monotonic() + patience_s, **options))

    async def digest(self, digest: str = DIGEST, evidence: int = 0, **options: Any) -> pb.Verdict:
        return verdict_of(await self.pipeline.score_digest(digest, max_evidence_frames=evidence, **options))

    def by(self, way: str) -> Callable[..., Coroutine[Any, Any, pb.Verdict]]:
        return {"content": self.content, "uri": self.uri}[way]

    async def begun(self, *asked: Coroutine[Any, Any, pb.Verdict], scored: int = 1) -> list[asyncio.Task[pb.Verdict]]:
        """The requests, once so many are being scored; scoring goes on when it is told to."""
        self.scorer.scoring.clear()
        tasks = [asyncio.create_task(each) for each in asked]
        async with asyncio.timeout(PATIENCE_S):
            while len(self.scorer.scored) != scored:
                await asyncio.sleep(0)
        return tasks

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    for name in ("a.mp4", "copy.mp4"):
        (tmp_path / name).touch()
    return Parts(tmp_path)


def stages(verdict: pb.Verdict) -> set[str]:
    return {timing.stage for timing in verdict.timings}


def reads(verdict: pb.Verdict) -> tuple[int, int]:
    return verdict.video.read_bytes, verdict.video.read_requests


def bare(verdict: pb.Verdict) -> pb.Verdict:
    copy = pb.Verdict()
    copy.CopyFrom(verdict)
    for name in ("cached", "timings", "evidence"):
        copy.ClearField(name)
    return copy


BY = pytest.mark.parametrize("by", ["content", "uri"])
SCORED = {"cache", "read", "sample", "handover", "queue", "infer", "total"}


class TestContent:
    async def test_the_second_time_it_is_the_same_verdict_at_once(self, parts: Parts) -> None:
        first, second = await parts.content(), await parts.content()
        assert (first.cached, second.cached) == (False, True)
        assert bare(first) == bare(second)
        assert (first.content_digest, first.coverage.max_gap_s) == (DIGEST, 2.5)
        assert len(parts.scorer.scored) == len(parts.scorer.sampled) == 1
        assert stages(first) == SCORED
        assert stages(second) == {"cache", "total"}, "this request's own times, not those of the first"

    async def test_another_video_is_another(self, parts: Parts) -> None:
        await parts.content()
        assert not (await parts.content(b"another")).cached

    async def test_errors_are_not_kept(self, parts: Parts) -> None:
        parts.scorer.error = NotAVideo("no")
        for _ in range(2):
            with pytest.raises(NotAVideo):
                await parts.content()
        parts.scorer.error = None
        assert not (await parts.content()).cached

    async def test_without_a_cache_every_video_is_scored_by_itself(self, tmp_path: Path) -> None:
        parts = Parts(tmp_path, cached=False)
        verdicts = await asyncio.gather(parts.content(), parts.content())
        assert [verdict.cached for verdict in verdicts] == [False, False]
        assert len(parts.scorer.scored) == 2
        assert stages(verdicts[0]) == SCORED - {"cache"}
        with pytest.raises(VerdictNotCached):
            await parts.digest()

    async def test_what_was_read_is_counted(self, parts: Parts) -> None:
        await parts.content()
        await parts.content()
        for name in ("file", "read"):
            assert parts.metric(f"wildgate_source_{name}_bytes_total", kind="content") == len(VIDEO)


class TestWhatAVerdictRestsOn:
    async def test_a_new_policy_is_not_answered_with_an_old_one_s_verdict(self, parts: Parts) -> None:
        await parts.content()
        strict = POLICY.model_copy(update={"labels": {"live_bear": POLICY.labels["live_bear"]}})
        assert strict.version == POLICY.version
        parts.scorer.policy = strict
        assert not (await parts.content()).cached
        assert (await parts.content()).cached
        parts.scorer.policy = POLICY
        assert (await parts.content()).cached, "and back"

    async def test_a_flight_under_the_old_policy_is_not_boarded_under_the_new_one(self, parts: Parts) -> None:
        old = await parts.begun(parts.content())
        parts.scorer.policy = POLICY.model_copy(update={"version": "p2"})
        new = await parts.begun(parts.content(), scored=2)
        parts.scorer.scoring.set()
        await asyncio.gather(*old, *new)

    async def test_a_verdict_is_kept_under_the_policy_that_made_it(self, parts: Parts) -> None:
        """Not under the one that was in force when the request came."""
        [asking] = await parts.begun(parts.content())
        parts.scorer.policy = POLICY.model_copy(update={"version": "p2"})
        parts.scorer.scoring.set()
        assert (await asking).policy_version == "p2"
        assert (await parts.content()).cached
        parts.scorer.policy = POLICY
        assert not (await parts.content()).cached

    async def test_promoting_and_rolling_back(self, parts: Parts) -> None:
        assert (await parts.content()).model_version == "m/1"
        parts.scorer.releases = releases(2)
        promoted = await parts.content()
        assert (promoted.model_version, promoted.cached) == ("m/2", False)
        parts.scorer.releases = releases(1)
        back = await parts.content()
        assert (back.model_version, back.cached) == ("m/1", True)

    async def test_a_video_on_trial_is_looked_at_each_time(self, parts: Parts) -> None:
        await parts.content()
        parts.scorer.releases = releases(1, canary=2, share=1.0)
        for _ in range(3):
            verdict = await parts.content()
            assert (verdict.model_version, verdict.cached) == ("m/2", False)
        assert len(parts.scorer.scored) == 4
        with pytest.raises(VerdictNotCached):
            await parts.digest()

    async def test_a_video_that_is_not_on_trial_is_answered_as_ever(self, parts: Parts) -> None:
        await parts.content()
        parts.scorer.releases = releases(1, canary=2, share=1e-9)
        verdict = await parts.content()
        assert (verdict.model_version, verdict.cached) == ("m/1", True)

    async def test_what_a_trial_said_counts_once_its_version_serves(self, parts: Parts) -> None:
        parts.scorer.releases = releases(1, canary=2, share=1.0)
        await parts.content()
        parts.scorer.releases = releases(1)
        assert (await parts.content()).model_version == "m/1", "never while another one serves"
        parts.scorer.releases = releases(2)
        verdict = await parts.content()
        assert (verdict.model_version, verdict.cached) == ("m/2", True)

    @BY
    async def test_a_scoring_from_before_the_trial_is_not_joined(self, parts: Parts, by: str) -> None:
        before = await parts.begun(parts.by(by)())
        parts.scorer.releases = releases(1, canary=2, share=1.0)
        on_it = await parts.begun(parts.by(by)(), scored=2)
        parts.scorer.scoring.set()
        await asyncio.gather(*before, *on_it)

    async def test_equal_videos_on_trial_at_one_time_are_compared_once(self, parts: Parts) -> None:
        parts.scorer.releases = releases(1, canary=2, share=1.0)
        await asyncio.gather(*(parts.content() for _ in range(4)))
        assert len(parts.scorer.scored) == 1


class TestEvidence:
    async def test_evidence_needs_the_frames_themselves(self, parts: Parts) -> None:
        await parts.content()
        verdict = await parts.content(evidence=2)
        assert (verdict.cached, len(verdict.evidence)) == (False, 2)
        assert stages(verdict) == SCORED - {"cache"}

    async def test_the_verdict_is_kept_without_them(self, parts: Parts) -> None:
        asked = await parts.content(evidence=2)
        kept = await parts.content()
        assert kept.cached
        assert not kept.evidence
        assert bare(kept) == bare(asked)

    async def test_nobody_is_given_another_one_s_evidence(self, parts: Parts) -> None:
        plain, with_frames = await asyncio.gather(parts.content(), parts.content(evidence=1))
        assert (len(plain.evidence), len(with_frames.evidence)) == (0, 1)


class TestDigestAlone:
    async def test_a_kept_verdict(self, parts: Parts) -> None:
        scored = await parts.content()
        verdict = await parts.digest()
        assert verdict.cached
        assert (verdict.video.read_bytes, verdict.video.content_bytes) == (0, len(VIDEO)), "nothing came along"
        verdict.video.read_bytes = len(VIDEO)
        assert bare(verdict) == bare(scored)
        assert stages(verdict) == {"cache", "total"}

    @pytest.mark.parametrize("scored_before", [False, True])
    async def test_no_verdict_is_kept_or_one_under_another_policy(self, parts: Parts, scored_before: bool) -> None:
        if scored_before:
            await parts.content()
            parts.scorer.policy = POLICY.model_copy(update={"version": "p2"})
        with pytest.raises(VerdictNotCached) as refusal:
            await parts.digest()
        assert refusal.value.field == "content_digest"

    @pytest.mark.parametrize(
        ("asked", "field"), [({"digest": "blake3:00"}, "content_digest"), ({"evidence": 1}, "max_evidence_frames")]
    )
    async def test_what_a_digest_must_be_and_cannot_give(self, parts: Parts, asked: dict, field: str) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            await parts.digest(**asked)
        assert refusal.value.field == field


class TestTogether:
    async def test_equal_videos_at_one_time_are_scored_once(self, parts: Parts) -> None:
        verdicts = await asyncio.gather(*(parts.content() for _ in range(5)))
        assert len(parts.scorer.scored) == 1
        assert len({bare(verdict).SerializeToString(deterministic=True) for verdict in verdicts}) == 1
        assert [verdict.cached for verdict in verdicts] == [False] * 5, "it was scored for them"
        assert stages(verdicts[0]) == SCORED
        assert all(stages(verdict) == {"cache", "shared", "total"} for verdict in verdicts[1:])
        assert parts.metric("wildgate_cache_shared_total") == 4
        assert parts.pipeline.flights == 0

    async def test_each_answer_is_its_own(self, parts: Parts) -> None:
        first, second = await asyncio.gather(parts.content(), parts.content())
        first.action = pb.ACTION_UNSPECIFIED
        assert second.action == pb.ACTION_BLOCK
        assert (await parts.content()).action == pb.ACTION_BLOCK

    @pytest.mark.parametrize("error", [CorruptVideo("no frame"), BackendUnavailable("away")])
    async def test_a_failure_is_told_to_all_and_not_asked_for_again(self, parts: Parts, error: Exception) -> None:
        parts.scorer.error = error
        outcomes = await asyncio.gather(*(parts.content() for _ in range(3)), return_exceptions=True)
        assert outcomes == [error] * 3
        assert len(parts.scorer.scored) == 1

    @BY
    async def test_who_has_more_time_does_not_fail_with_the_first_one_s_deadline(self, parts: Parts, by: str) -> None:
        [hasty] = await parts.begun(parts.by(by)(patience_s=1))
        patient = asyncio.create_task(parts.by(by)(patience_s=1000))
        await asyncio.sleep(0.01)
        parts.scorer.error = DeadlineExceeded("the hasty one's")
        parts.scorer.scoring.set()
        with pytest.raises(DeadlineExceeded):
            await hasty
        parts.scorer.error = None
        assert (await patient).action == pb.ACTION_BLOCK
        first, second = parts.scorer.scored
        assert second - first > 900, "scored within its own deadline"

    @BY
    async def test_the_work_goes_on_until_all_have_left(self, parts: Parts, by: str) -> None:
        callers = await parts.begun(*(parts.by(by)() for _ in range(3)))
        for caller in callers:
            assert (parts.scorer.cancelled, parts.pipeline.flights > 0) == (0, True)
            caller.cancel()
            await asyncio.wait({caller})
            await settled()
        assert (len(parts.scorer.scored), parts.scorer.cancelled, parts.pipeline.flights) == (1, 1, 0)

    async def test_who_follows_holds_no_second_copy_of_the_video(self, parts: Parts) -> None:
        gone: list[int] = []

        class Video(bytes):
            number = 0

            def __del__(self) -> None:
                gone.append(self.number)

        def asked(number: int) -> Coroutine[Any, Any, pb.Verdict]:
            video = Video(VIDEO)
            video.number = number
            return parts.content(video)

        callers = await parts.begun(asked(1), asked(2), asked(3))
        await asyncio.sleep(0.01)
        assert sorted(gone) == [2, 3]
        parts.scorer.scoring.set()
        await asyncio.gather(*callers)
        parts.scorer.sampled.clear()
        assert sorted(gone) == [1, 2, 3]

    async def test_closing_ends_what_is_under_way(self, parts: Parts) -> None:
        callers = await parts.begun(parts.content(), parts.content())
        await parts.pipeline.close()
        assert parts.scorer.cancelled == 1
        await asyncio.wait(callers)


class TestUri:
    async def test_a_file_is_known_once_it_is_sampled(self, parts: Parts) -> None:
        first, second = await parts.uri(), await parts.uri()
        assert (first.cached, second.cached) == (False, True)
        assert first.content_digest == second.content_digest == SAMPLED_DIGEST
        assert (len(parts.scorer.sampled), len(parts.scorer.scored)) == (2, 1)
        assert stages(first) == SCORED
        assert stages(second) == {"cache", "read", "sample", "handover", "total"}
        assert (first.video.read_bytes, second.video.read_bytes, second.video.read_requests) == (100, 200, 2)

    async def test_a_file_that_changed_is_another_video(self, parts: Parts) -> None:
        await parts.uri()
        parts.scorer.file_digest = "blake3-sampled:" + "6" * 64
        assert not (await parts.uri()).cached

    async def test_one_uri_at_one_time_is_sampled_once(self, parts: Parts) -> None:
        first, second = await asyncio.gather(parts.uri(), parts.uri())
        assert (len(parts.scorer.sampled), len(parts.scorer.scored)) == (1, 1)
        assert bare(first) == bare(second)
        assert (stages(first), stages(second)) == (SCORED, {"shared", "total"})

    async def test_two_uris_of_equal_files_are_sampled_each_and_scored_once(self, parts: Parts) -> None:
        first, second = await asyncio.gather(parts.uri(), parts.uri("copy.mp4"))
        assert (len(parts.scorer.sampled), len(parts.scorer.scored)) == (2, 1)
        assert stages(second) == {"cache", "read", "sample", "handover", "shared", "total"}
        assert (first.video.read_requests, second.video.read_requests) == (1, 2), "what it took to read each"
        assert parts.metric("wildgate_cache_shared_total") == 1

    async def test_a_file_that_was_read_whole_is_known_as_content(self, parts: Parts) -> None:
        parts.scorer.file_digest = DIGEST
        by_uri = await parts.uri()
        content, digest = await parts.content(), await parts.digest()
        assert (content.cached, digest.cached) == (True, True)
        assert reads(by_uri) == (100, 1)
        assert (reads(content), reads(digest)) == ((len(VIDEO), 0), (0, 0)), "their own, not those of who came first"

    async def test_content_that_joins_a_file_s_scoring_says_its_own_reads(self, parts: Parts) -> None:
        parts.scorer.file_digest = DIGEST
        [by_uri] = await parts.begun(parts.uri())
        by_content = asyncio.create_task(parts.content())
        await asyncio.sleep(0.01)
        parts.scorer.scoring.set()
        assert (reads(await by_uri), reads(await by_content)) == ((100, 1), (len(VIDEO), 0))
        assert len(parts.scorer.scored) == 1

    @pytest.mark.parametrize(
        ("uri", "kind"),
        [
            ("a.mp4", "file"),
            ("https://host/a", "http"),
            ("http://host/a", "http"),
            ("s3://b/a", "s3"),
            ("gs://b/a", "gs"),
        ],
    )
    async def test_what_was_read_is_counted_by_kind(self, parts: Parts, uri: str, kind: str) -> None:
        await parts.uri(uri)
        assert parts.metric("wildgate_source_read_bytes_total", kind=kind) == 100
        assert parts.metric("wildgate_source_file_bytes_total", kind=kind) == 1000
        assert parts.metric("wildgate_source_read_requests_total", kind=kind) == 1


HIGH = Scrutiny.HIGH


class TestScrutiny:
    @BY
    async def test_each_has_verdicts_of_its_own(self, parts: Parts, by: str) -> None:
        score = parts.by(by)
        verdicts = [await score(), await score(scrutiny=HIGH), await score(scrutiny=HIGH), await score()]
        assert [verdict.cached for verdict in verdicts] == [False, False, True, True]

    async def test_a_closer_look_is_not_shared_with_who_wants_less(self, parts: Parts) -> None:
        tasks = await parts.begun(parts.content(), parts.content(scrutiny=HIGH), scored=2)
        parts.scorer.scoring.set()
        await asyncio.gather(*tasks)
        assert sorted(look.scrutiny for look in parts.scorer.looks) == [Scrutiny.NORMAL, HIGH]

    async def test_a_digest_alone_finds_what_was_looked_at_as_closely(self, parts: Parts) -> None:
        await parts.content()
        with pytest.raises(VerdictNotCached):
            await parts.digest(scrutiny=HIGH)
        await parts.content(scrutiny=HIGH)
        assert (await parts.digest(scrutiny=HIGH)).cached


class TestDrawnFrames:
    async def test_content_that_is_drawn_is_sampled_once_with_its_seed(self, tmp_path: Path) -> None:
        for share, seed in ((0.0, b""), (1.0, SECRET.seed(DIGEST))):
            parts = Parts(tmp_path, random_share=share)
            await parts.content()
            assert parts.scorer.looks == [Look(seed=seed)]

    @pytest.mark.parametrize(("share", "scrutiny"), [(1.0, Scrutiny.NORMAL), (0.0, HIGH)])
    async def test_a_file_is_sampled_again_with_the_seed_of_what_it_holds(
        self, tmp_path: Path, share: float, scrutiny: Scrutiny
    ) -> None:
        (tmp_path / "a.mp4").touch()
        parts = Parts(tmp_path, random_share=share)
        first, second = [await parts.uri(scrutiny=scrutiny) for _ in range(2)]
        closer = Look(scrutiny, SECRET.seed(SAMPLED_DIGEST))
        assert parts.scorer.looks == [PLAIN_LOOK, closer] * 2
        assert (first.cached, second.cached) == (False, True)
        assert first.content_digest == second.content_digest
        assert first.content_digest.startswith(SAMPLED)
        assert first.content_digest != SAMPLED_DIGEST, "it rests on both samplings"
        assert reads(first) == (300, 3), "of both samplings"

    async def test_a_file_that_is_not_drawn_is_sampled_once(self, parts: Parts) -> None:
        await parts.uri()
        assert parts.scorer.looks == [PLAIN_LOOK]


class TestASecondLook:
    NEAR = ((0, 2.0),)

    async def test_it_is_as_close_as_the_first(self, parts: Parts) -> None:
        parts.scorer.near = self.NEAR
        verdict = await parts.content(scrutiny=HIGH)
        seed = SECRET.seed(DIGEST)
        assert parts.scorer.looks == [Look(HIGH, seed), Look(HIGH, seed, near=self.NEAR)]
        assert (verdict.coverage.second_look, verdict.content_digest) == (True, DIGEST)
        assert (await parts.content(scrutiny=HIGH)).cached

    async def test_a_file_s_verdict_that_rests_on_more_than_identifies_it_is_not_kept(self, parts: Parts) -> None:
        parts.scorer.near = self.NEAR
        first, second = await parts.uri(), await parts.uri()
        assert (first.cached, second.cached) == (False, False)
        assert first.content_digest == second.content_digest != SAMPLED_DIGEST
        assert reads(first) == (300, 3)

    async def test_whatever_is_done_for_a_video_has_one_budget(self, parts: Parts) -> None:
        parts.scorer.near = self.NEAR
        await parts.uri()
        first, *others = parts.scorer.budgets
        assert first is not None
        assert [each is first for each in others] == [True, True], "scored, and sampled once more"

    async def test_a_file_that_was_changed_meanwhile_is_to_be_asked_for_again(self, parts: Parts) -> None:
        parts.scorer.near = self.NEAR
        sizes = iter([1000, 1001])
        sample = parts.scorer.sample

        class Changing:
            async def sample(self, source: VideoSource, look: Look, budget: Budget) -> SampledVideo:
                return replace(await sample(source, look), content_bytes=next(sizes))

        parts = Parts(parts.root, sampling=Changing())
        parts.scorer.near = self.NEAR
        with pytest.raises(FetchFailed, match="changed while it was looked at") as refusal:
            await parts.uri()
        assert refusal.value.retry_after_s


@pytest_asyncio.fixture
async def blocks(tmp_path: Path) -> AsyncIterator[BlockList]:
    loaded = await BlockList.load(tmp_path / "blocks")
    yield loaded
    await loaded.close()


@pytest.fixture
def guarded(blocks: BlockList, tmp_path: Path) -> Parts:
    (tmp_path / "a.mp4").touch()
    return Parts(tmp_path, blocks=blocks)


RANDOM = np.random.default_rng(1)
ALLOWED = Policy.model_validate({**POLICY.model_dump(), "labels": {"nothing": POLICY.labels["live_bear"].model_dump()}})


def kinds(verdict: pb.Verdict) -> list[tuple[str, str, str]]:
    return [
        (match.block_id, pb.BlockMatch.Kind.Name(match.kind)[5:], pb.Action.Name(match.action)[7:])
        for match in verdict.block_matches
    ]


class TestBlocks:
    async def test_an_exact_copy_is_refused_before_anything_is_sampled(self, guarded: Parts, blocks: BlockList) -> None:
        await blocks.put([block("b", digests=[DIGEST], label="rhino_horn", reason="case 7")])
        for verdict in (await guarded.content(), await guarded.content(evidence=2), await guarded.digest()):
            assert kinds(verdict) == [("b", "EXACT", "BLOCK")]
            assert (verdict.action, verdict.content_digest) == (pb.ACTION_BLOCK, DIGEST)
            assert verdict.block_matches[0].reason == "case 7"
            assert stages(verdict) == {"blocks", "total"}
        assert not guarded.scorer.sampled
        assert guarded.metric("wildgate_block_matches_total", kind="exact") == 3

    async def test_what_is_added_while_a_video_is_scored_counts(self, guarded: Parts, blocks: BlockList) -> None:
        [scoring] = await guarded.begun(guarded.content())
        await blocks.put([block("b", FINGERPRINT, [DIGEST])])
        guarded.scorer.scoring.set()
        verdict = await scoring
        assert (kinds(verdict), verdict.action) == ([("b", "EXACT", "BLOCK")], pb.ACTION_BLOCK)

    async def test_others_know_it_by_its_sha256_alone(self, guarded: Parts, blocks: BlockList) -> None:
        await blocks.put([block("theirs", digests=[f"sha256:{hashlib.sha256(VIDEO).hexdigest()}"])])
        assert kinds(await guarded.content()) == [("theirs", "EXACT", "BLOCK")]
        assert not guarded.scorer.sampled

    async def test_a_file_is_known_once_it_is_sampled(self, guarded: Parts, blocks: BlockList) -> None:
        await blocks.put([block("b", digests=[SAMPLED_DIGEST])])
        assert kinds(await guarded.uri()) == [("b", "EXACT", "BLOCK")]
        assert (len(guarded.scorer.sampled), len(guarded.scorer.scored)) == (1, 0)

    @BY
    async def test_a_kept_verdict_does_not_get_round_a_new_block(
        self, guarded: Parts, blocks: BlockList, by: str
    ) -> None:
        first = await guarded.by(by)()
        assert not first.block_matches
        assert first.block_check == pb.BlockCheck(state=pb.BlockCheck.STATE_CURRENT, frames_compared=True)
        await blocks.put([block("b", disguise(FINGERPRINT, 20, RANDOM))])
        second = await guarded.by(by)()
        assert (second.cached, kinds(second), second.block_check.position) == (True, [("b", "FRAMES", "BLOCK")], 1)
        await blocks.remove(["b"], "me")
        assert not (await guarded.by(by)()).block_matches
        assert len(guarded.scorer.scored) == 1

    async def test_what_others_only_resemble_is_looked_at_by_people(self, guarded: Parts, blocks: BlockList) -> None:
        guarded.scorer.policy = ALLOWED
        await blocks.put([block("hash", disguise(FINGERPRINT, 0, RANDOM, of=slice(1)))])
        assert kinds(await guarded.content()) == [("hash", "CANDIDATE", "REVIEW")]
        assert not guarded.scorer.shown, "there is nothing to compare with"

    @pytest.mark.parametrize(
        ("shown", "kept", "near", "found"),
        [
            (1, [1], 2, [("b", "CONFIRMED", "BLOCK")]),
            (1, [1], 1, [("b", "CONFIRMED", "REVIEW")]),  # a still picture in less than half of a video
            (1, [1, 3], 1, [("b", "CONFIRMED", "REVIEW")]),  # one picture of a video that has more
            (2, [1], 2, []),
        ],
    )
    async def test_what_resembles_a_confirmed_video_is_compared_once(
        self,
        guarded: Parts,
        blocks: BlockList,
        shown: int,
        kept: list[int],
        near: int,
        found: list[tuple[str, str, str]],
    ) -> None:
        guarded.scorer.picture = scenery(shown)
        original = Original.of(OriginalFrame(0, float(at), keypoints_of(scenery(seed))) for at, seed in enumerate(kept))
        entry = block("b", disguise(FINGERPRINT, 5, RANDOM, of=slice(near)), descriptors=original.encode())
        for frame in entry.fingerprint.frames:
            frame.hashes[0] = RANDOM.bytes(32)  # regions alone are near
        await guarded.content()
        await blocks.put([entry])
        with pytest.raises(VerdictNotCached):
            await guarded.digest()  # the video itself is wanted
        again, later = await guarded.content(), await guarded.digest()
        assert (again.cached, kinds(again)) == (False, found)
        assert (later.cached, kinds(later)) == (True, found)
        assert guarded.scorer.shown == [[(0, time_s) for time_s in LOOKED_AT_S[:near]]]

    async def test_descriptors_that_cannot_be_read_are_nothing_to_compare_with(
        self, guarded: Parts, blocks: BlockList
    ) -> None:
        await blocks.put([block("b", disguise(FINGERPRINT, 0, RANDOM, of=slice(1)), descriptors=b"of another day")])
        assert kinds(await guarded.content()) == [("b", "CANDIDATE", "REVIEW")]

    async def test_explained_it_comes_with_both_pictures_and_the_fingerprint(
        self, guarded: Parts, blocks: BlockList
    ) -> None:
        entry = block("b", disguise(FINGERPRINT, 3, RANDOM))
        entry.kept_frames.add(time_s=2.2, jpeg=b"kept")
        await blocks.put([entry])
        verdict = await guarded.content(explain=True)
        [match] = verdict.block_matches
        assert [frame.original_jpeg for frame in match.frames] == [b"kept"] * 3
        assert all(frame.jpeg.startswith(b"\xff\xd8") for frame in match.frames)
        assert len(verdict.fingerprint.frames) == 3
        assert not (await guarded.content()).HasField("fingerprint")

    async def test_without_a_fingerprint_the_answer_says_that_only_copies_were_looked_for(
        self, guarded: Parts, blocks: BlockList
    ) -> None:
        verdict = verdict_of(Answer(b"", {}, blocks=await guarded.asking(blocks).compare(DIGEST, None, None)))
        assert not verdict.block_check.frames_compared


class TestPicturesForCases:
    """What a REVIEW or BLOCK gives its case."""

    @pytest.fixture
    def handing(self, guarded: Parts) -> Parts:
        guarded.pipeline.case_pictures = 2
        return guarded

    async def scored(self, parts: Parts, evidence: int = 0, patience_s: float = PATIENCE_S) -> Answer:
        deadline = monotonic() + patience_s
        return await parts.pipeline.score_content(VIDEO, deadline=deadline, max_evidence_frames=evidence)

    async def test_the_strongest_detections_are_shown_and_cost_the_cached_answer_nothing(self, handing: Parts) -> None:
        fresh, cached = await self.scored(handing), await self.scored(handing)
        [picture] = fresh.case_pictures
        assert (picture.time_s, picture.jpeg[:2]) == (2.0, b"\xff\xd8")
        assert Stage.EVIDENCE in fresh.timings
        assert (cached.cached, cached.case_pictures) == (True, ())
        assert handing.scorer.shown == [[(0, 2.0)]]
        assert not verdict_of(fresh).evidence, "nobody asked for it"

    async def test_what_was_asked_for_is_shown_as_it_is(self, handing: Parts) -> None:
        answer = await self.scored(handing, evidence=3)
        assert answer.case_pictures == answer.evidence
        assert not handing.scorer.shown

    async def test_an_allow_has_none_and_what_matches_a_blocked_video_shows_that(
        self, handing: Parts, blocks: BlockList
    ) -> None:
        handing.scorer.judgement = Judgement(Action.ALLOW, ())
        assert not (await self.scored(handing)).case_pictures
        assert not handing.scorer.shown
        await blocks.put([block("b", disguise(FINGERPRINT, 3, RANDOM))])
        await self.scored(handing, evidence=1)  # is looked at again
        assert handing.scorer.shown == [[(0, 0.0), (0, 2.0)]]

    async def test_without_them_the_verdict_stands_and_half_of_the_time_is_left(self, handing: Parts) -> None:
        handing.scorer.pictures_error = BackendUnavailable("Triton is away")
        answer = await self.scored(handing)
        assert (verdict_of(answer).action, answer.case_pictures) == (pb.ACTION_BLOCK, ())
        assert handing.scorer.patience_s <= PATIENCE_S / 2
