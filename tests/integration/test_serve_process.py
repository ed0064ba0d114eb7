"""`wildgate serve` as a process: how it starts, how it stops, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from checkout import ROOT
from clips import ClipSpec, make_clip
from gateway_under_test import NO_RETRY, PATIENCE_S, free_address, until, until_in_flight, videos_in_flight
from patch_detector import POLICY
from triton_requests import shared_memory_of

from wildgate_client import Action, Content, ScoringClient, ScoringError, StreamItem, Unavailable, Uri, VerdictNotCached
from wildgate_perf.local_server import LocalServer, LocalServerOptions
from wildgate_server.box import held
from wildgate_server.triton.client import TritonClient
from wildgate_server.triton.embedded import EmbeddedTriton

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

CLI = (sys.executable, "-m", "wildgate_client.cli")
MARK = "WILDGATE_MARK"
GOOD = [Content(make_clip(ClipSpec(first_frame=number))) for number in range(3)]


def processes_marked(mark: str) -> dict[int, list[str]]:
    """The processes with this mark in their environment, zombies apart: process id to command line."""
    running = psutil.process_iter(["environ", "cmdline"])
    return {each.pid: each.info["cmdline"] or [] for each in running if (each.info["environ"] or {}).get(MARK) == mark}


@dataclass(frozen=True)
class Served:
    """A `wildgate serve` that is ready."""

    server: LocalServer
    client: ScoringClient
    metrics: str
    mark: str

    def processes(self, part: str = "") -> list[int]:
        """The server and all that descend from it, zombies apart, with `part` in their command lines."""
        return [pid for pid, command in processes_marked(self.mark).items() if part in " ".join(command)]

    @property
    def gateway(self) -> int:
        """The process id of the gateway itself."""
        [gateway] = self.processes("wildgate_client.cli serve")
        return gateway

    def is_guard(self, pid: int) -> bool:
        """Whether this process is the one that stands before tritonserver."""
        return pid in self.processes("triton_guard.py")

    async def stop(self) -> None:
        """SIGTERM, and then whatever it takes; it has to go cleanly."""
        await asyncio.to_thread(self.server.__exit__, None, None, None)
        assert self.server.stop_report is not None
        assert self.server.stop_report.clean, str(self.server.stop_report)
        assert not self.processes()


@asynccontextmanager
async def served(tmp_path: Path, arguments: list[str], environment: Mapping[str, str]) -> AsyncIterator[Served]:
    metrics, mark = free_address(), uuid.uuid4().hex
    options = LocalServerOptions(
        tmp_path / "server.log",
        command=(*CLI, "serve", "--listen", "127.0.0.1:0", "--metrics", metrics, *arguments),
        environment={MARK: mark, "WILDGATE_BACKEND__LOG_DIR": str(tmp_path), **environment},
        directory=ROOT,
        ready_timeout_s=90,
        orphan_grace_s=15,
    )
    server = LocalServer(options)
    await asyncio.to_thread(server.__enter__)
    try:
        async with ScoringClient(server.target, NO_RETRY) as client:
            yield Served(server, client, metrics, mark)
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.fixture
def arguments(patch_models: Path, policy_file: Path) -> list[str]:
    """Of a server with a detector that sees something, in an embedded Triton."""
    return ["--model-repository", str(patch_models), "--policy", str(policy_file), "--sampling.workers", "2"]


async def test_sigterm_lets_what_runs_finish_and_leaves_nothing(tmp_path: Path, arguments: list[str]) -> None:
    # Videos wait for company in their batch, so that they are under way when the signal comes.
    async with served(tmp_path, arguments, {"WILDGATE_BATCH__MAX_WAIT_MS": "2000"}) as serving:
        running = [asyncio.create_task(serving.client.score(good)) for good in GOOD]
        stream = serving.client.score_stream([StreamItem("a", GOOD[0]), StreamItem("b", GOOD[1])])
        streaming = asyncio.create_task(collected(stream))
        await until_in_flight(serving.metrics, 5)
        assert not any(task.done() for task in running)

        await serving.stop()
        verdicts = await asyncio.gather(*running)
        assert len({verdict.detections for verdict in verdicts}) == len(GOOD)
        assert {result.video_id: result.unwrap().detections for result in await streaming} == {
            "a": verdicts[0].detections,
            "b": verdicts[1].detections,
        }


async def test_who_calls_all_the_time_is_told_to_try_elsewhere_when_the_server_stops(
    tmp_path: Path, arguments: list[str], patch_triton: str
) -> None:
    arguments += ["--triton", patch_triton, "--endpoint.drain-pause-s", "0"]
    async with served(tmp_path, arguments, {}) as serving:
        stopped, refused = asyncio.Event(), Counter[str]()

        async def call() -> None:
            async with ScoringClient(serving.server.target, NO_RETRY) as client:
                while not stopped.is_set():
                    try:
                        await client.score_digest(f"blake3:{0:064x}")
                    except VerdictNotCached:
                        continue
                    except Unavailable as error:
                        refused[error.reason] += 1
                        await asyncio.sleep((error.retry_after_s or 0.0) + 0.01)

        calling = [asyncio.create_task(call()) for _ in range(8)]
        await asyncio.sleep(0.5)
        await serving.stop()
        stopped.set()
        await asyncio.gather(*calling)
        assert refused["SHUTTING_DOWN"]


async def collected(results) -> list:
    return [result async for result in results]


async def test_sigkill_of_the_gateway_takes_everything_along(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, arguments: list[str]
) -> None:
    scratch = tmp_path_factory.mktemp("t")  # short enough for a socket's path
    async with served(tmp_path, arguments, {"TMPDIR": str(scratch)}) as serving:
        await serving.client.score(GOOD[0])
        for part, count in (("tritonserver", 1), ("python_backend_stub", 2), ("sampling.worker", 2)):
            assert len(serving.processes(part)) >= count
        gateway = serving.gateway
        server_id = f"wildgate-{gateway}-"
        assert shared_memory_of(server_id)
        assert any(entry.name.startswith(server_id) for entry in scratch.iterdir())

        # A worker that hangs does not notice that its pipe was closed.
        os.kill(serving.processes("sampling.worker")[0], signal.SIGSTOP)
        os.kill(gateway, signal.SIGKILL)
        await until(lambda: not serving.processes(), "the end of every process")
        assert not shared_memory_of(server_id)
        assert not any(entry.name.startswith(server_id) for entry in scratch.iterdir())
    assert serving.server.stop_report is not None
    assert serving.server.stop_report.exit_status == -signal.SIGKILL


async def test_what_reads_videos_is_boxed_and_secrets_are_nowhere_to_be_seen(
    tmp_path: Path, arguments: list[str]
) -> None:
    canary = f"canary{uuid.uuid4().hex}"
    for name in ("sealing", "drawing", "password"):
        (tmp_path / name).write_text(canary)
    secrets = {
        "WILDGATE_CACHE__REDIS_URL": f"redis://user:{canary}@127.0.0.1:1",
        "WILDGATE_CACHE__SECRET_FILE": str(tmp_path / "sealing"),
        "WILDGATE_CACHE__REDIS_PASSWORD_FILE": str(tmp_path / "password"),
        "WILDGATE_SAMPLING__SECRET_FILE": str(tmp_path / "drawing"),
        "WILDGATE_SOURCE__PRIVATE_NETWORKS": '["127.0.0.0/8"]',
        "WILDGATE_LOG_LEVEL": "debug",
        "AWS_SECRET_ACCESS_KEY": canary,
        "SOME_DATABASE_PASSWORD": canary,
    }
    async with served(tmp_path, arguments, secrets) as serving:
        await serving.client.score(GOOD[0])
        told = []
        places = ("http://127.0.0.1:80/a.mp4", f"http://{canary}@127.0.0.1/a.mp4", "s3://bucket/a.mp4", "file:///a.mp4")
        for place in places:
            with pytest.raises(ScoringError) as refusal:
                await serving.client.score(Uri(f"{place}?X-Amz-Signature={canary}"), video_id="signed")
            told.append(str(refusal.value))
        with pytest.raises(ScoringError):
            await serving.client.score(Content(canary.encode()))
        with await asyncio.to_thread(urllib.request.urlopen, f"http://{serving.metrics}/metrics") as answer:
            told.append(answer.read().decode())
        boxes = [held(pid) for part in ("_stub", "sampling.worker import") for pid in serving.processes(part)]
        for part in ("python_backend_stub", "tritonserver", "triton_guard"):
            for process in serving.processes(part):
                assert canary not in Path(f"/proc/{process}/environ").read_text()
        await serving.stop()
    told += [file.read_text() for file in (tmp_path / "server.log", tmp_path / "tritonserver.log")]
    assert [text for text in told if canary in text] == []
    assert "sampling_workers_boxed" in told[-2]  # the start says what holds
    assert len(boxes) >= 5
    assert all(boxed["no_new_privs"] and boxed["seccomp"] for boxed in boxes)


@pytest.mark.parametrize("victim", ["bin/tritonserver", "triton_guard.py"])
async def test_an_embedded_triton_that_ends_is_replaced_and_what_was_asked_is_answered(
    tmp_path: Path, arguments: list[str], victim: str
) -> None:
    # The videos are under way for long enough to be asked for again.
    async with served(tmp_path, arguments, {"WILDGATE_CACHE__MAX_ENTRIES": "0"}) as serving:
        before = [await serving.client.score(good) for good in GOOD]
        old = serving.processes("python_backend_stub")
        running = [asyncio.create_task(serving.client.score(good)) for good in GOOD * 3]
        await until(lambda: videos_in_flight(serving.metrics) > 0, "videos in flight")
        [killed] = [pid for pid in serving.processes(victim) if "guard" in victim or not serving.is_guard(pid)]
        os.kill(killed, signal.SIGKILL)
        for number, verdict in enumerate(await asyncio.gather(*running)):
            assert verdict.detections == before[number % len(GOOD)].detections
        await until(lambda: not {*old} & {*serving.processes()}, "the end of the old model processes")
        await serving.stop()


async def test_an_embedded_triton_that_ends_too_often_ends_the_server(tmp_path: Path, arguments: list[str]) -> None:
    async with served(tmp_path, arguments, {"WILDGATE_BACKEND__RESTARTS": "0"}) as serving:
        [triton] = [pid for pid in serving.processes("bin/tritonserver") if not serving.is_guard(pid)]
        os.kill(triton, signal.SIGKILL)
        await until(lambda: not serving.processes(), "the end of every process")
    assert serving.server.stop_report is not None
    assert serving.server.stop_report.exit_status == 1


async def test_sigterm_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        [*CLI, "serve", "--listen", "127.0.0.1:0", "--backend.log-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
    ) as starting:
        try:
            await until(lambda: (tmp_path / "tritonserver.log").exists(), "the start of Triton")
            starting.send_signal(signal.SIGTERM)
            printed, _ = await asyncio.to_thread(starting.communicate, timeout=PATIENCE_S)
        finally:
            starting.kill()
    assert (starting.returncode, printed) == (0, b"")
    assert not processes_marked(mark)


async def test_an_external_triton_serves_the_shipped_models(tmp_path: Path, embedded_triton: EmbeddedTriton) -> None:
    async with served(tmp_path, ["--triton", embedded_triton.endpoints.grpc, "--sampling.workers", "1"], {}) as serving:
        assert not serving.processes("tritonserver")
        verdict = await serving.client.score(GOOD[0])
        assert (verdict.action, verdict.coverage.frames_looked_at > 0) == (Action.ALLOW, True)
        await serving.stop()
    async with TritonClient(embedded_triton.endpoints.grpc) as triton:
        assert await triton.ready("video_scorer"), "a Triton that is not the gateway's own was stopped"


async def test_the_command_line_client_and_a_policy_reloaded(
    tmp_path: Path, patch_triton: str, patch_models: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    good, bad = tmp_path / "good.mp4", tmp_path / "bad.mp4"
    good.write_bytes(GOOD[0].data)
    bad.write_bytes(b"no video at all")
    arguments = ["--triton", patch_triton, "--model-repository", str(patch_models)]
    arguments += ["--policy", str(policy), "--sampling.workers", "1"]
    async with served(tmp_path, arguments, {}) as serving:
        command = ("score", str(good), str(bad), "--json", "--server", serving.server.target)
        scored = await asyncio.to_thread(wildgate, *command)
        assert scored.returncode == 1, scored.stderr
        first, second = map(json.loads, scored.stdout.splitlines())
        assert first["action"] == "REVIEW"
        assert second["error"]["reason"] == "NOT_A_VIDEO"

        log = tmp_path / "server.log"
        policy.write_text("version: broken\n")
        os.kill(serving.gateway, signal.SIGHUP)
        await until(lambda: "policy_refused" in log.read_text(), "the refusal of the broken policy")
        assert (await serving.client.score(GOOD[0])).policy_version == "test-7"

        policy.write_text(POLICY.replace("test-7", "test-8"))
        os.kill(serving.gateway, signal.SIGHUP)
        await until(lambda: "version=test-8" in log.read_text(), "the new policy")
        assert (await serving.client.score(GOOD[0])).policy_version == "test-8"


def wildgate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=PATIENCE_S,
        check=False,
    )


async def test_a_bad_setting_is_named_with_its_value() -> None:
    refused = await asyncio.to_thread(wildgate, "serve", WILDGATE_ADMISSION__MAX_IN_FLIGHT="plenty")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "admission.max_in_flight" in refused.stderr
    assert "plenty" in refused.stderr
    assert "Traceback" not in refused.stderr
