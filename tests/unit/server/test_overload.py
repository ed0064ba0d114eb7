"""The door and the turns together, in virtual time, on two cores that share what there is."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from virtual_time import run_in_virtual_time

from wildgate_server.admission import Admission, AdmissionSettings
from wildgate_server.errors import DeadlineExceeded, Overloaded
from wildgate_server.limit import GradientLimit
from wildgate_server.turns import Standing, Turns

CORES, WORK_S = 2, 0.2
PEAK_PER_S = CORES / WORK_S
_STEP_S = 0.02
UPLOADS, OTHERS, BACKFILL = Standing("uploads", 1.0), Standing("others", 1.0), Standing("backfill", 0.5)


@dataclass
class Gateway:
    """Callers come, and are answered in time, late, or refused; `took_s` of those in time, by tenant."""

    least: int = CORES
    at_work: int = 0
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    took_s: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now: Callable[[], float] = asyncio.get_running_loop().time
        self.limit = GradientLimit(self.least, 64, self.now)
        self.door = Admission(AdmissionSettings(), self.limit, self.now)
        self.turns = Turns(self.limit, self.now)

    async def ask(self, standing: Standing, deadline_s: float, costs: float = 1.0) -> None:
        came_s = self.now()
        try:
            async with asyncio.timeout(deadline_s):
                with self.door.admit(standing=standing, within_s=deadline_s):
                    async with self.turns.turn(standing, came_s + deadline_s, work=costs):
                        await self._work(WORK_S * costs)
        except Overloaded:
            end = "refused"
        except (TimeoutError, DeadlineExceeded):
            end = "late"
        else:
            end = "good"
            self.took_s.setdefault(standing.tenant, []).append(self.now() - came_s)
        self.ends[standing.tenant, end] += 1

    async def _work(self, left_s: float) -> None:
        """Two cores' share of so many seconds of work."""
        self.at_work += 1
        try:
            while left_s > 0:
                await asyncio.sleep(_STEP_S)
                left_s -= _STEP_S * min(1.0, CORES / self.at_work)
        finally:
            self.at_work -= 1

    async def loop(self, clients: int, seconds: float, standing: Standing, costs: float = 1.0) -> None:
        """Callers that ask again once they are answered."""
        ends_s = self.now() + seconds

        async def client() -> None:
            while self.now() < ends_s:
                await self.ask(standing, 60.0, costs)

        async with asyncio.TaskGroup() as callers:
            for _ in range(clients):
                callers.create_task(client())

    async def offer(self, per_s: float, seconds: float, standing: Standing, deadline_s: float, seed: int = 1) -> None:
        """Callers come independently of each other (Poisson)."""
        draw, ends_s = random.Random(seed), self.now() + seconds
        async with asyncio.TaskGroup() as callers:
            while self.now() < ends_s:
                callers.create_task(self.ask(standing, deadline_s))
                await asyncio.sleep(draw.expovariate(per_s))


@pytest.mark.parametrize("deadline_s", [2.0, 10.0])
@pytest.mark.parametrize(("times", "of_peak"), [(3, 0.97), (40, 0.97)])
def test_what_is_too_much_is_refused_and_the_rest_is_in_time(times: float, of_peak: float, deadline_s: float) -> None:
    async def play() -> Gateway:
        gateway = Gateway()
        await gateway.offer(0.3 * PEAK_PER_S, 5, OTHERS, deadline_s)  # from then on it is known what work takes
        await gateway.offer(times * PEAK_PER_S, 30, UPLOADS, deadline_s)
        return gateway

    gateway = run_in_virtual_time(play())
    ends, took_s = gateway.ends, sorted(gateway.took_s["uploads"][len(gateway.took_s["uploads"]) // 2 :])
    assert ends["uploads", "good"] > of_peak * 30 * PEAK_PER_S
    assert took_s[len(took_s) // 2] < 3.0, "the line is kept short once it stands"
    assert ends["uploads", "late"] < 0.05 * ends["uploads", "good"]


def test_uploads_notice_little_of_backfill() -> None:
    async def play() -> Gateway:
        gateway = Gateway()
        async with asyncio.TaskGroup() as callers:
            callers.create_task(gateway.offer(3 * PEAK_PER_S, 60, BACKFILL, 20.0))
            callers.create_task(gateway.offer(0.3 * PEAK_PER_S, 60, UPLOADS, 2.0, seed=2))
        return gateway

    gateway = run_in_virtual_time(play())
    assert {end for tenant, end in gateway.ends if tenant == "uploads"} == {"good"}
    took_s = sorted(gateway.took_s["uploads"])
    assert took_s[int(0.99 * len(took_s))] < 5 * WORK_S
    assert gateway.ends["backfill", "good"] > 0.6 * 60 * PEAK_PER_S


def test_the_tail_of_bursts_where_there_is_no_overload() -> None:
    async def play() -> Gateway:
        gateway = Gateway()
        await gateway.offer(0.7 * PEAK_PER_S, 300, UPLOADS, 10.0)
        return gateway

    gateway = run_in_virtual_time(play())
    assert set(gateway.ends) == {("uploads", "good")}
    took_s = sorted(gateway.took_s["uploads"])
    assert took_s[int(0.99 * len(took_s))] < 5 * WORK_S


def test_long_videos_over_many_connections_leave_others_most_of_the_time_and_have_their_part() -> None:
    async def play() -> Gateway:
        gateway = Gateway()
        async with asyncio.TaskGroup() as callers:
            callers.create_task(gateway.loop(4, 60, UPLOADS))
            for number in range(8):
                callers.create_task(gateway.loop(1, 60, Standing(f"long {number}"), costs=10))
        return gateway

    gateway = run_in_virtual_time(play())
    assert gateway.ends["uploads", "good"] > 0.8 * 60 * PEAK_PER_S
    assert sorted(gateway.took_s["uploads"])[int(0.99 * gateway.ends["uploads", "good"])] < 3 * 4 / CORES * WORK_S
    long = sum(gateway.ends[f"long {number}", "good"] for number in range(8))
    assert long * 10 > 0.07 * 60 * PEAK_PER_S
