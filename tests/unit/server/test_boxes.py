"""What a worker is left with, tried from inside; and that it can still do its work."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from box_breakers import ATTEMPTS, try_all
from clips import ClipSpec, make_clip
from media_host import MediaHost, serving
from misbehaving_sampling import sample_or_misbehave

from wildgate_server.box import held
from wildgate_server.box_settings import BoxSettings, triton_box, worker_box
from wildgate_server.errors import SettingsConflict
from wildgate_server.media.sampled_video import VideoLimits
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.sampling.process import SamplingProcess
from wildgate_server.sampling.sampler import sample_video
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.sampling.worker import SampleTask, WorkerOrders
from wildgate_server.source.content import Content
from wildgate_server.source.fetching import FetchConfig
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.remote_uri import HttpUrl

CONFIG, LIMITS = SamplingConfig(8), VideoLimits(1 << 24, 1 << 24, 60.0)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NEEDED = {"thread", "read the library"}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Somebody to connect to, and a file to overwrite."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("PYTHONTESTPORT", str(server.getsockname()[1]))
        monkeypatch.setenv("PYTHONTESTFILE", str(tmp_path / "file"))
        (tmp_path / "file.secret").write_text("canary")
        yield tmp_path / "file"


@contextmanager
def worker(settings: BoxSettings, *, fetches: bool = False, task: SampleTask = try_all) -> Iterator[SamplingProcess]:
    box = worker_box(settings, fetches=fetches)
    process = SamplingProcess(WorkerOrders(task, CONFIG, LIMITS, 1 << 30, box=box))
    try:
        yield process
    finally:
        process.close()


async def what_works(process: SamplingProcess) -> set[str]:
    sampled = await process.sample(Content(b"video", "blake3:00"), 60.0)
    return set(sampled.default_track.codec.split(","))


async def test_a_worker_reads_and_computes_and_nothing_else(surroundings: Path) -> None:
    with worker(BoxSettings()) as process:
        assert await what_works(process) == NEEDED
        assert held(process.pid) == {"no_new_privs": True, "seccomp": True, "no_network": True, "own_user": False}
    assert not surroundings.exists()


async def test_one_that_fetches_has_a_network_besides() -> None:
    with worker(BoxSettings(), fetches=True) as process:
        assert await what_works(process) == NEEDED | {"connect", "listen"}
        assert not held(process.pid)["no_network"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])  # names are looked up in the worker
async def test_one_that_fetches_does_so_from_its_box(name: str) -> None:
    fetching = FetchConfig(timeout_s=20.0, attempts=1, private_networks=(ip_network("127.0.0.0/8"),))
    host, boxed = MediaHost(make_clip(ClipSpec())), worker(BoxSettings(), fetches=True, task=sample_video)
    with serving(host), boxed as process:
        place = HttpUrl.parsed(host.uri.replace("127.0.0.1", name))
        assert (await process.sample(RemoteObject(place, fetching), 60.0)).windows


async def test_without_a_filter_the_rest_of_the_box_stays() -> None:
    with worker(BoxSettings(seccomp=False)) as process:
        worked = await what_works(process)
        assert "fork" in worked
        assert not worked & {"program", "connect", "write a file", "read a secret", "open the gateway's memory"}
        assert held(process.pid)["no_new_privs"]


IN_TRITON_S_BOX = """
import pickle, socket, subprocess, sys
from box_breakers import ATTEMPTS

ATTEMPTS["datagram"] = lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
ATTEMPTS["netlink"] = lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
ATTEMPTS["unix socket"] = lambda: socket.socket(socket.AF_UNIX).close()
pickle.loads(bytes.fromhex(sys.argv[1])).enter()
for name, attempt in ATTEMPTS.items():
    try:
        attempt()
        print(name)
    except OSError:
        pass
"""


@pytest.mark.parametrize("connects", [False, True])
def test_triton_listens_and_starts_models_and_connects_only_for_a_gpu(connects: bool) -> None:
    box = pickle.dumps(triton_box(BoxSettings(), connects=connects)).hex()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", IN_TRITON_S_BOX, box]
    worked = set(
        subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout.split("\n")
    )
    assert worked >= {"program", "fork", "listen", "thread", "unix socket", "write a file"}
    assert "namespace" not in worked
    assert (worked >= {"connect", "datagram", "netlink"}) is connects
    assert connects or not worked & {"connect", "datagram", "netlink"}


@AS_ROOT
async def test_root_s_workers_can_be_another_user_s() -> None:
    with worker(BoxSettings(user="nobody"), task=sample_video) as process:
        assert (await process.sample(Content(make_clip(ClipSpec()), "blake3:00"), 60.0)).windows
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert held(process.pid)["own_user"]
        assert "CapEff:\t0000000000000000" in status
        assert "\nGroups:\t \n" in status
        oom = await asyncio.to_thread(Path(f"/proc/{process.pid}/oom_score_adj").read_text)
        assert oom == "1000\n"


@pytest.mark.parametrize("user", ["nobody-of-this-name", "root"])
def test_a_user_that_there_is_not_or_cannot_be_is_named(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if user == "root":
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SettingsConflict, match=rf"box\.user.*{user}"):
        triton_box(BoxSettings(user=user), connects=False)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "https_proxy"])
async def test_credentials_are_for_those_who_fetch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "canary")
    for fetches in (False, True):
        with worker(BoxSettings(), fetches=fetches) as process:
            await process.ready()
            inside = await asyncio.to_thread(Path(f"/proc/{process.pid}/environ").read_bytes)
            assert (f"{name}=".encode() in inside) is fetches


async def test_a_worker_is_replaced_after_its_videos() -> None:
    settings = SamplingSettings(workers=1, timeout_s=60, worker_memory_mb=1024)
    pool = SamplingPool(settings, CONFIG, LIMITS, sample_or_misbehave, boxes=BoxSettings(videos_per_worker=2))
    try:
        seen = [(await pool.sample(Content(b"video", "blake3:00"))).format for _ in range(5)]
    finally:
        await asyncio.to_thread(pool.close)
    assert seen[0] == seen[1] != seen[2] == seen[3] != seen[4]


async def test_without_a_box_each_attempt_succeeds() -> None:
    process = SamplingProcess(WorkerOrders(try_all, CONFIG, LIMITS, 1 << 30))
    try:
        assert await what_works(process) == set(ATTEMPTS) - {"namespace"}, "which no process of several threads gets"
    finally:
        await asyncio.to_thread(process.close)
