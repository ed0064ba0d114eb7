"""The gateway's own enforcement service: what happens when it cannot be started again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from wildgate_server.enforcement import embedded
from wildgate_server.enforcement.embedded import EmbeddedEnforcement
from wildgate_server.enforcement.enforcement_settings import EnforcementSettings


async def test_a_start_that_the_machine_refuses_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "service"
    program.write_text("#!/bin/sh\necho ready\n")
    program.chmod(0o700)
    monkeypatch.setattr(embedded, "_COMMAND", (str(program),))
    monkeypatch.setattr(embedded, "_FIRST_PAUSE_S", 0.01)
    service = EmbeddedEnforcement(EnforcementSettings(directory=tmp_path), "127.0.0.1:1", blocks=False)
    await service.start()
    program.rename(tmp_path / "away")
    running = asyncio.create_task(service.run())
    await asyncio.sleep(0.1)  # it has ended, and cannot be started
    (tmp_path / "again").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\necho ready\nexec sleep 60\n")
    (tmp_path / "again").chmod(0o700)
    (tmp_path / "again").rename(program)
    async with asyncio.timeout(30):
        while not (tmp_path / "started").exists():
            await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await service.stop()
