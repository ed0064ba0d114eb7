"""The embedded Triton, for real: it scores, it reports why it does not start, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from itertools import chain
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from clips import ClipSpec, frame_number, make_clip
from gateway_under_test import free_address
from triton_requests import clip_inputs, processes_with, shared_memory_of
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from wildgate_server.repository.manifest import ManifestError
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.embedded import (
    EmbeddedTriton,
    TritonStartError,
)

pytestmark = pytest.mark.triton


@pytest.fixture
async def client(embedded_triton: EmbeddedTriton) -> AsyncIterator[InferenceServerClient]:
    async with InferenceServerClient(embedded_triton.endpoints.grpc) as connected:
        yield connected


def settings_of(repository: Path, directory: Path, **changes: float) -> BackendSettings:
    return BackendSettings(model_repository=repository, log_dir=directory / "state", **changes)


@pytest.fixture
def settings(model_repository: Path, tmp_path: Path) -> BackendSettings:
    return settings_of(model_repository, tmp_path, instances=1)


def contents(directory: Path) -> dict[Path, bytes]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files}


async def until(holds: Callable[[], bool]) -> None:
    """Returns once `holds` does; fails after five seconds."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.05)


def is_gone(prefix: str) -> bool:
    """Whether nothing is left of the servers whose name begins with `prefix`."""
    return not (processes_with(prefix) or shared_memory_of(prefix) or scratch_of(prefix))


def scratch_of(prefix: str) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{prefix}*"))


def own_servers() -> str:
    return f"wildgate-{os.getpid()}-"


async def test_it_scores(client: InferenceServerClient) -> None:
    answer = await client.infer("video_scorer", clip_inputs([make_clip()]))
    detections = answer.as_numpy("DETECTIONS")
    assert detections.shape == (1, 8, 16, 6)
    assert detections.dtype == np.float32
    scores = detections[..., 4]
    assert ((scores >= 0) & (scores <= 1)).all()


async def test_ragged_clips_from_concurrent_requests_share_a_batch(client: InferenceServerClient) -> None:
    clips = [make_clip(ClipSpec(seconds=1 + step / 10, first_frame=step)) for step in range(8)]
    assert len({len(clip) for clip in clips}) == len(clips)
    for _ in range(3):
        answers = await asyncio.gather(*(client.infer("clip_decoder", clip_inputs([clip])) for clip in clips))
        for step, answer in enumerate(answers):
            shown = [frame_number(frame[40:280]) for frame in answer.as_numpy("FRAMES")[0]]
            assert shown == [step + place for place in range(8)]
    statistics = await client.get_inference_statistics("clip_decoder", as_json=True)
    sizes = [int(batch["batch_size"]) for batch in statistics["model_stats"][0]["batch_stats"]]
    assert max(sizes) > 1, "no two requests ran together"


async def test_rows_of_one_request_are_padded_and_still_right(client: InferenceServerClient) -> None:
    clips = [make_clip(ClipSpec(seconds=1, container="matroska")), make_clip(ClipSpec(seconds=2.5, codec="libvpx-vp9"))]
    answer = await client.infer("clip_decoder", clip_inputs(clips))
    assert [[frame_number(frame[40:280]) for frame in row] for row in answer.as_numpy("FRAMES")] == [list(range(8))] * 2


async def test_garbage_fails_alone_and_with_its_status(client: InferenceServerClient) -> None:
    good, garbage = make_clip(), np.random.default_rng(3).bytes(20_000)
    unsupported = good.replace(b"avc1", b"evc1")
    clips = [good, garbage, good, unsupported, good]
    answers = await asyncio.gather(
        *(client.infer("video_scorer", clip_inputs([clip])) for clip in clips), return_exceptions=True
    )
    refusals = [answer for answer in answers if isinstance(answer, InferenceServerException)]
    assert [refusal.status() for refusal in refusals] == [
        str(grpc.StatusCode.INVALID_ARGUMENT),
        str(grpc.StatusCode.UNIMPLEMENTED),
    ]
    assert "the clip cannot be opened" in refusals[0].message()
    scored = [answer.as_numpy("DETECTIONS") for answer in answers if answer not in refusals]
    assert len(scored) == 3
    np.testing.assert_array_equal(scored[0], scored[1])
    np.testing.assert_array_equal(scored[0], scored[2])


