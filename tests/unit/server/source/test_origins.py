"""Fetchers are shared between origins: what drips leaves room for what is known to be quick."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from event_loop import Clock

from wildgate_server.source.origins import Origins

PLACES = 8


class Held:
    """Turns of one origin: those that have come, and what gives them back."""

    def __init__(self, origins: Origins, origin: str, count: int) -> None:
        self.waiting = [asyncio.create_task(origins.turn(origin)) for _ in range(count)]

    @property
    def come(self) -> list[Callable[[], None]]:
        return [turn.result() for turn in self.waiting if turn.done() and not turn.cancelled()]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def origins(clock: Clock) -> Origins:
    return Origins(PLACES, clock)


async def known_as_quick(origins: Origins, *names: str) -> None:
    for name in names:
        (await origins.turn(name))()


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_origins_that_nobody_knows_have_half_of_the_places(origins: Origins) -> None:
    await known_as_quick(origins, "good")
    dripping = [Held(origins, f"drip{number}", 1) for number in range(PLACES)]
    await settled()
    assert sum(len(held.come) for held in dripping) == PLACES // 2
    good = Held(origins, "good", PLACES)
    await settled()
    assert len(good.come) == PLACES // 2
    good.come[0]()
    await settled()
    assert (len(good.come), sum(len(held.come) for held in dripping)) == (PLACES // 2 + 1, PLACES // 2)


async def test_an_origin_that_was_slow_is_known_no_more(origins: Origins, clock: Clock) -> None:
    await known_as_quick(origins, "turns")
    held = Held(origins, "turns", PLACES)
    await settled()
    assert len(held.come) == PLACES * 3 // 4, "no origin has all"
    clock.now += 8
    for give_back in held.come:
        give_back()
    again = Held(origins, "turns", PLACES)
    await settled()
    assert len(held.come) + len(again.come) - PLACES * 3 // 4 == PLACES // 2


async def test_who_leaves_gives_back_its_turn_or_its_place_in_the_queue(origins: Origins) -> None:
    held = Held(origins, "one", PLACES)
    await settled()
    for turn in held.waiting[PLACES // 2 :]:
        turn.cancel()
    await settled()
    for give_back in held.come[: PLACES // 2]:
        give_back()
    await settled()
    assert not origins._waiting
    assert not origins._held
