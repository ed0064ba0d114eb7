"""`wildgate serve --enforcement`: a gateway with a case service of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from checkout import ROOT
from clips import ClipSpec, make_clip
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_under_test import NO_RETRY, PATIENCE_S, free_address, until
from tokens import ISSUER, pem, token

from wildgate_client import Content, ScoringClient, Verdict

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

VIDEO = Content(make_clip(ClipSpec()))


class OneBox:
    """A gateway; `service` is the case service that runs now."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self._address = address

    @property
    def service(self) -> psutil.Process:
        [service] = [each for each in psutil.Process(self.process.pid).children() if "enforce" in each.cmdline()]
        return service

    async def score(self, video_id: str) -> Verdict:
        async with ScoringClient(self._address, NO_RETRY) as client:
            return await client.score(VIDEO, video_id=video_id)

    async def until_opened(self, video_id: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not (await self.score(video_id)).case_id:
                await asyncio.sleep(0.1)


@pytest.fixture
def box(tmp_path: Path, patch_triton: str, patch_models: Path, policy_file: Path) -> Iterator[OneBox]:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "keys.pem").write_bytes(pem(key))
    (tmp_path / "token").write_text(token(key, roles=["gateway"], exp=int(time.time()) + 600))
    command = (
        *(sys.executable, "-m", "wildgate_client.cli", "serve", "--listen", "127.0.0.1:0", "--sampling.workers", "1"),
        *("--triton", patch_triton, "--model-repository", str(patch_models)),
        *("--policy", str(policy_file), "--enforcement", str(tmp_path / "cases")),
        *("--enforcement.listen", free_address(), "--enforcement.token-file", str(tmp_path / "token")),
    )
    own = {"WILDGATE_ENFORCE__ACCESS__KEYS": str(tmp_path / "keys.pem"), "WILDGATE_ENFORCE__ACCESS__ISSUER": ISSUER}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | own) as process:
        assert process.stdout
        yield OneBox(process, process.stdout.readline().split()[-1])
        process.kill()


async def test_it_opens_cases_comes_back_and_stops_with_the_gateway(box: OneBox) -> None:
    await box.until_opened("before")
    killed = box.service
    killed.kill()
    assert (await box.score("meanwhile")).case_handoff in ("KEPT", "OPENED")
    await box.until_opened("meanwhile")
    service = box.service
    box.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(box.process.wait, PATIENCE_S) == 0
    assert not service.is_running()


async def test_it_does_not_outlive_a_gateway_that_is_killed(box: OneBox) -> None:
    service = box.service
    box.process.kill()
    await until(lambda: not service.is_running(), "the service ends")
