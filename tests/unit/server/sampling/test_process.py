"""The channel to one worker, and how its death shows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio
from misbehaving_sampling import sample_or_misbehave

from wildgate_server.budget import Budget, BudgetSettings
from wildgate_server.errors import BackendUnavailable, CorruptVideo, VideoTooCostly, VideoTooLarge
from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.sampling.checked_reply import TaskFailed
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.process import ProcessDied, SamplingProcess
from wildgate_server.sampling.worker import WorkerOrders
from wildgate_server.source.content import Content
from wildgate_server.source.local_file import VideoFile

ORDERS = WorkerOrders(sample_or_misbehave, SamplingConfig(8), VideoLimits(1 << 20, 1 << 20, 60.0), 1 << 30)
TIMEOUT_S = 60.0


@pytest_asyncio.fixture
async def process() -> AsyncIterator[SamplingProcess]:
    process = SamplingProcess(ORDERS)
    yield process
    await asyncio.to_thread(process.close)


def told(content: bytes) -> Content:
    return Content(content, "blake3:00")


async def worker_of(process: SamplingProcess) -> int:
    return int((await process.sample(told(b"video"), TIMEOUT_S)).format.removeprefix("worker "))


async def test_answers_of_any_size_come_back(process: SamplingProcess) -> None:
    """Larger than the channel holds, and small again."""
    for _ in range(2):
        assert (await process.sample(told(b"large"), TIMEOUT_S)).windows[0].clip == bytes(range(256)) * 40_000
        assert (await process.sample(told(b"video"), TIMEOUT_S)).windows[0].clip == b"clip"


async def test_a_sample_that_is_too_large_is_refused(process: SamplingProcess) -> None:
    """It would be no reply that the gateway takes; the worker lives."""
    worker = await worker_of(process)
    with pytest.raises(VideoTooLarge, match="max_clip_bytes"):
        await process.sample(told(b"too large"), TIMEOUT_S)
    assert await worker_of(process) == worker


async def test_a_worker_is_what_the_kernel_takes_first(process: SamplingProcess) -> None:
    worker = await worker_of(process)
    assert Path(f"/proc/{worker}/oom_score_adj").read_text() == "1000\n"


async def test_the_gateway_s_secrets_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILDGATE_CACHE__REDIS_URL", "redis://user:password@host")
    monkeypatch.setenv("AWS_REGION", "here")
    process = SamplingProcess(ORDERS)
    try:
        names = (await process.sample(told(b"environment"), TIMEOUT_S)).default_track.codec.split(",")
    finally:
        await asyncio.to_thread(process.end)
    assert not [name for name in names if name.startswith("WILDGATE")]
    assert {"AWS_REGION", "PATH", "PYTHONPATH"} <= set(names)


async def test_a_start_that_takes_too_long_is_given_up(process: SamplingProcess) -> None:
    process.start()
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(ProcessDied):
        await process.ready(0.05)
    await asyncio.to_thread(process.end)
    assert not process.lives


async def test_what_a_worker_does_to_the_shared_memory_harms_only_its_video(process: SamplingProcess) -> None:
    """A file that is cut off beneath a mapping ends whoever touches it, which would be the gateway."""
    await process.sample(told(b"shrink"), TIMEOUT_S)
    assert await worker_of(process)


async def test_a_surprise_brings_its_traceback(process: SamplingProcess) -> None:
    with pytest.raises(TaskFailed, match="ZeroDivisionError: a bug") as surprise:
        await process.sample(told(b"surprise"), TIMEOUT_S)
    assert "sample_or_misbehave" in surprise.value.__notes__[0]
    with pytest.raises(TaskFailed, match="PeculiarError: 1 and 2"):
        await process.sample(told(b"peculiar surprise"), TIMEOUT_S)
    assert await worker_of(process), "it serves on"


@pytest.mark.parametrize(
    ("death", "error"), [(b"crash", CorruptVideo), (b"exit", CorruptVideo), (b"killed", BackendUnavailable)]
)
async def test_a_death_at_work(process: SamplingProcess, death: bytes, error: type[Exception]) -> None:
    """The video's own, but for a signal that anyone may have sent."""
    with pytest.raises(error):
        await process.sample(told(death), TIMEOUT_S)
    assert not process.lives


