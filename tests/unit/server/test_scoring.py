"""One video's way, with a scripted sampler, batcher and decoder at the seams."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from scored_videos import POLICY, sampled_video

from wildgate_server.batcher import RowResult
from wildgate_server.errors import BackendUnavailable, CorruptVideo, NotAVideo, RowRefused, UnsupportedCodec
from wildgate_server.evidence import EvidenceMaker
from wildgate_server.manifest import ModelManifest
from wildgate_server.policy import Action
from wildgate_server.sampler import ClipWindow, SampledVideo
from wildgate_server.scoring import Scorer
from wildgate_server.stages import Stage
from wildgate_server.triton import ClipRow

MANIFEST = ModelManifest.model_validate(
    {
        "detector": {"name": "m", "version": 3, "precision": "fp32", "labels": ["live_bear", "rhino_horn"]},
        "frames_per_window": 4,
        "frame_side_px": 320,
        "detections_per_frame": 2,
        "letterbox_value": 114,
        "max_frame_pixels": 1 << 20,
        "serving": {"max_batch_size": 8, "max_queue_delay_us": 0, "instances": 1},
    }
)
WINDOWS = (
    ClipWindow(b"first", (0, 2, 5, 9), (0.0, 1.0, 2.0, 3.0), 10),
    ClipWindow(b"second", (0, 4, 4, 4), (3.5, 4.25), 5),
)


class FakeSampling:
    def __init__(self, answer: SampledVideo | Exception) -> None:
        self.answer = answer
        self.sources: list[bytes | Path] = []

    async def sample(self, source: bytes | Path) -> SampledVideo:
        self.sources.append(source)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeBatcher:
    """Sees a horn (0.75) in frame 4 of the second clip and in frame 5 of the first; refuses `bad` clip frames."""

    def __init__(self) -> None:
        self.rows: list[ClipRow] = []
        self.deadlines: set[float] = set()
        self.bad: set[tuple[bytes, int]] = set()
        self.error: Exception | None = None
        self.cancelled = 0

    async def submit(self, row: ClipRow, deadline: float) -> RowResult:
        self.rows.append(row)
        self.deadlines.add(deadline)
        if self.error and row.clip == b"second":
            raise self.error
        if self.error:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        await asyncio.sleep(0)
        if {(row.clip, index) for index in row.frame_index} & self.bad:
            raise RowRefused("cannot be decoded")
        detections = np.zeros((4, 2, 6), np.float32)
        for place, index in enumerate(row.frame_index):
            if (row.clip, index) in {(b"second", 4), (b"first", 5)}:
                detections[place, 0] = (0.0, 0.0, 1.0, 1.0, 0.75, 1)
        return RowResult(detections, queue_ms=float(len(row.clip)), infer_ms=2.0 * len(row.clip))


class Parts:
    """A scorer and what stands behind it."""

    def __init__(self, answer: SampledVideo | Exception | None = None) -> None:
        self.sampling = FakeSampling(answer or sampled_video(windows=WINDOWS, rotation=90))
        self.batcher = FakeBatcher()
        self.scorer = Scorer(
            manifest=MANIFEST,
            policy=POLICY,
            sampling=self.sampling,
            batcher=self.batcher,
            evidence=EvidenceMaker(self._frames),
        )

    async def _frames(self, rows: list[ClipRow], timeout_s: float) -> np.ndarray:
        return np.zeros((len(rows), 4, 320, 320, 3), np.uint8)


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_all_windows_make_one_verdict(parts: Parts) -> None:
    deadline = monotonic() + 60
    scored = await parts.scorer.score(b"video", deadline=deadline)
    assert parts.sampling.sources == [b"video"]
    assert parts.batcher.rows == [ClipRow(b"first", (0, 2, 5, 9), 90), ClipRow(b"second", (0, 4, 4, 4), 90)]
    assert parts.batcher.deadlines == {deadline}
    assert scored.looked_at_s == (0.0, 1.0, 2.0, 3.0, 3.5, 4.25)
    assert scored.longest_gap_s == 1.0
    assert [(found.label, found.time_s) for found in scored.detections] == [("rhino_horn", 2.0), ("rhino_horn", 4.25)]
    assert scored.judgement.action is Action.BLOCK
    assert scored.judgement.labels[0].spans_s == ((2.0, 2.0), (4.25, 4.25))
    assert (scored.model_version, scored.policy_version) == ("m/3", "p1")
    assert scored.evidence == ()


async def test_boxes_are_those_of_the_displayed_frame(parts: Parts) -> None:
    """320 x 240 turned by 90 degrees is upright: 240 of 320 pixels wide, so the whole square is cut to it."""
    scored = await parts.scorer.score(b"video", deadline=monotonic() + 60)
    assert {found.box for found in scored.detections} == {(0.0, 0.0, 1.0, 1.0)}


async def test_stages_are_timed(parts: Parts) -> None:
    scored = await parts.scorer.score(b"video", deadline=monotonic() + 60)
    assert list(scored.timings) == list(Stage)
    assert (scored.timings[Stage.READ], scored.timings[Stage.SAMPLE]) == (0.5, 4.0)
    assert (scored.timings[Stage.QUEUE], scored.timings[Stage.INFER]) == (6.0, 12.0), "the longest of the windows"
    assert all(duration_ms >= 0 for duration_ms in scored.timings.values())


async def test_evidence_on_request(parts: Parts) -> None:
    scored = await parts.scorer.score(b"video", deadline=monotonic() + 60, max_evidence_frames=1)
    assert [frame.time_s for frame in scored.evidence] == [2.0]


async def test_a_frame_that_cannot_be_decoded_costs_only_itself(parts: Parts) -> None:
    parts.batcher.bad = {(b"first", 2)}
    scored = await parts.scorer.score(b"video", deadline=monotonic() + 60)
    assert scored.looked_at_s == (0.0, 2.0, 3.0, 3.5, 4.25)
    assert scored.longest_gap_s == 2.0, "coverage tells the truth"
    assert [found.time_s for found in scored.detections] == [2.0, 4.25]
    assert scored.judgement.action is Action.BLOCK


async def test_nothing_decodable_is_corrupt(parts: Parts) -> None:
    parts.batcher.bad = {(b"first", index) for index in (0, 2, 5, 9)} | {(b"second", 0), (b"second", 4)}
    with pytest.raises(CorruptVideo):
        await parts.scorer.score(b"video", deadline=monotonic() + 60)


async def test_a_codec_without_a_decoder_is_named(parts: Parts) -> None:
    parts.batcher.error = RowRefused("no decoder", unsupported=True)
    with pytest.raises(UnsupportedCodec) as refusal:
        await parts.scorer.score(b"video", deadline=monotonic() + 60)
    assert refusal.value.metadata["codec"] == "h264"
    assert parts.batcher.cancelled == 1


async def test_one_window_s_failure_ends_the_others_and_is_raised_as_itself(parts: Parts) -> None:
    parts.batcher.error = BackendUnavailable("away")
    with pytest.raises(BackendUnavailable, match="away"):
        await parts.scorer.score(b"video", deadline=monotonic() + 60)
    assert parts.batcher.cancelled == 1


async def test_what_sampling_refuses_is_raised() -> None:
    parts = Parts(NotAVideo("no"))
    with pytest.raises(NotAVideo):
        await parts.scorer.score(b"video", deadline=monotonic() + 60)
    assert parts.batcher.rows == []


async def test_a_verdict_keeps_the_policy_it_began_with(parts: Parts) -> None:
    scoring = asyncio.create_task(parts.scorer.score(b"video", deadline=monotonic() + 60))
    await asyncio.sleep(0)
    parts.scorer.policy = POLICY.model_copy(update={"version": "p2"})
    assert (await scoring).policy_version == "p1"
    assert (await parts.scorer.score(b"video", deadline=monotonic() + 60)).policy_version == "p2"
