"""The door: places counted and weighed, immediate refusal, orderly waiting, draining."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from event_loop import settled

from wildgate_server.admission import Admission, AdmissionSettings
from wildgate_server.errors import Overloaded, ShuttingDown
from wildgate_server.limit import GradientLimit
from wildgate_server.turns import Standing

MB = 1 << 20


def door(max_in_flight: int = 2, max_in_flight_mb: int = 10) -> Admission:
    return Admission(
        AdmissionSettings(max_in_flight=max_in_flight, max_in_flight_mb=max_in_flight_mb, retry_after_ms=1500)
    )


class Visitor:
    """A video of a stream: waits for a place, keeps it until told to leave."""

    def __init__(self, admission: Admission, size: int = 0) -> None:
        self.inside = False
        self._leave = asyncio.Event()
        self.task = asyncio.create_task(self._visit(admission, size))

    async def _visit(self, admission: Admission, size: int) -> None:
        async with admission.admit_when_free(size):
            self.inside = True
            try:
                await self._leave.wait()
            finally:
                self.inside = False

    async def leave(self) -> None:
        self._leave.set()
        await self.task
        await settled()


async def visitors(admission: Admission, *sizes: int) -> list[Visitor]:
    entered = [Visitor(admission, size) for size in sizes]
    await settled()
    return entered


def inside(entered: list[Visitor]) -> list[bool]:
    return [visitor.inside for visitor in entered]


def test_one_more_than_there_are_places_is_refused() -> None:
    admission = door()
    with admission.admit(0), admission.admit(0):
        assert admission.in_flight == 2
        with pytest.raises(Overloaded) as refusal, admission.admit(0):
            pass
        assert refusal.value.retry_after_s == 1.5
    with admission.admit(0):
        assert admission.in_flight == 1


def test_a_place_is_given_back_when_the_video_fails() -> None:
    admission = door(max_in_flight=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), admission.admit(9 * MB):
            raise ZeroDivisionError
    assert admission.in_flight == 0


def test_bytes_are_weighed() -> None:
    admission = door(max_in_flight=10, max_in_flight_mb=10)
    with admission.admit(6 * MB), admission.admit(4 * MB):
        with pytest.raises(Overloaded), admission.admit(1):
            pass
        with admission.admit(0):
            assert admission.in_flight == 3
    with admission.admit(10 * MB):
        pass


def test_an_empty_server_takes_a_video_heavier_than_the_limit() -> None:
    admission = door(max_in_flight_mb=1)
    with admission.admit(5 * MB):
        with pytest.raises(Overloaded), admission.admit(0):
            pass
        assert admission.in_flight == 1


async def test_a_stream_waits_for_a_place_in_order() -> None:
    admission = door(max_in_flight=1)
    first, second, third = entered = await visitors(admission, 0, 0, 0)
    assert inside(entered) == [True, False, False]
    await first.leave()
    assert inside(entered) == [False, True, False]
    await second.leave()
    assert inside(entered) == [False, False, True]
    await third.leave()
    assert admission.in_flight == 0


async def test_a_heavy_video_that_leaves_makes_room_for_many_light_ones() -> None:
    admission = door(max_in_flight=10, max_in_flight_mb=10)
    heavy, *light = await visitors(admission, 10 * MB, 3 * MB, 3 * MB, 3 * MB, 3 * MB)
    assert inside(light) == [False] * 4
    await heavy.leave()
    assert inside(light) == [True, True, True, False]
    await light[1].leave()
    assert inside(light) == [True, False, True, True]
    for visitor in (light[0], light[2], light[3]):
        await visitor.leave()


async def test_a_heavy_video_does_not_lose_its_turn() -> None:
    admission = door(max_in_flight=10, max_in_flight_mb=10)
    six, four, nine, two = entered = await visitors(admission, 6 * MB, 4 * MB, 9 * MB, 2 * MB)
    await four.leave()
    assert inside(entered) == [True, False, False, False], "nine is next, and does not fit yet"
    await six.leave()
    assert inside(entered) == [False, False, True, False]
    await nine.leave()
    assert inside(entered) == [False, False, False, True]
    await two.leave()


async def test_who_comes_later_does_not_overtake() -> None:
    admission = door(max_in_flight=10, max_in_flight_mb=10)
    six, nine = await visitors(admission, 6 * MB, 9 * MB)
    (two,) = await visitors(admission, 2 * MB)
    assert inside([six, nine, two]) == [True, False, False]
    nine.task.cancel()
    await settled()
    assert inside([six, two]) == [True, True], "its way is free"
    await six.leave()
    await two.leave()


@pytest.mark.parametrize("place_is_free", [False, True])
async def test_who_leaves_while_waiting_is_passed_over(place_is_free: bool) -> None:
    """Also where it was offered a place already, and has not run since."""
    admission = door(max_in_flight=1)
    with admission.admit(0):
        second, third = await visitors(admission, 0, 0)
        if not place_is_free:
            second.task.cancel()
            await settled()
    second.task.cancel()
    await settled()
    assert second.task.cancelled()
    assert third.inside
    await third.leave()
    assert admission.in_flight == 0


async def test_closing_refuses_who_comes_and_tells_who_waits() -> None:
    admission = door(max_in_flight=1)
    first, second, third = await visitors(admission, 0, 0, 0)
    admission.close()
    for waiting in (second, third):
        with pytest.raises(ShuttingDown):
            await waiting.task
    with pytest.raises(ShuttingDown), admission.admit(0):
        pass
    with pytest.raises(ShuttingDown):
        await Visitor(admission).task
    assert first.inside, "work under way is finished"
    await first.leave()


async def test_drained_when_the_last_has_left() -> None:
    admission = door()
    await admission.drained()
    first, second = await visitors(admission, 0, 0)
    drained = asyncio.create_task(admission.drained())
    await first.leave()
    assert not drained.done()
    await second.leave()
    assert drained.done()


async def test_who_may_fill_less_finds_no_place_sooner_and_waits_behind() -> None:
    admission = door(max_in_flight=4)
    with admission.admit(standing=Standing(share=0.5)), admission.admit(standing=Standing(share=0.5)):
        with pytest.raises(Overloaded), admission.admit(standing=Standing(share=0.5)):
            pass
        held = [admission.admit(), admission.admit()]
        for place in held:
            place.__enter__()
        order = []

        async def wait(share: float) -> None:
            async with admission.admit_when_free(0, standing=Standing(share=share)):
                order.append(share)

        waiting = [asyncio.create_task(wait(share)) for share in (0.5, 0.9, 1.0)]
        await settled()
        assert order == []
        held.pop().__exit__(None, None, None)
        await settled()
        assert order == [1.0, 0.9]
        held.pop().__exit__(None, None, None)
        await settled()
        assert order == [1.0, 0.9]  # two of four are taken, which is all that the last may fill
    await asyncio.gather(*waiting)
    assert order == [1.0, 0.9, 0.5]


def known_pace(*, took_s: float, limit: int = 2) -> GradientLimit:
    known = GradientLimit(limit, limit, lambda: 0.0)
    known.sample(took_s, 1, full=False)
    return known


def test_who_cannot_be_answered_in_time_is_refused_at_once_unless_it_goes_before_others() -> None:
    admission = Admission(AdmissionSettings(), known_pace(took_s=1.0))
    low, high = Standing(share=0.5), Standing(share=1.0)
    with ExitStack() as held:
        for _ in range(8):
            held.enter_context(admission.admit(standing=low))
        with (
            pytest.raises(Overloaded, match=r"would take 5\.4 s, which is more than 5\.0"),
            admission.admit(standing=low, within_s=5.0),
        ):
            pass
        with admission.admit(standing=low, within_s=6.0), admission.admit(standing=high, within_s=0.5):
            pass


def test_those_who_are_refused_come_back_one_after_the_other() -> None:
    settings = AdmissionSettings(max_in_flight=1, retry_after_ms=500, max_retry_after_s=3.0)
    admission = Admission(settings, known_pace(took_s=1.0), lambda: 100.0)
    told = []
    with admission.admit():
        for _ in range(20):
            with pytest.raises(Overloaded) as refusal, admission.admit():
                pass
            told.append(refusal.value.retry_after_s)
    assert told[:6] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    assert all(0.5 <= each <= 3.0 for each in told)


@pytest.mark.parametrize("by_tenant", [False, True])
def test_many_who_want_all_leave_something_free(by_tenant: bool) -> None:
    admission = Admission(AdmissionSettings(max_in_flight=64))
    counts = []
    with ExitStack() as held:
        for name in ("a", "b", "c"):
            count = 0
            try:
                while True:
                    standing = Standing(tenant=name) if by_tenant else Standing()
                    connection = str(count) if by_tenant else name
                    held.enter_context(admission.admit(connection=connection, standing=standing))
                    count += 1
            except Overloaded:
                counts.append(count)
        assert counts == [48, 12, 3]
        held.enter_context(admission.admit(connection="d", standing=Standing(tenant="d")))
