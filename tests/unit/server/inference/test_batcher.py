"""Rows to batches, with a scripted Triton at the seam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import numpy as np
import pytest
from event_loop import settled

from wildgate_server.errors import BackendUnavailable, DeadlineExceeded, RowRefused, ShuttingDown
from wildgate_server.inference.batcher import Batcher, BatchSettings, RowResult
from wildgate_server.media.sampled_video import Display
from wildgate_server.triton.client import BackendLost, ClipRow, DetectionBatch

FAR = 3600.0
MB = 1 << 20
LONG_WAIT_MS = 3_600_000.0  # a timer that no test lives to see


def row(mark: int, size: int = 1) -> ClipRow:
    return ClipRow(bytes([mark]) * size, (0, 1), Display())


class FakeTriton:
    """Answers each row with its mark; refuses batches of `bad` marks, ends over `deadly` ones; `hold` delays answers.

    Only the first `answered` rows get one.
    """

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.timeouts_s: list[float] = []
        self.bad: set[int] = set()
        self.deadly: set[int] = set()
        self.error: Exception | None = None
        self.cancelled = 0
        self.under_way = 0
        self.most_under_way = 0
        self.answered: int | None = None
        self._go = asyncio.Event()
        self._go.set()

    def hold(self) -> None:
        self._go.clear()

    def go(self) -> None:
        self._go.set()

    async def detect(self, rows: Sequence[ClipRow], timeout_s: float) -> DetectionBatch:
        marks = [asked.clip[0] for asked in rows]
        self.batches.append(marks)
        self.timeouts_s.append(timeout_s)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        if self.error:
            raise self.error
        if self.deadly & set(marks):
            raise BackendLost("Triton has gone")
        if self.bad & set(marks):
            raise RowRefused("a row cannot be decoded")
        detections = np.array(marks, np.float32)[:, None, None, None] * np.ones((1, 2, 3, 6), np.float32)
        sound, picture_size = np.array([marks] * 2).T, np.array([[[mark, 7]] * 2 for mark in marks])
        hashes = np.array(marks, np.uint8)[:, None, None, None] * np.ones((1, 2, 9, 32), np.uint8)
        quality = np.full((len(marks), 2, 9), 100)
        cost = np.zeros((len(marks), 3), np.float32)
        return DetectionBatch(detections[: self.answered], sound, picture_size, hashes, quality, cost, 7)


@asynccontextmanager
async def batching(
    triton: FakeTriton, max_in_flight: int = 1, alone: bool = False, **settings: float
) -> AsyncIterator[Batcher]:
    batcher = Batcher(BatchSettings(max_in_flight=max_in_flight, **settings), triton.detect, alone=alone)
    batcher.start()
    try:
        yield batcher
    finally:
        await batcher.close()


def submitted(batcher: Batcher, *rows: ClipRow, within_s: float = FAR) -> list[asyncio.Task[RowResult]]:
    return [asyncio.create_task(alone(batcher, asked, monotonic() + within_s)) for asked in rows]


async def alone(batcher: Batcher, row: ClipRow, deadline: float) -> RowResult:
    [result] = await batcher.submit([row], deadline)
    return result


async def marks_of(tasks: Sequence[asyncio.Task[RowResult]]) -> list[int]:
    return [int(result.detections[0, 0, 0]) for result in await asyncio.gather(*tasks)]


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton()


async def test_rows_that_come_together_go_together(triton: FakeTriton) -> None:
    async with batching(triton, max_rows=3, max_wait_ms=LONG_WAIT_MS) as batcher:
        tasks = submitted(batcher, row(1), row(2), row(3), row(4), row(5), row(6))
        assert await marks_of(tasks) == [1, 2, 3, 4, 5, 6]
    assert triton.batches == [[1, 2, 3], [4, 5, 6]]


async def test_each_caller_gets_its_own_row_whole(triton: FakeTriton) -> None:
    async with batching(triton, max_rows=2) as batcher:
        first, second = await asyncio.gather(*submitted(batcher, row(1), row(2)))
    assert first.detections.shape == second.detections.shape == (2, 3, 6)
    assert (first.detections == 1).all()
    assert (second.detections == 2).all()
    assert (first.sound.tolist(), second.sound.tolist()) == ([1, 1], [2, 2])
    assert second.picture_size.tolist() == [[2, 7], [2, 7]]
    assert first.version == second.version == 7, "the version that made them"
    assert first.queue_ms >= 0
    assert first.infer_ms >= 0


async def test_the_timer_sends_a_batch_that_is_not_full(triton: FakeTriton) -> None:
    async with batching(triton, max_rows=8, max_wait_ms=1.0) as batcher:
        assert await marks_of(submitted(batcher, row(1), row(2))) == [1, 2]
    assert triton.batches == [[1, 2]]


async def test_no_wait_at_all_still_takes_what_is_there(triton: FakeTriton) -> None:
    async with batching(triton, max_rows=8, max_wait_ms=0.0) as batcher:
        assert await marks_of(submitted(batcher, row(1))) == [1]
        assert await marks_of(submitted(batcher, row(2))) == [2]


async def test_what_comes_together_is_spread_over_the_requests_that_may_go(triton: FakeTriton) -> None:
    """Two that go as one end as one, and come again together: half of the instances would never have work."""
    async with batching(triton, max_in_flight=3) as batcher:
        triton.hold()
        first = submitted(batcher, row(1), row(2))
        await settled()
        assert triton.batches == [[1], [2]]
        more = submitted(batcher, row(3), row(4))
        await settled()
        assert triton.batches == [[1], [2], [3, 4]], "one may go yet, so they go together"
        triton.go()
        assert await marks_of(first + more) == [1, 2, 3, 4]


async def test_what_takes_long_keeps_its_place_though_nobody_waits_for_it(triton: FakeTriton) -> None:
    """Else callers that leave soon have Triton work for minutes, each in the place of the one before."""
    async with batching(triton, alone=True) as batcher:
        triton.hold()
        [left] = submitted(batcher, row(1), within_s=0.01)
        with pytest.raises(DeadlineExceeded):
            await left
        more = submitted(batcher, row(2))
        await settled()
        assert (triton.batches, triton.under_way, batcher.depth) == ([[1]], 1, 0)
        triton.go()
        assert await marks_of(more) == [2]


async def test_a_row_waits_for_company_until_the_batch_is_full(triton: FakeTriton) -> None:
    async with batching(triton, max_rows=2, max_wait_ms=LONG_WAIT_MS) as batcher:
        (first,) = submitted(batcher, row(1))
        await settled()
        assert triton.batches == []
        assert not first.done()
        (second,) = submitted(batcher, row(2))
        assert await marks_of([first, second]) == [1, 2]


async def test_a_batch_is_weighed_with_its_padding(triton: FakeTriton) -> None:
    """Clips of a request are padded to the longest, so three of 0.4 MB fit in 2 MB only without one of 0.9 MB."""
    large, small = 9 * MB // 10, 4 * MB // 10
    async with batching(triton, max_rows=3, max_batch_mb=2, max_wait_ms=LONG_WAIT_MS) as batcher:
        tasks = submitted(batcher, row(1, small), row(2, small), row(3, large), row(4, small), row(5, small))
        await settled()
        assert triton.batches == [[1, 2], [3, 4]]
        assert batcher.depth == 0, "5 is being given company"
        tasks += submitted(batcher, row(6), row(7))
        assert await marks_of(tasks) == [1, 2, 3, 4, 5, 6, 7]
    assert triton.batches == [[1, 2], [3, 4], [5, 6, 7]]


async def test_a_row_larger_than_a_batch_goes_alone(triton: FakeTriton) -> None:
    async with batching(triton, max_rows=4, max_batch_mb=1) as batcher:
        assert await marks_of(submitted(batcher, row(1, 2 * MB), row(2))) == [1, 2]
    assert triton.batches == [[1], [2]]


async def test_rows_that_share_a_clip_stay_together(triton: FakeTriton) -> None:
    """The decoder decodes their clip once for all rows of a request."""
    async with batching(triton, max_rows=4, max_wait_ms=0.0) as batcher:
        others = submitted(batcher, row(1), row(2))
        together = asyncio.create_task(batcher.submit([row(3)] * 3, monotonic() + FAR))
        more = asyncio.create_task(batcher.submit([row(4)] * 6, monotonic() + FAR))
        assert await marks_of(others) == [1, 2]
        assert [int(result.detections[0, 0, 0]) for result in await together] == [3, 3, 3]
        assert [int(result.detections[0, 0, 0]) for result in await more] == [4] * 6
    assert triton.batches == [[1, 2], [3, 3, 3], [4, 4, 4, 4], [4, 4]]


async def test_batches_under_way_are_bounded_and_rows_gather_meanwhile(triton: FakeTriton) -> None:
    triton.hold()
    async with batching(triton, max_rows=2, max_in_flight=2, max_wait_ms=0.0) as batcher:
        tasks = submitted(batcher, *map(row, range(1, 10)))
        await settled()
        assert triton.batches == [[1, 2], [3, 4]]
        assert batcher.depth == 4, "one of the five left is the next batch's first"
        triton.go()
        assert await marks_of(tasks) == list(range(1, 10))
    assert triton.most_under_way == 2
    assert sorted(mark for batch in triton.batches for mark in batch) == list(range(1, 10))


async def test_a_bad_row_fails_alone(triton: FakeTriton) -> None:
    triton.bad = {2}
    async with batching(triton, max_rows=3, max_wait_ms=LONG_WAIT_MS) as batcher:
        first, bad, third = submitted(batcher, row(1), row(2), row(3))
        assert await marks_of([first, third]) == [1, 3]
        with pytest.raises(RowRefused):
            await bad
    assert triton.batches == [[1, 2, 3], [1], [2], [3]]


async def test_a_bad_row_alone_is_not_asked_twice(triton: FakeTriton) -> None:
    triton.bad = {1}
    async with batching(triton, max_rows=1) as batcher:
        with pytest.raises(RowRefused):
            await submitted(batcher, row(1))[0]
    assert triton.batches == [[1]]


@pytest.mark.parametrize("error", [BackendUnavailable("away"), DeadlineExceeded("late")])
async def test_what_fails_the_batch_fails_its_rows_and_no_later_one(triton: FakeTriton, error: Exception) -> None:
    triton.error = error
    async with batching(triton, max_rows=2, max_wait_ms=LONG_WAIT_MS) as batcher:
        tasks = submitted(batcher, row(1), row(2))
        assert await asyncio.gather(*tasks, return_exceptions=True) == [error, error]
        assert triton.batches == [[1, 2]], "no retry row by row"
        triton.error = None
        assert await marks_of(submitted(batcher, row(3), row(4))) == [3, 4]
        assert batcher.healthy


async def test_a_surprise_becomes_an_error_that_the_caller_may_retry(triton: FakeTriton) -> None:
    triton.error = ZeroDivisionError()
    async with batching(triton, max_rows=1) as batcher:
        with pytest.raises(BackendUnavailable, match="unexpectedly"):
            await submitted(batcher, row(1))[0]
        assert batcher.healthy


async def test_an_answer_with_too_few_rows_fails_who_got_none(triton: FakeTriton) -> None:
    triton.answered = 1
    async with batching(triton, max_rows=2, max_wait_ms=LONG_WAIT_MS) as batcher:
        first, second = await asyncio.gather(*submitted(batcher, row(1), row(2)), return_exceptions=True)
    assert isinstance(first, RowResult)
    assert isinstance(second, BackendUnavailable)


async def test_callers_that_left_are_not_asked_for(triton: FakeTriton) -> None:
    triton.hold()
    async with batching(triton, max_rows=2, max_in_flight=1, max_wait_ms=1.0) as batcher:
        under_way = submitted(batcher, row(1), row(2))
        await settled()
        waiting = submitted(batcher, *map(row, range(3, 8)))
        await settled()
        for left in (waiting[0], waiting[2], waiting[3]):
            left.cancel()
        await settled()
        triton.go()
        assert await marks_of([*under_way, waiting[1], waiting[4]]) == [1, 2, 4, 7]
    assert sorted(mark for batch in triton.batches for mark in batch) == [1, 2, 4, 7]


async def test_a_batch_goes_on_while_one_caller_waits(triton: FakeTriton) -> None:
    triton.hold()
    async with batching(triton, max_rows=2, max_wait_ms=LONG_WAIT_MS) as batcher:
        first, second = submitted(batcher, row(1), row(2))
        await settled()
        first.cancel()
        await settled()
        assert triton.cancelled == 0
        triton.go()
        assert await marks_of([second]) == [2]


async def test_a_batch_that_nobody_waits_for_keeps_its_place_until_it_is_answered(triton: FakeTriton) -> None:
    triton.hold()
    async with batching(triton, max_rows=2, max_in_flight=1, max_wait_ms=LONG_WAIT_MS) as batcher:
        for left in submitted(batcher, row(1), row(2)):
            await settled()
            left.cancel()
        waiting = submitted(batcher, row(3), row(4))
        await settled()
        assert (triton.cancelled, triton.batches) == (0, [[1, 2]])
        triton.go()
        assert await marks_of(waiting) == [3, 4]


async def test_what_ends_triton_fails_alone_and_the_others_are_asked_again(
    triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wildgate_server.inference.batcher._LOSS_PAUSE_S", 0.0)
    triton.deadly = {2}
    async with batching(triton, max_rows=3, max_wait_ms=LONG_WAIT_MS) as batcher:
        first, deadly, last = submitted(batcher, row(1), row(2), row(3))
        assert await marks_of([first, last]) == [1, 3]
        with pytest.raises(BackendLost):
            await deadly
    assert triton.batches == [[1, 2, 3], [1], [2], [2], [2], [3]]


async def test_callers_that_left_are_skipped_when_rows_are_asked_again_one_by_one(triton: FakeTriton) -> None:
    triton.bad = {1}
    triton.hold()
    async with batching(triton, max_rows=3, max_wait_ms=LONG_WAIT_MS) as batcher:
        bad, left, good = submitted(batcher, row(1), row(2), row(3))
        await settled()
        left.cancel()
        triton.go()
        assert await marks_of([good]) == [3]
        with pytest.raises(RowRefused):
            await bad
    assert triton.batches == [[1, 2, 3], [1], [3]]


async def test_a_batch_has_the_time_of_its_most_patient_row(triton: FakeTriton) -> None:
    async with batching(triton, max_rows=2, max_wait_ms=LONG_WAIT_MS) as batcher:
        tasks = [*submitted(batcher, row(1), within_s=100.0), *submitted(batcher, row(2), within_s=1000.0)]
        await asyncio.gather(*tasks)
    assert 100.0 < triton.timeouts_s[0] <= 1000.0


class NoClip:
    """A row that no caller can make: measuring it fails."""

    clip = None


async def test_when_the_loop_dies_everybody_is_told(triton: FakeTriton) -> None:
    triton.hold()
    async with batching(triton, max_rows=8, max_in_flight=1, max_wait_ms=LONG_WAIT_MS) as batcher:
        assert batcher.healthy
        tasks = submitted(batcher, row(1), row(2), NoClip(), row(3))
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        assert [type(answer) for answer in answers] == [BackendUnavailable] * 4
        assert not batcher.healthy
        with pytest.raises(BackendUnavailable, match="stopped"):
            await batcher.submit([row(4)], monotonic() + FAR)


async def test_leaving_fails_who_waits_at_every_stage(triton: FakeTriton) -> None:
    triton.hold()
    async with batching(triton, max_rows=2, max_in_flight=1, max_batch_mb=1, max_wait_ms=LONG_WAIT_MS) as batcher:
        asked = submitted(batcher, row(1), row(2))
        await settled()
        # 3 is the next batch's first and waits for its turn, the others are queued.
        waiting = submitted(batcher, row(3), row(4, MB), row(5))
        await settled()
    answers = await asyncio.wait_for(asyncio.gather(*asked, *waiting, return_exceptions=True), 30)
    assert [type(answer) for answer in answers] == [ShuttingDown] * 5
    assert triton.cancelled == 1
    assert not batcher.healthy


async def test_leaving_fails_a_batch_that_gathers_and_a_row_held_back(triton: FakeTriton) -> None:
    triton.hold()
    async with batching(triton, max_rows=8, max_in_flight=2, max_batch_mb=1, max_wait_ms=LONG_WAIT_MS) as batcher:
        tasks = submitted(batcher, row(1), row(2))
        await settled()
        assert triton.batches == []
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert [type(answer) for answer in answers] == [ShuttingDown] * 2


async def test_leaving_before_a_batch_has_begun_fails_it(triton: FakeTriton) -> None:
    """Every step of the loop is a place where the end may come."""
    for steps in range(12):
        async with batching(triton, max_rows=2, max_wait_ms=0.0) as batcher:
            tasks = submitted(batcher, row(1), row(2), row(3))
            for _ in range(steps):
                await asyncio.sleep(0)
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        assert {type(answer) for answer in answers} <= {RowResult, ShuttingDown, BackendUnavailable}
