"""A killed model process: Triton would fail for ever, the gateway brings the model back and asks again meanwhile.

Triton itself may abort when a process is killed that holds a lock it shares (`boost::interprocess::lock_exception`):
then all of it is replaced.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import grpc
import pytest
from clips import make_clip
from gateway_under_test import PATIENCE_S, GatewayUnderTest, running, until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from triton_requests import processes_with

from wildgate_client import Content
from wildgate_server.settings import ServerSettings

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

VIDEO = Content(make_clip())


def processes_of(model: str) -> set[int]:
    """The processes of a model in the servers of this process's gateways."""
    return {
        process
        for process in processes_with(f"wildgate-{os.getpid()}-")
        if f"/models/{model}/" in Path(f"/proc/{process}/cmdline").read_text()
    }


async def serving(gateway: GatewayUnderTest) -> bool:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_killed_processes_come_back(patch_models: Path, policy_file: Path, tmp_path: Path) -> None:
    others = {model: processes_of(model) for model in ("clip_decoder", "wildlife_detector")}
    settings = ServerSettings(
        endpoint={"address": "127.0.0.1:0"},
        sampling={"workers": 1, "timeout_s": 60},
        backend={"model_repository": patch_models, "log_dir": tmp_path, "instances": 1},
        cache={"max_entries": 0},
        policy=policy_file,
        log_level="warning",
    )
    async with running(settings) as gateway:
        before = await gateway.client.score(VIDEO)
        for model, elsewhere in others.items():
            killed = processes_of(model) - elsewhere
            assert len(killed) == 1
            for process in killed:
                os.kill(process, signal.SIGKILL)
            again = await gateway.client.score(VIDEO)
            assert again.detections == before.detections
            await until(
                lambda model=model, known=elsewhere | killed: len(processes_of(model) - known) == 1,
                "one process in its place",
            )
            async with asyncio.timeout(PATIENCE_S):
                while not await serving(gateway):
                    await asyncio.sleep(0.05)
            for _ in range(3):
                await gateway.client.score(VIDEO)
    await until(lambda: all(processes_of(model) == elsewhere for model, elsewhere in others.items()), "the end of all")
