"""`wildgate bulk` on a Ray cluster of two nodes: what is there when workers and drivers were killed on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from checkout import ROOT

pytest.importorskip("ray", reason="needs wildgate[bulk]")

import pyarrow.dataset as ds
from ray.cluster_utils import Cluster

VIDEOS, REFUSED = 120, {"017", "090"}
pytestmark = [pytest.mark.ray, pytest.mark.timeout(800)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that takes no work, and two nodes of one core."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", short)  # its sockets have paths of 107 bytes at most
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(2):
            cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    command = (sys.executable, ROOT / "tests/support/fake_server.py", "--hold-s", "0.1", "--refuse-share", "0.05")
    with subprocess.Popen((*command, "--log", tmp_path / "asked"), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield f"127.0.0.1:{server.stdout.readline().strip()}"
        server.kill()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "archive.csv"
    uris = [f"{'http' if f'{n:03}' in REFUSED else 'file'}:///{n}.mp4" for n in range(VIDEOS)]
    file.write_text("video_id,uri\n" + "".join(f"{n:03},{uri}\n" for n, uri in enumerate(uris)))
    return file


def bulk(cluster: Cluster, gateway: str, manifest: Path, output: Path) -> subprocess.Popen[str]:
    options = ("--id-column", "video_id", "--rows-per-file", "6", "--in-flight", "4", "--max-workers", "2")
    where = ("--server", gateway, "--ray-address", cluster.address)
    command = (sys.executable, "-m", "wildgate_client.cli", "bulk", manifest, output, *options, *where)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(true: Callable[[], bool], within_s: float = 240) -> None:
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def list_committed(output: Path) -> list[str]:
    return [str(file) for file in output.glob("checkpoint/*.parquet") if ".pending." not in file.name]


def committed(output: Path) -> int:
    return len(list_committed(output))


def test_one_row_a_video_though_a_worker_and_then_the_driver_are_killed(
    cluster: Cluster, gateway: str, manifest: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scored"
    with bulk(cluster, gateway, manifest, output) as first:
        until(lambda: committed(output) >= 2)
        workers = [each for each in psutil.process_iter(["cmdline"]) if "BatchScorer" in " ".join(each.info["cmdline"])]
        workers[0].send_signal(signal.SIGKILL)
        done = committed(output)
        until(lambda: committed(output) >= done + 3)
        first.kill()
    assert committed(output) < VIDEOS // 6

    done_ids = {each["video_id"] for each in ds.dataset(list_committed(output)).to_table().to_pylist()}
    (tmp_path / "asked").unlink()
    with bulk(cluster, gateway, manifest, output) as second:
        said, complaints = second.communicate(timeout=240)
    assert (second.returncode, said) == (1, f"{VIDEOS - 2} verdicts, 2 failures in {output}/videos\n"), complaints

    rows = ds.dataset(output / "videos", format="parquet", partitioning="hive").to_table().to_pylist()
    assert sorted(row["video_id"] for row in rows) == [f"{n:03}" for n in range(VIDEOS)]
    failures = {row["video_id"]: row["failure"]["reason"] for row in rows if row["table"] == "failures"}
    assert failures == dict.fromkeys(REFUSED, "URI_NOT_ALLOWED")
    assert {row["action"] for row in rows if row["table"] == "verdicts"} == {"ALLOW"}
    asked = {line.split()[0] for line in (tmp_path / "asked").read_text().splitlines()}
    assert asked == {f"{n:03}" for n in range(VIDEOS)} - done_ids
