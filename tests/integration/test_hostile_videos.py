"""A video that hangs, or a worker that dies, harms no other video."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from clips import ClipSpec, make_clip
from gateway_under_test import (
    NO_RETRY,
    GatewayUnderTest,
    MakeSettings,
    processor_time_s,
    running,
    until,
    until_in_flight,
    videos_in_flight,
)
from hostile_videos import endless_work

from wildgate_client import Content, InvalidVideo, ScoringClient
from wildgate_perf.attacks.costly_files import garbage_in_windows, large_pictures

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

GOOD = [Content(make_clip(ClipSpec(first_frame=number))) for number in range(4)]
# Far more than taking a task takes, far less than the hostile video does.
BUSY_S = 0.2


@pytest.fixture(scope="module")
def endless() -> Content:
    return Content(endless_work())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient_gateway(make_settings: MakeSettings) -> AsyncIterator[GatewayUnderTest]:
    """A gateway that gives a video a minute to be sampled: whoever ends a worker earlier, it is the test."""
    async with running(make_settings(sampling={"workers": 2, "timeout_s": 60})) as started:
        yield started


async def scores(gateway: GatewayUnderTest) -> None:
    """Good videos, all at once, all score."""
    verdicts = await asyncio.gather(*(gateway.client.score(good) for good in GOOD))
    assert len({verdict.detections for verdict in verdicts}) == len(GOOD)


async def busy_worker(gateway: GatewayUnderTest) -> int:
    """The worker that has been at work since this was called."""
    before = {worker: processor_time_s(worker) for worker in gateway.workers}

    def busy() -> list[int]:
        return [worker for worker, used_s in before.items() if processor_time_s(worker) > used_s + BUSY_S]

    await until(lambda: bool(busy()), "a worker at work")
    return busy()[0]


async def test_a_video_that_takes_too_long_is_refused_and_holds_up_nobody(
    make_settings: MakeSettings, endless: Content
) -> None:
    async with running(
        make_settings(source={"fetch_timeout_s": 0.2}, sampling={"workers": 2, "timeout_s": 2.0})
    ) as gateway:
        hanging = asyncio.create_task(gateway.client.score(endless))
        await scores(gateway)
        with pytest.raises(InvalidVideo, match="took longer than 2 s") as refused:
            await hanging
        assert refused.value.reason == "VIDEO_TOO_COSTLY"
        await scores(gateway)


async def test_a_video_that_costs_too_much_is_refused_and_not_asked_for_again(make_settings: MakeSettings) -> None:
    """Each of its windows takes most of a processor second."""
    async with running(make_settings(budget={"processor_s": 0.6})) as gateway:
        with pytest.raises(InvalidVideo, match=r"budget\.processor_s is 0\.6") as refused:
            await gateway.client.score(Content(large_pictures(seconds=32)))
        assert refused.value.reason == "VIDEO_TOO_COSTLY"
        await scores(gateway)


async def test_long_videos_with_garbage_over_many_connections_do_not_crowd_out_short_ones(
    make_settings: MakeSettings,
) -> None:
    """Row 8 of docs/security.md, in small: short videos are looked at before each attacker has had one turn."""
    answered = 0

    async def attack(client: ScoringClient) -> None:
        nonlocal answered
        while True:
            await client.score(costly)
            answered += 1

    costly = Content(garbage_in_windows(garbage=False))
    async with running(make_settings()) as gateway, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(ScoringClient(gateway.address, NO_RETRY)) for _ in range(8)]
        attacks = [asyncio.create_task(attack(client)) for client in clients]
        await until_in_flight(gateway.metrics, len(attacks))
        for _ in range(6):
            await scores(gateway)
        assert not any(each.done() for each in attacks)
        for each in attacks:
            each.cancel()
    assert answered < len(attacks)


async def test_a_worker_that_dies_at_work_fails_its_video_alone(
    patient_gateway: GatewayUnderTest, endless: Content
) -> None:
    crashing = asyncio.create_task(patient_gateway.client.score(endless))
    worker = await busy_worker(patient_gateway)
    others = asyncio.create_task(scores(patient_gateway))
    os.kill(worker, signal.SIGSEGV)
    with pytest.raises(InvalidVideo, match="crashed") as refused:
        await crashing
    assert refused.value.reason == "CORRUPT_VIDEO"
    await others
    await scores(patient_gateway)
    assert videos_in_flight(patient_gateway.metrics) == 0


async def test_workers_that_die_idle_are_replaced(make_settings: MakeSettings) -> None:
    async with running(make_settings(sampling={"workers": 2})) as gateway:
        await scores(gateway)
        for worker in gateway.workers:
            os.kill(worker, signal.SIGKILL)
        await scores(gateway)
        await scores(gateway)