async def test_nobody_else_can_reach_it_or_read_what_opens_it(embedded_triton: EmbeddedTriton) -> None:
    kind, _, place = embedded_triton.endpoints.grpc.partition(":")
    assert (kind, stat.S_ISSOCK(os.stat(place).st_mode)) == ("unix", True)
    scratch = embedded_triton.models.parent
    assert Path(place).parent == scratch
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
    servers = [psutil.Process(pid) for pid in of_kind("tritonserver", scratch.name.rpartition("-")[0])]
    listening = {each.laddr for server in servers for each in server.net_connections() if each.status == "LISTEN"}
    assert [f"{address.ip}:{address.port}" for address in listening] == [embedded_triton.endpoints.metrics]
    for server in servers:
        shared = Path(f"/proc/{server.pid}/root/dev/shm")
        regions = list(shared.glob(f"{scratch.name.rpartition('-')[0]}*"))
        assert regions
        assert all(each.stat().st_mode & 0o077 == 0 for each in (regions if shared.samefile("/dev/shm") else [shared]))
    assert not any("restricted" in part for server in servers for part in server.cmdline())


async def test_the_repository_is_not_written_and_instances_fit_the_machine(own_models: Path, tmp_path: Path) -> None:
    before = contents(own_models)
    async with EmbeddedTriton(settings_of(own_models, tmp_path)) as triton:
        log = triton.log_file.read_text()
    assert log.count("successfully loaded") == 6
    assert log.count("TRITONBACKEND_ModelInstanceInitialize: clip_decoder_0") == len(os.sched_getaffinity(0))
    assert contents(own_models) == before


async def test_stopping_leaves_nothing_but_the_log_of_the_start_before(settings: BackendSettings) -> None:
    others = processes_with(own_servers())
    for _ in range(2):
        async with EmbeddedTriton(settings) as triton:
            assert set(processes_with(own_servers())) > set(others)
            waiter = asyncio.create_task(triton.wait())
        assert await waiter == 0
        assert processes_with(own_servers()) == others
    assert triton.log_file.with_name("tritonserver.log.1").exists()


def of_kind(kind: str, prefix: str) -> set[int]:
    """The processes of the servers whose name begins with `prefix` that run a program or script called `kind`."""
    commands = {pid: psutil.Process(pid).cmdline() for pid in processes_with(prefix)}
    scripts = {pid: command[3] if "-I" in command else command[0] for pid, command in commands.items()}
    return {pid for pid, script in scripts.items() if Path(script).stem == kind}