async def test_a_video_that_takes_more_than_its_budget_ends_its_worker(process: SamplingProcess) -> None:
    """Wherever it is; what it took before counts."""
    budget = Budget(BudgetSettings(processor_s=30.2), processor_s=30.0)
    with pytest.raises(VideoTooCostly, match="processor time"):
        await process.sample(told(b"toil"), TIMEOUT_S, budget=budget)
    assert not process.lives
    budget = Budget()
    await process.sample(told(b"video"), TIMEOUT_S, budget=budget)
    assert 0 < budget.processor_s < 1, "its start is not the video's"


async def test_what_a_worker_prints_is_not_the_gateway_s(
    process: SamplingProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await process.sample(told(b"babble"), TIMEOUT_S)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("nonsense", [b"silence", b"garbage", b"overlong", b"pickle"])
async def test_a_process_that_answers_nonsense_is_ended(process: SamplingProcess, nonsense: bytes) -> None:
    with pytest.raises(CorruptVideo, match="crashed"):
        await process.sample(told(nonsense), TIMEOUT_S)
    assert not process.lives
    assert "UNPICKLED" not in os.environ


async def test_a_death_before_the_source_was_taken_is_not_the_source_s(process: SamplingProcess) -> None:
    """Killed while stopped, so that it certainly has not read what was sent."""
    worker = await worker_of(process)
    os.kill(worker, signal.SIGSTOP)
    asking = asyncio.create_task(process.sample(told(b"video"), TIMEOUT_S))
    await asyncio.sleep(0)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(ProcessDied) as died:
        await asking
    assert died.value.exit_code == -signal.SIGKILL


async def test_a_process_that_cannot_begin_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task is in a module that only this process has."""

    def task(source: object, config: SamplingConfig, limits: VideoLimits) -> SampledVideo:
        raise AssertionError

    here_alone = ModuleType("here_alone")
    here_alone.task = task
    task.__module__, task.__qualname__ = "here_alone", "task"
    monkeypatch.setitem(sys.modules, "here_alone", here_alone)
    with pytest.raises(ProcessDied) as died:
        await SamplingProcess(replace(ORDERS, task=task)).sample(VideoFile(Path("video")), TIMEOUT_S)
    assert died.value.exit_code == 1


async def test_the_time_runs_out(process: SamplingProcess) -> None:
    await process.ready()
    with pytest.raises(BackendUnavailable, match="idle"):
        await process.sample(told(b"hang"), 0.05)
    assert not process.lives


async def test_a_cancelled_caller_leaves_no_process(process: SamplingProcess) -> None:
    await process.ready()
    asking = asyncio.create_task(process.sample(told(b"hang"), TIMEOUT_S))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not process.lives


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_only_the_gateway_ends_a_process(process: SamplingProcess, ending: signal.Signals) -> None:
    """A gateway that is told to stop, with all its group, still answers what is under way."""
    worker = await worker_of(process)
    os.kill(worker, ending)
    assert await worker_of(process) == worker


async def test_the_process_ends_when_the_gateway_s_end_is_closed(process: SamplingProcess) -> None:
    worker = await worker_of(process)
    process._channel.close()
    async with asyncio.timeout(TIMEOUT_S):
        while process.lives:
            await asyncio.sleep(0.01)
    assert not Path(f"/proc/{worker}").exists()


def test_a_worker_imports_only_what_sampling_needs() -> None:
    """What it imports costs every worker start-up time and memory, and every crash again."""
    program = "import json, sys; from wildgate_server.sampling import sampler; print(json.dumps([*sys.modules]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    listed = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True).stdout
    packages = {module.partition(".")[0] for module in json.loads(listed)}
    third_party = {package for package in packages if package in {"av", "blake3", "wildgate_server"}}
    assert third_party == {"av", "blake3", "wildgate_server"}
    heavy = {
        "asyncio",
        "grpc",
        "google",
        "multiprocessing",
        "numpy",
        "obstore",
        "pydantic",
        "structlog",
        "tritonclient",
    }
    assert not packages & {*heavy, "wildgate_proto", "wildgate_client"}
