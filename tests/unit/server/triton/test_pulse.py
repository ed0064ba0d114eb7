"""Health rests on videos that are scored, or on one of our own where there are none."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest
from checkout import MODEL_REPOSITORY
from event_loop import Clock, settled

from wildgate_server.errors import BackendUnavailable
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.triton.client import ClipRow, DetectionBatch
from wildgate_server.triton.outage import Outage
from wildgate_server.triton.pulse import Pulse


class FakeTriton:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.outage = Outage(clock)
        self.answered_s, self.failures, self.asked = -math.inf, 0, 0
        self.probed = 0
        self.alive = True
        self.error: Exception | None = None
        self.sound, self.detected = 1, 0.0

    async def live(self) -> bool:
        return self.alive

    async def detect(self, ensemble: str, rows: Sequence[ClipRow], timeout_s: float) -> DetectionBatch:
        self.probed += 1
        if self.error:
            self.failures += 1
            raise self.error
        self.answered_s, self.failures = self.clock(), 0
        detected, sound = np.full((1, 8, 16, 6), self.detected, np.float32), np.full((1, 8), self.sound, np.uint8)
        return DetectionBatch(detected, sound, *(np.zeros(1, np.int32),) * 4, version=1)


class Felt:
    def __init__(self) -> None:
        self.clock = Clock()
        self.triton = FakeTriton(self.clock)
        self.hangs = 0
        manifest = load_manifest(MODEL_REPOSITORY)
        self.pulse = Pulse(self.triton, manifest, lambda: ["video_scorer"], self._hung, self.clock)  # type: ignore[arg-type]

    def _hung(self) -> None:
        self.hangs += 1

    async def beats(self, after_s: float = 0.0) -> bool:
        self.clock.now += after_s
        listening = asyncio.create_task(self.pulse.listen())
        await settled()
        listening.cancel()
        await self.pulse.feel()
        return self.pulse.beats


@pytest.fixture
def felt() -> Felt:
    return Felt()


async def test_answers_to_callers_are_proof_enough(felt: Felt) -> None:
    assert await felt.beats()
    assert felt.triton.probed == 1
    felt.triton.answered_s = felt.clock() + 5
    assert await felt.beats(after_s=5.5)
    assert felt.triton.probed == 1
    assert await felt.beats(after_s=1.0)
    assert felt.triton.probed == 2


@pytest.mark.parametrize("fault", ["error", "unsound", "not finite"])
async def test_a_probe_that_is_not_scored_stops_it_until_one_is(felt: Felt, fault: str) -> None:
    triton = felt.triton
    assert await felt.beats()
    triton.error = BackendUnavailable("no room in /dev/shm") if fault == "error" else None
    triton.sound, triton.detected = int(fault != "unsound"), float("nan") if fault == "not finite" else 0.0
    assert not await felt.beats(after_s=1.5)
    triton.error, triton.sound, triton.detected = None, 1, 0.0
    assert await felt.beats()


async def test_questions_that_fail_one_after_the_other_and_an_outage_stop_it_at_once(felt: Felt) -> None:
    assert await felt.beats()
    felt.triton.failures = 3
    assert not felt.pulse.beats
    felt.triton.failures = 0
    felt.triton.outage.begin("tritonserver")
    assert not await felt.beats()
    felt.triton.outage.end("tritonserver")
    assert await felt.beats()


async def test_one_that_says_nothing_does_not_beat_whatever_it_answered_before(felt: Felt) -> None:
    assert await felt.beats()
    felt.triton.alive = False
    felt.triton.answered_s = felt.clock() + 2
    assert not await felt.beats(after_s=2.0)


@pytest.mark.parametrize(("alive", "asked", "after_s"), [(False, 0, 21), (True, 1, 61)])
async def test_a_triton_that_hangs_is_ended(felt: Felt, alive: bool, asked: int, after_s: float) -> None:
    felt.triton.alive, felt.triton.asked = alive, asked
    felt.triton.error = BackendUnavailable("no answer")
    running = asyncio.create_task(felt.pulse.run())
    await settled()
    assert felt.hangs == 0
    felt.clock.now += after_s
    async with asyncio.timeout(30):
        while not felt.hangs:
            await asyncio.sleep(0.05)
    running.cancel()
    assert felt.hangs == 1


async def test_a_triton_that_is_idle_or_away_does_not_hang(felt: Felt) -> None:
    felt.triton.outage.begin("tritonserver")
    felt.triton.alive = False
    running = asyncio.create_task(felt.pulse.run())
    await settled()
    felt.clock.now += 3600
    await asyncio.sleep(0.6)
    running.cancel()
    assert felt.hangs == 0
