"""Dead models are loaded again until it succeeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from structlog.testing import capture_logs

from wildgate_server.rollout.model_healer import ModelHealer
from wildgate_server.rollout.model_rollout import NotLoaded


class FakeTriton:
    def __init__(self) -> None:
        self.revived: list[str] = []
        self.healed: list[str] = []
        self.failures = 0
        self.error: Exception = NotLoaded("no memory")
        self.hopeless: str | None = None
        self.done = asyncio.Event()

    async def revive(self, model: str) -> None:
        self.revived.append(model)
        await asyncio.sleep(0)
        if model == self.hopeless:
            raise self.error
        if self.failures:
            self.failures -= 1
            raise self.error

    def note(self, model: str) -> None:
        self.healed.append(model)
        self.done.set()


@asynccontextmanager
async def healing(triton: FakeTriton) -> AsyncIterator[ModelHealer]:
    healer = ModelHealer(triton.revive, triton.note, first_pause_s=0.001)
    task = asyncio.create_task(healer.run())
    try:
        yield healer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_healed(triton: FakeTriton, count: int) -> None:
    async with asyncio.timeout(30):
        while len(triton.healed) < count:
            triton.done.clear()
            await triton.done.wait()


async def test_a_death_told_many_times_is_healed_once() -> None:
    triton = FakeTriton()
    async with healing(triton) as healer:
        for _ in range(5):
            healer.dead("clip_decoder")
        healer.dead("wildlife_detector")
        await until_healed(triton, 2)
    assert triton.revived == triton.healed == ["clip_decoder", "wildlife_detector"]


async def test_one_that_dies_again_is_healed_again() -> None:
    triton = FakeTriton()
    async with healing(triton) as healer:
        for count in (1, 2):
            healer.dead("clip_decoder")
            await until_healed(triton, count)
    assert triton.healed == ["clip_decoder"] * 2


async def test_it_is_tried_until_it_succeeds_with_growing_pauses() -> None:
    triton = FakeTriton()
    triton.failures = 3
    with capture_logs() as logs:
        async with healing(triton) as healer:
            healer.dead("clip_decoder")
            await until_healed(triton, 1)
    assert triton.revived == ["clip_decoder"] * 4
    refused = [line for line in logs if line["event"] == "model_not_healed"]
    assert [line["next_try_s"] for line in refused] == [0.001, 0.002, 0.004]
    assert refused[0]["error"] == "no memory"


async def test_one_that_cannot_be_revived_keeps_no_other_one_dead() -> None:
    triton = FakeTriton()
    triton.hopeless = "clip_decoder"
    async with healing(triton) as healer:
        healer.dead("clip_decoder")
        healer.dead("wildlife_detector")
        await until_healed(triton, 1)
    assert triton.healed == ["wildlife_detector"]


async def test_a_surprise_does_not_end_the_healing() -> None:
    triton = FakeTriton()
    triton.failures, triton.error = 2, RuntimeError("a surprise")
    with capture_logs() as logs:
        async with healing(triton) as healer:
            healer.dead("clip_decoder")
            await until_healed(triton, 1)
    assert [line["error"] for line in logs if line["event"] == "model_not_healed"] == ["a surprise"] * 2
