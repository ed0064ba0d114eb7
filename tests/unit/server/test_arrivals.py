"""Room for messages on their way in: who waits, who gives way, and who does not."""

from __future__ import annotations

import asyncio

import pytest
from event_loop import Clock, settled

from wildgate_server.arrivals import Arrivals
from wildgate_server.errors import DeadlineExceeded, Overloaded

PATIENCE_S = 20.0


class Message:
    """One that is waited for over a connection, and comes when it is told to."""

    def __init__(self, arrivals: Arrivals, connection: str) -> None:
        self.is_read = False
        self._come = asyncio.Event()
        self.task = asyncio.create_task(arrivals.read(self._received, connection))

    async def _received(self) -> str:
        self.is_read = True
        await self._come.wait()
        return "message"

    async def come(self) -> str:
        self._come.set()
        async with asyncio.timeout(PATIENCE_S):
            return await self.task

    async def gives_way(self) -> None:
        with pytest.raises(Overloaded):
            async with asyncio.timeout(PATIENCE_S):
                await self.task


async def messages(arrivals: Arrivals, *connections: str) -> list[Message]:
    made = [Message(arrivals, connection) for connection in connections]
    await settled()
    return made


async def test_what_finds_no_room_is_not_asked_for_until_there_is() -> None:
    arrivals = Arrivals(2, Clock())
    first, second, third, fourth = made = await messages(arrivals, *["ipv4:a:1"] * 4)
    assert [each.is_read for each in made] == [True, True, False, False]
    assert await first.come() == "message"
    await settled()
    assert [each.is_read for each in made] == [True, True, True, False], "first come, first served"
    for each in (second, third, fourth):
        assert await each.come() == "message"
    assert arrivals.arriving == 0


@pytest.mark.parametrize(
    ("greedy", "modest"),
    [
        (["ipv4:a:1"] * 3, "ipv4:a:2"),
        (["ipv4:a:1", "ipv4:a:2", "ipv4:a:3"], "ipv4:b:1"),
    ],
    ids=["connection", "host"],
)
async def test_who_has_most_of_the_room_gives_way_to_who_has_none(greedy: list[str], modest: str) -> None:
    clock = Clock()
    arrivals = Arrivals(3, clock)
    oldest, *others = await messages(arrivals, *greedy)
    clock.now = 0.1
    (newcomer,) = await messages(arrivals, modest)
    assert not newcomer.is_read, "a message that is coming in right now is not cut short"
    clock.now = 0.6
    await oldest.gives_way()
    assert await newcomer.come() == "message"
    for each in others:
        assert await each.come() == "message"


async def test_among_equals_each_is_sure_of_seconds() -> None:
    clock = Clock()
    arrivals = Arrivals(2, clock)
    first, second, third = await messages(arrivals, "ipv4:a:1", "ipv4:b:1", "ipv4:c:1")
    clock.now = 3.0
    await asyncio.sleep(0.12)
    assert not third.is_read
    clock.now = 5.1
    await first.gives_way()
    assert await third.come() == await second.come() == "message"


async def test_who_has_none_of_the_room_waits_before_who_has_some() -> None:
    arrivals = Arrivals(2, Clock())
    first, *crowd = await messages(arrivals, *["ipv4:a:1"] * 20)
    (newcomer,) = await messages(arrivals, "ipv4:b:1")
    await first.come()
    assert await newcomer.come() == "message"
    assert [await each.come() for each in crowd] == ["message"] * 19


async def test_a_message_that_does_not_come_in_time_leaves_its_room() -> None:
    arrivals = Arrivals(1)
    with pytest.raises(DeadlineExceeded):
        await arrivals.read(asyncio.Event().wait, "ipv4:a:1", timeout_s=0.01)
    assert arrivals.arriving == 0


async def test_who_leaves_while_it_waits_is_passed_over() -> None:
    arrivals = Arrivals(1, Clock())
    first, second, third = await messages(arrivals, *["ipv4:a:1"] * 3)
    second.task.cancel()
    await settled()
    await first.come()
    assert await third.come() == "message"
