"""A sampled video looked at and judged, with a scripted Triton at the seam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import cycle
from time import monotonic
from typing import Any

import numpy as np
import pytest
from releases_under_test import manifest, releases
from scored_videos import POLICY, sampled_video
from scripted_triton import ScriptedTriton
from structlog.testing import capture_logs

from wildgate_server.errors import BackendUnavailable, CorruptVideo, RowRefused, UnsupportedCodec, VideoTooCostly
from wildgate_server.inference.batcher import BatchSettings
from wildgate_server.inference.observation import Observer
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.media.sampled_video import ClipWindow, Display, SampledVideo
from wildgate_server.metrics import Metrics
from wildgate_server.policy import Action
from wildgate_server.sampling.look import Places
from wildgate_server.scoring import ScoredVideo, Scorer
from wildgate_server.stages import Stage
from wildgate_server.triton.client import ClipRow

WINDOWS = (
    ClipWindow(b"first", (0, 2, 5, 9), (0.0, 1.0, 2.0, 3.0), 10, (1.0, 1.0, 1.0, 0.5)),
    ClipWindow(b"second", (0, 4, 4, 4), (3.5, 4.25), 5, (0.75, 1.0)),
)


class Parts:
    """A scorer and what stands behind it."""

    def __init__(self) -> None:
        self.video = sampled_video(windows=WINDOWS, display=Display(90))
        self.triton = ScriptedTriton()
        self.triton.horns = {(b"second", 4), (b"first", 5)}
        self.triton.fails = b"second"
        self.metrics = Metrics()
        self.software = False
        self.decoders: list[str] = []
        # One row each, so that a window's fate is its own.
        self.router = ReleaseRouter(BatchSettings(max_rows=1), self.triton.detect, releases(1))
        self.scorer = Scorer(
            policy=POLICY,
            router=self.router,
            observer=Observer(manifest(), self.router),
            frames=self._frames,
            needs_cpu_decoder=lambda video: self.software,
            metrics=self.metrics,
            canary_patience_s=1.0,
        )

    async def score(self, patience_s: float = 60.0, **options: Any) -> ScoredVideo:
        return await self.scorer.score(self.video, deadline=monotonic() + patience_s, **options)

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of a metric that are not 0, by the values of their labels."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == name and sample.value
        }

    async def _frames(self, decoder: str, rows: list[ClipRow], timeout_s: float) -> np.ndarray:
        self.decoders.append(decoder)
        return np.zeros((len(rows), 4, 320, 320, 3), np.uint8)


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    made = Parts()
    async with made.router:
        yield made


async def test_all_windows_make_one_verdict(parts: Parts) -> None:
    scored = await parts.score()
    assert parts.triton.rows == [
        ClipRow(b"first", (0, 2, 5, 9), Display(90)),
        ClipRow(b"second", (0, 4, 4, 4), Display(90)),
    ]
    assert parts.triton.asked == {"video_scorer": 2}
    assert scored.tracks[0].looked_at_s == (0.0, 1.0, 2.0, 3.0, 3.5, 4.25)
    assert [(found.label, found.time_s) for found in scored.tracks[0].detections] == [
        ("rhino_horn", 2.0),
        ("rhino_horn", 4.25),
    ]
    assert scored.judgement.action is Action.BLOCK
    assert scored.judgement.labels[0].spans_s == ((2.0, 2.0), (4.25, 4.25))
    assert (scored.release.model_version, scored.policy) == ("m/1", POLICY)
    assert scored.evidence == ()


async def test_boxes_are_those_of_the_displayed_frame(parts: Parts) -> None:
    """The decoder says that it is upright: 240 of 320 pixels wide, so the whole square is cut to it."""
    scored = await parts.score()
    assert {found.box for found in scored.tracks[0].detections} == {(0.0, 0.0, 1.0, 1.0)}


async def test_stages_are_timed(parts: Parts) -> None:
    scored = await parts.score()
    assert set(scored.timings) == {Stage.QUEUE, Stage.INFER, Stage.POLICY, Stage.EVIDENCE}
    assert all(duration_ms >= 0 for duration_ms in scored.timings.values())


class Resampled:
    """A second sampling: what it is asked for, and what it gives."""

    def __init__(self, *windows: ClipWindow, error: Exception | None = None) -> None:
        self.asked: list[tuple[object, object]] = []
        self.windows = windows
        self.error = error

    async def __call__(self, sound: Places | None, near: Places) -> SampledVideo:
        self.asked.append((sound, near))
        if self.error:
            raise self.error
        return sampled_video(windows=self.windows, display=Display(90))


AROUND = ClipWindow(b"around", (0, 1, 2, 3), (3.75, 4.0, 4.5, 4.75), 4, (0.25,) * 4)


class TestASecondLook:
    async def test_nothing_is_asked_for_where_the_verdict_is_certain(self, parts: Parts) -> None:
        resample = Resampled(AROUND)
        scored = await parts.score(resample=resample)
        assert (scored.judgement.action, resample.asked) == (Action.BLOCK, [])
        assert (scored.second_look, scored.looked_again) == (False, False)

    @pytest.mark.parametrize(
        ("seen_around", "action"), [((0, 1, 2, 3), Action.BLOCK), ((), Action.REVIEW)], ids=["confirmed", "disputed"]
    )
    async def test_more_frames_around_a_sighting_decide(
        self, parts: Parts, seen_around: tuple[int, ...], action: Action
    ) -> None:
        parts.triton.horns = {(b"second", 4), *((b"around", index) for index in seen_around)}
        resample = Resampled(AROUND)
        scored = await parts.score(resample=resample)
        assert resample.asked == [(None, ((0, 4.25),))]
        assert scored.judgement.action is action
        assert scored.tracks[0].looked_at_s == (0.0, 1.0, 2.0, 3.0, 3.5, 3.75, 4.0, 4.25, 4.5, 4.75)
        assert (scored.second_look, scored.looked_again) == (True, True)
        assert Stage.SECOND_LOOK in scored.timings
        assert parts.counted("wildgate_looks_again_total") == {("doubtful",): 1}

    async def test_a_frame_that_is_looked_at_twice_counts_once(self, parts: Parts) -> None:
        parts.triton.horns = {(b"second", 4), (b"again", 0)}
        again = ClipWindow(b"again", (0, 0, 0, 0), (4.25,), 1, (1.0,))
        scored = await parts.score(resample=Resampled(again))
        assert [found.time_s for found in scored.tracks[0].detections] == [4.25]
        assert scored.judgement.labels[0].frames == 1

    @pytest.mark.parametrize(
        ("horn", "action"), [((b"second", 4), Action.BLOCK), ((b"first", 9), Action.REVIEW)], ids=["alone", "disputed"]
    )
    async def test_where_nothing_more_can_be_looked_at_what_nothing_disputes_counts(
        self, parts: Parts, horn: tuple[bytes, int], action: Action
    ) -> None:
        parts.triton.horns = {horn}  # at 4.25 s, and at 3.0 s, half a second before a frame without
        with pytest.raises(VideoTooCostly):
            await parts.score(resample=Resampled(error=VideoTooCostly("too long")))
        scored = await parts.score(resample=Resampled(error=CorruptVideo("no frame")))
        assert (scored.judgement.action, scored.second_look) == (action, False)

    async def test_both_versions_see_the_same_frames(self, parts: Parts) -> None:
        parts.router.switch(releases(1, canary=2, share=1))
        parts.triton.horns = {(b"second", 4), (b"around", 1)}
        resample = Resampled(AROUND)
        scored = await parts.score(resample=resample)
        assert parts.triton.asked == {"video_scorer": 3, "video_scorer_canary": 3}
        assert (scored.release.model_version, len(resample.asked), scored.second_look) == ("m/2", 1, True)
        assert 4.75 in scored.tracks[0].looked_at_s


class TestUnsoundPictures:
    BETTER = ClipWindow(b"better", (0, 1, 2, 3), (0.0, 1.0, 2.0, 3.0), 4, (1.0,) * 4)

    async def test_they_are_asked_for_once_more_from_keyframes_that_are_sound(self, parts: Parts) -> None:
        parts.triton.bad = {(b"first", 5), (b"first", 9)}
        resample = Resampled(self.BETTER, WINDOWS[1])
        scored = await parts.score(resample=resample)
        assert resample.asked[0] == (((0, 0.0), (0, 1.0), (0, 3.5), (0, 4.25)), ())
        assert scored.tracks[0].looked_at_s == (0.0, 1.0, 2.0, 3.0, 3.5, 4.25)
        assert (scored.tracks[0].unsound_s, scored.looked_again) == ((), True)

    async def test_what_was_soundly_seen_first_is_not_lost(self, parts: Parts) -> None:
        parts.triton.bad = {(b"first", 9)}
        parts.triton.horns = {(b"first", 2), (b"first", 5)}
        later = ClipWindow(b"later", (0, 1, 1, 1), (2.5, 3.25), 2, (0.25, 0.25))
        scored = await parts.score(resample=Resampled(later))
        assert scored.tracks[0].looked_at_s == (0.0, 1.0, 2.0, 2.5, 3.25, 3.5, 4.25)
        assert (scored.tracks[0].unsound_s, scored.judgement.action) == ((), Action.BLOCK)

    async def test_what_was_seen_first_stays_where_that_is_no_better(self, parts: Parts) -> None:
        parts.triton.bad = {(b"first", 9)}
        scored = await parts.score(resample=Resampled(WINDOWS[1]))
        assert scored.tracks[0].unsound_s == (3.0,)
        assert scored.looked_again is False

    async def test_they_count_where_a_longer_gap_stays(self, parts: Parts) -> None:
        late = ClipWindow(b"late", (0, 4, 4, 4), (3.5, 9.0), 5, (0.75, 1.0))
        parts.video = sampled_video(windows=(WINDOWS[0], late))
        parts.triton.bad = {(b"first", 5)}
        parts.triton.horns = {(b"better", 2)}
        scored = await parts.score(resample=Resampled(self.BETTER, late))
        assert (scored.tracks[0].unsound_s, scored.judgement.action) == ((), Action.BLOCK)

    async def test_a_second_look_at_them_believes_the_same_keyframes(self, parts: Parts) -> None:
        parts.triton.bad = {(b"first", 5)}
        parts.triton.horns = {(b"better", 2)}
        brief = ClipWindow(b"better", (0, 1, 2, 3), (0.0, 1.0, 2.0, 3.0), 4, (1.0, 1.0, 0.1, 1.0))
        resample = Resampled(brief, WINDOWS[1])
        await parts.score(resample=resample)
        sound = ((0, 0.0), (0, 1.0), (0, 3.0), (0, 3.5), (0, 4.25))
        assert resample.asked == [(sound, ()), (sound, ((0, 2.0),))]

    async def test_a_video_of_which_nothing_was_sound_gets_a_second_chance(self, parts: Parts) -> None:
        parts.triton.refused = {b"first", b"second"}
        resample = Resampled(self.BETTER)
        scored = await parts.score(resample=resample)
        assert resample.asked[0] == ((), ())
        assert scored.tracks[0].looked_at_s == (0.0, 1.0, 2.0, 3.0)
        parts.triton.refused |= {b"better"}
        with pytest.raises(CorruptVideo):
            await parts.score(resample=resample)


async def test_evidence_on_request(parts: Parts) -> None:
    scored = await parts.score(max_evidence_frames=1)
    assert [frame.time_s for frame in scored.evidence] == [2.0]


async def test_a_frame_that_cannot_be_decoded_costs_only_itself(parts: Parts) -> None:
    parts.triton.bad = {(b"first", 2)}
    scored = await parts.score()
    assert scored.tracks[0].looked_at_s == (0.0, 2.0, 3.0, 3.5, 4.25)
    assert scored.tracks[0].unsound_s == (1.0,)
    assert [found.time_s for found in scored.tracks[0].detections] == [2.0, 4.25]
    assert scored.judgement.action is Action.BLOCK


async def test_nothing_decodable_is_corrupt(parts: Parts) -> None:
    parts.triton.bad = {(b"first", index) for index in (0, 2, 5, 9)} | {(b"second", 0), (b"second", 4)}
    with pytest.raises(CorruptVideo):
        await parts.score()


async def test_a_codec_without_a_decoder_is_named(parts: Parts) -> None:
    parts.triton.error = RowRefused("no decoder", unsupported=True)
    with pytest.raises(UnsupportedCodec) as refusal:
        await parts.score()
    assert refusal.value.metadata["codec"] == "h264"


async def test_one_window_s_failure_is_raised_as_itself(parts: Parts) -> None:
    parts.triton.error = BackendUnavailable("away")
    with pytest.raises(BackendUnavailable, match="away"):
        await parts.score()


async def test_a_verdict_is_by_the_policy_in_force_when_it_is_made(parts: Parts) -> None:
    """It has a rule for every label that can be answered by then; the one before may lack some."""
    scoring = asyncio.create_task(parts.score())
    await asyncio.sleep(0)
    parts.scorer.policy = POLICY.model_copy(update={"version": "p2"})
    assert (await scoring).policy.version == "p2"


async def test_what_the_profile_cannot_decode_goes_to_the_software_decoder(parts: Parts) -> None:
    parts.software = True
    await parts.score(max_evidence_frames=1)
    assert parts.triton.asked == {"video_scorer_software": 2}
    assert parts.decoders == ["clip_decoder_software"]


async def test_a_verdict_is_that_of_one_version(parts: Parts) -> None:
    parts.router.expect(releases(2))
    parts.triton.answers = iter([1, 2])
    scored = await parts.score()
    assert parts.triton.asked == {"video_scorer": 4}, "all windows were asked for again"
    assert scored.release.model_version == "m/1"
    assert {found.score for found in scored.tracks[0].detections} == {0.75}


async def test_versions_that_keep_taking_turns_are_given_up(parts: Parts) -> None:
    parts.router.expect(releases(2))
    parts.triton.answers = cycle([1, 2])
    with pytest.raises(BackendUnavailable, match=r"versions \[1, 2\] of the detector answer in turn") as refusal:
        await parts.score()
    assert refusal.value.retry_after_s
    assert parts.triton.asked == {"video_scorer": 6}


async def test_an_answer_of_a_version_that_nobody_knows_is_none(parts: Parts) -> None:
    parts.triton.answers = iter([9, 9])
    with pytest.raises(BackendUnavailable, match="version 9 of the detector answered"):
        await parts.score()


class TestOnTrial:
    """All videos are on trial here; version 2 is half as sure as version 1."""

    @pytest.fixture
    def parts(self, parts: Parts) -> Parts:
        parts.router.switch(releases(1, canary=2, share=1))
        return parts

    async def test_the_new_version_answers_and_is_compared(self, parts: Parts) -> None:
        with capture_logs() as logs:
            scored = await parts.score()
        assert scored.release.model_version == "m/2"
        assert {found.score for found in scored.tracks[0].detections} == {0.375}
        assert parts.triton.asked == {"video_scorer": 2, "video_scorer_canary": 2}
        assert parts.counted("wildgate_canary_verdicts_total") == {("m/1", "m/2", "block", "allow"): 1}
        assert parts.counted("wildgate_canary_label_differences_total") == {("m/1", "m/2", "rhino_horn"): 1}
        assert parts.counted("wildgate_canary_score_difference_sum") == {("m/1", "m/2"): 0.375}
        assert parts.counted("wildgate_canary_failures_total") == {}
        [line] = [line for line in logs if line["event"] == "canary_disagrees"]
        assert line["content_digest"] == scored.video.content_digest
        assert (line["serving_action"], line["canary_action"]) == ("BLOCK", "ALLOW")

    async def test_agreement_is_counted_and_not_logged(self, parts: Parts) -> None:
        parts.video = sampled_video(windows=WINDOWS[:1])
        parts.triton.bad = {(b"first", 5)}  # the frame with the horn: nothing is seen by either
        with capture_logs() as logs:
            await parts.score()
        assert parts.counted("wildgate_canary_verdicts_total") == {("m/1", "m/2", "allow", "allow"): 1}
        assert parts.counted("wildgate_canary_label_differences_total") == {}
        assert logs == []

    @pytest.mark.parametrize(
        ("error", "reason"),
        [(BackendUnavailable("away"), "backend_unavailable"), (RuntimeError("a bug"), "backend_unavailable")],
    )
    async def test_where_it_fails_the_serving_version_answers(
        self, parts: Parts, error: Exception, reason: str
    ) -> None:
        parts.triton.canary_error = error
        scored = await parts.score()
        assert (scored.release.model_version, scored.judgement.action) == ("m/1", Action.BLOCK)
        assert parts.counted("wildgate_canary_failures_total") == {("m/2", reason): 1}
        assert parts.counted("wildgate_canary_verdicts_total") == {}

    async def test_where_it_is_late_the_serving_version_answers(self, parts: Parts) -> None:
        parts.triton.held.clear()
        scored = await parts.score(patience_s=1.0)
        assert scored.release.model_version == "m/1"
        assert parts.counted("wildgate_canary_failures_total") == {("m/2", "late"): 1}

    async def test_a_class_without_a_label_is_its_own_failure(self, parts: Parts) -> None:
        parts.router.expect(releases(1, canary=2, labels=["rhino_horn"]))  # its class 1 has no label
        scored = await parts.score()
        assert scored.release.model_version == "m/1"
        assert parts.counted("wildgate_canary_failures_total") == {("m/2", "internal"): 1}

    async def test_what_both_refuse_is_refused(self, parts: Parts) -> None:
        parts.triton.bad = {(b"first", index) for index in (0, 2, 5, 9)} | {(b"second", 0), (b"second", 4)}
        with pytest.raises(CorruptVideo):
            await parts.score()
        assert parts.counted("wildgate_canary_failures_total") == {}
