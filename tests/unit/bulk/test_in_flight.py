from __future__ import annotations

import asyncio
from collections import deque

from wildgate_bulk.in_flight import InFlight


class Server:
    """Takes so many at once; answers when told."""

    def __init__(self, takes: int) -> None:
        self.takes, self.under_way, self.most = takes, 0, 0
        self.turns: deque[asyncio.Event] = deque()

    async def ask(self) -> bool:
        if self.under_way == self.takes:
            return False
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.turns.append(turn := asyncio.Event())
        await turn.wait()
        self.under_way -= 1
        return True


async def asked(server: Server, in_flight: InFlight, videos: int) -> int:
    """Asks about so many; returns how many were refused on the way."""
    refused = 0

    async def ask() -> None:
        nonlocal refused
        while True:
            async with in_flight.place() as began_s:
                if await server.ask():
                    return in_flight.answered()
            refused += 1
            in_flight.refused(began_s)
            await asyncio.sleep(0)

    async def serve() -> None:
        while True:
            if server.turns:
                server.turns.popleft().set()
            await asyncio.sleep(0)

    serving = asyncio.create_task(serve())
    async with asyncio.TaskGroup() as group:
        for _ in range(videos):
            group.create_task(ask())
    serving.cancel()
    return refused


async def test_a_server_is_filled_and_seldom_asked_for_more_than_it_takes() -> None:
    server, in_flight = Server(takes=20), InFlight(ceiling=64)
    refused = await asked(server, in_flight, 1000)
    assert server.most == 20
    assert refused < 100
    assert 10 <= in_flight.limit <= 21


async def test_no_more_than_the_ceiling_are_asked_at_once() -> None:
    server = Server(takes=20)
    assert await asked(server, InFlight(ceiling=8), 200) == 0
    assert server.most == 8


def test_one_overload_counts_once_for_all_that_were_under_way() -> None:
    time_s = 0.0
    in_flight = InFlight(ceiling=4, now=lambda: time_s)
    time_s = 2.0
    for _ in range(4):
        in_flight.refused(began_s=1.0)
    assert in_flight.limit == 2
    in_flight.refused(began_s=2.5)
    assert in_flight.limit == 1
