"""What is asked of a server under attack, and that what is not held shows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from wildgate_perf.attacks.attack import for_ever
from wildgate_perf.attacks.table import NOT_PLAYED, Outcome, markdown
from wildgate_perf.attacks.watch import Watched
from wildgate_perf.loops import Measured
from wildgate_perf.loops import Outcome as Request

SECONDS = 10.0


def measured(per_s: int, took_s: float = 0.1, failed: int = 0) -> Measured:
    requests = [Request(at / per_s, at / per_s, at / per_s + took_s) for at in range(int(per_s * SECONDS))]
    requests += [Request(1.0, 1.0, 1.1, "UNAVAILABLE: gone")] * failed
    return Measured(tuple(requests), tuple(requests), 0.0, SECONDS)


def outcome(
    during: Measured, after: Measured | None = None, gateway_mb: int = 100, probes_failed: int = 0, probes: int = 9
) -> Outcome:
    watched = Watched(gateway_mb=gateway_mb, probes=probes, failed=probes_failed)
    return Outcome(3, "idle streams", measured(20), during, after or measured(20), watched)


@pytest.mark.parametrize(
    ("found", "misses"),
    [
        (outcome(measured(20)), []),
        (outcome(measured(15, took_s=0.25)), []),
        (outcome(measured(10)), ["rate"]),
        (outcome(measured(20, took_s=0.5)), ["p99"]),
        (outcome(measured(20, failed=20)), ["p99"]),
        (outcome(measured(20), gateway_mb=6000), ["memory"]),
        (outcome(measured(20), probes_failed=1), ["health"]),
        (outcome(measured(20), probes=0), ["health"]),
        (outcome(measured(20), after=measured(5)), ["recovery"]),
        (replace(outcome(measured(20)), stopped=False), ["stop"]),
        (outcome(measured(20), after=measured(20, failed=1)), ["recovery"]),
    ],
)
def test_what_is_missed_is_named(found: Outcome, misses: list[str]) -> None:
    assert found.misses == misses
    assert found.as_json()["misses"] == misses


def test_rows_that_are_not_played_are_in_the_table_with_those_that_are() -> None:
    found = outcome(measured(10))
    table = markdown([found])
    assert f"| 3 | idle streams | {found.before.per_s:.1f}, {found.during.per_s:.1f}, " in table
    assert "| rate |" in table
    assert all(f"row {row}:" in table for row in NOT_PLAYED)


async def test_an_attack_goes_on_whatever_comes_of_it_and_ends_when_it_is_cancelled() -> None:
    steps = 0

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 5:
            attack.cancel()
        raise ConnectionError if steps % 2 else asyncio.CancelledError

    attack = asyncio.create_task(for_ever(step, at_once=1, per_s=1e6))
    with suppress(asyncio.CancelledError):
        await attack
    assert steps == 5
    assert attack.cancelled()