GATEWAY = """
import asyncio, sys
from pathlib import Path
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.embedded import EmbeddedTriton

async def main():
    settings = BackendSettings(model_repository=Path(sys.argv[1]), log_dir=Path(sys.argv[2]), instances=1)
    async with EmbeddedTriton(settings):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def start_gateway(settings: BackendSettings) -> asyncio.subprocess.Process:
    gateway = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", GATEWAY, str(settings.model_repository), str(settings.log_dir)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert gateway.stdout is not None
    async for line in gateway.stdout:
        if line == b"ready\n":
            return gateway
    raise AssertionError("the gateway ended before it was ready")


async def test_a_killed_gateway_leaves_no_orphans(settings: BackendSettings) -> None:
    gateway = await start_gateway(settings)
    prefix = f"wildgate-{gateway.pid}-"
    for kind, count in (("triton_guard", 1), ("tritonserver", 1), ("triton_python_backend_stub", 4)):
        assert len(of_kind(kind, prefix)) == count
    assert shared_memory_of(prefix)
    gateway.send_signal(signal.SIGKILL)
    await gateway.wait()
    await until(lambda: is_gone(prefix))


@pytest.mark.parametrize(
    ("killed", "status"), [("triton_guard", -signal.SIGKILL), ("tritonserver", 128 + signal.SIGKILL)]
)
async def test_a_crash_takes_all_along_and_is_told(settings: BackendSettings, killed: str, status: int) -> None:
    before, scratch_before = set(processes_with(own_servers())), set(scratch_of(own_servers()))
    async with EmbeddedTriton(settings) as triton:
        started = set(processes_with(own_servers())) - before
        [scratch] = set(scratch_of(own_servers())) - scratch_before
        [victim] = of_kind(killed, own_servers()) & started
        os.kill(victim, signal.SIGKILL)
        assert await triton.wait() == status
        await until(lambda: not started & set(processes_with(own_servers())))
        server_id = scratch.name.rpartition("-")[0]
        assert killed == "triton_guard" or is_gone(server_id), "the guard tidies up"
    assert is_gone(server_id), "the gateway tidies up where the guard could not"


async def test_a_taken_port_means_another_try(settings: BackendSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addresses = [f"127.0.0.1:{taken.getsockname()[1]}"]
        choices = chain(addresses, iter(free_address, ""))  # it may also start again for a lock that Triton loses
        async with EmbeddedTriton(settings, choose_address=lambda: next(choices)) as triton:
            assert triton.endpoints.metrics not in addresses
        assert next(choices) not in addresses, "the taken one was tried"


async def entered(triton: EmbeddedTriton) -> None:
    async with triton:
        pytest.fail("it started")


async def test_a_start_that_fails_quotes_the_log(own_models: Path, tmp_path: Path) -> None:
    (own_models / "clip_decoder" / "1" / "model.py").write_text("raise ValueError('a broken model')\n")
    before = processes_with(own_servers())
    triton = EmbeddedTriton(settings_of(own_models, tmp_path))
    with pytest.raises(TritonStartError, match="Triton ended with status 1 while it started") as caught:
        await entered(triton)
    assert "ValueError: a broken model" in str(caught.value)
    assert str(triton.log_file) in str(caught.value)
    assert processes_with(own_servers()) == before


async def test_a_start_that_loses_a_lock_is_tried_again(own_models: Path, tmp_path: Path) -> None:
    code = own_models / "clip_decoder" / "1" / "model.py"
    failed = tmp_path / "failed"
    once = f"""
import pathlib
if not pathlib.Path({str(failed)!r}).exists():
    pathlib.Path({str(failed)!r}).touch()
    raise RuntimeError("boost::interprocess::lock_exception")
"""
    code.write_text(
        code.read_text().replace("from __future__ import annotations\n", f"from __future__ import annotations\n{once}")
    )
    async with EmbeddedTriton(settings_of(own_models, tmp_path)):
        assert failed.exists()


async def test_a_start_that_takes_too_long_is_given_up(own_models: Path, tmp_path: Path) -> None:
    (own_models / "clip_decoder" / "1" / "model.py").write_text("import time\ntime.sleep(60)\n")
    before = processes_with(own_servers())
    triton = EmbeddedTriton(settings_of(own_models, tmp_path, startup_timeout_s=2.5))
    with pytest.raises(TritonStartError, match=r"Triton was not ready within 2\.5 s; .*tritonserver\.log says:"):
        await entered(triton)
    assert processes_with(own_servers()) == before


async def test_a_temporary_directory_whose_name_is_too_long_for_a_socket_is_named(
    settings: BackendSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(TritonStartError, match="TMPDIR"):
        await entered(EmbeddedTriton(settings))
    assert not list(long.iterdir())


async def test_a_repository_without_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.yaml: cannot be read"):
        await entered(EmbeddedTriton(settings_of(tmp_path, tmp_path)))
    assert not scratch_of(own_servers() + "none")
