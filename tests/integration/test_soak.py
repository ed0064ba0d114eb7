"""The short form of `make soak`: a server that leaks is found out, the real one is not."""

from __future__ import annotations

import pytest

from wildgate_perf.server_process import COMMAND
from wildgate_perf.soak.__main__ import LEAKY, soak

pytestmark = [pytest.mark.triton, pytest.mark.timeout(400)]
_MINUTES = 0.6


@pytest.mark.parametrize("command", [COMMAND, LEAKY], ids=["real", "leaky"])
async def test_a_leak_is_found_out(command: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    soaked = await soak(_MINUTES, tmp_path_factory.mktemp("s"), command)  # a short path: of sockets
    counted = {each for each in soaked.leaks if "memory" not in each}  # which takes longer to settle
    assert counted == (set() if command is COMMAND else {"descriptors", "files"})
