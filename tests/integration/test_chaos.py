"""The short form of `make chaos`: nothing is lost or wrong when Triton is killed, or a fleet restarted in turn."""

from __future__ import annotations

import shutil

import pytest

from wildgate_perf.chaos import fleet, processes
from wildgate_perf.chaos.__main__ import STAGES, play

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]


@pytest.mark.parametrize("fault", [processes.FAULTS[0], fleet.FAULTS[0]], ids=lambda fault: fault.name)
async def test_every_request_ends_in_one_answer(fault: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    if fault in fleet.FAULTS and not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed")
    [stage] = [stage for stage, faults in STAGES if fault in faults]
    async with stage(tmp_path_factory.mktemp("chaos")) as struck:
        outcome = await play(fault, struck, seconds=3)
    assert outcome.ends["verdict"]
    assert (outcome.ends["lost"], outcome.ends["wrong"]) == (0, 0), outcome.examples
