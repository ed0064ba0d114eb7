"""The short forms of `make chaos` and `make overload`: nothing is lost or wrong, and what is too much is refused."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from wildgate_perf.chaos import fleet, overload, processes, secured
from wildgate_perf.chaos.__main__ import STAGES, play

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    "fault", [processes.FAULTS[0], fleet.FAULTS[0], secured.FAULTS[0]], ids=lambda fault: fault.name
)
async def test_every_request_ends_in_one_answer(fault: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    if fault in fleet.FAULTS and not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed")
    [stage] = [stage for stage, faults in STAGES if fault in faults]
    async with stage(tmp_path_factory.mktemp("chaos")) as struck:
        outcome = await play(fault, struck, seconds=3)
    assert outcome.ends["verdict"]
    assert (outcome.ends["lost"], outcome.ends["wrong"]) == (0, 0), outcome.examples


async def test_what_is_too_much_is_refused_and_the_rest_is_done() -> None:
    [row], _ = await asyncio.to_thread(overload.measure, 6.0, overload.LOADS[2:3], tail=False)
    assert row.load.times == 40
    assert row.ends["refused"]
    assert not row.ends["other"]
    assert row.good_per_s
    assert row.refusal_p99_s is not None
