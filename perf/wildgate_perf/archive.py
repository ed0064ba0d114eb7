"""`python -m wildgate_perf.archive` (`make archive`): an archive on Ray Data beside a closed loop.

The same clips, the samples made different by what players skip, are asked about three times of one gateway: by a closed
loop; by `wildgate bulk` on a Ray cluster of two nodes with a worker each; and by another such run of which a worker is
killed, then the driver, and that is run again. Throughput is from the first answer to the last.

Exit status: 0 done, 1 rows are missing, twice or differ from the closed loop's, 2 usage or a server that cannot start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from wildgate_client import ClientOptions, ScoringClient, ScoringError, Uri, Verdict
from wildgate_perf.bench.phase import SETTINGS
from wildgate_perf.load_test.videos import load_videos, relabelled
from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS, write
from wildgate_perf.server_parts import available_cores
from wildgate_perf.server_process import MODEL_REPOSITORY, ServerStoppedBadly, serving

_SAMPLES = MODEL_REPOSITORY.parent / "samples"
_CLIPS, _ROWS_PER_FILE, _CLIENTS_A_CORE = 500, 25, 4
_PATIENCE_S = 600.0
_DIFFERS, _USAGE = 1, 2


def main() -> int:
    """Runs the command; returns its exit status."""
    try:
        with tempfile.TemporaryDirectory(prefix="wildgate-archive-") as folder:
            found = _measured(Path(folder))
    except (ServerStartFailed, ServerStoppedBadly) as error:
        print(f"wildgate: {error}", file=sys.stderr)
        return _USAGE
    write(RESULTS / "archive.json", {"machine": machine_facts(("grpcio", "ray", "pyarrow")), **found})
    for name in ("closed_loop_per_s", "bulk_per_s", "bulk_over_closed_loop"):
        print(f"{name}: {found[name]:.3f}")
    for name in ("undisturbed", "disturbed"):
        print(f"{name}: {found[name]}")
    sound = all(found[name]["rows"] == _CLIPS and not found[name]["wrong"] for name in ("undisturbed", "disturbed"))
    return 0 if sound else _DIFFERS


def _measured(folder: Path) -> dict[str, Any]:
    clips = _clips(folder / "clips")
    manifest = folder / "archive.csv"
    manifest.write_text("video_id,uri\n" + "".join(f"{clip.stem},{clip.as_uri()}\n" for clip in clips))
    with (
        serving(log_folder=folder / "logs", source__file_roots=[folder / "clips"], **SETTINGS) as server,
        _cluster() as address,
    ):
        asyncio.run(_closed_loop(server.target, clips[:10]))  # warm-up
        expected, loop_per_s = asyncio.run(_closed_loop(server.target, clips))

        def bulk(name: str) -> subprocess.Popen[bytes]:
            options = ("--id-column", "video_id", "--rows-per-file", str(_ROWS_PER_FILE), "--max-workers", "2")
            where = ("--server", server.target, "--ray-address", address, "--no-fingerprints")
            command = (sys.executable, "-m", "wildgate_client.cli", "bulk", manifest, folder / name, *options, *where)
            return subprocess.Popen(command)

        bulk("undisturbed").wait(_PATIENCE_S)
        disturbed = folder / "disturbed"
        with bulk("disturbed") as first:
            _until(lambda: _committed(disturbed) >= 4)
            _kill_a_worker()
            _until(lambda: _committed(disturbed) >= 10)
            first.send_signal(signal.SIGKILL)
        done = _committed(disturbed)
        bulk("disturbed").wait(_PATIENCE_S)
    rows = {name: _rows(folder / name) for name in ("undisturbed", "disturbed")}
    times = sorted(row["scored_at"] for row in rows["undisturbed"])
    bulk_per_s = (len(times) - 1) / (times[-1] - times[0]).total_seconds()
    return {
        "clips": len(clips),
        "closed_loop_per_s": loop_per_s,
        "bulk_per_s": bulk_per_s,
        "bulk_over_closed_loop": bulk_per_s / loop_per_s,
        "undisturbed": _compared(rows["undisturbed"], expected),
        "disturbed": {**_compared(rows["disturbed"], expected), "files_before_resuming": done},
    }


def _clips(folder: Path) -> list[Path]:
    """So many files, no two of them alike."""
    folder.mkdir()
    videos, clips = load_videos(_SAMPLES), []
    for number in range(_CLIPS):
        video = videos[number % len(videos)]
        clips.append(folder / f"{number:04}-{video.name}")
        clips[-1].write_bytes(relabelled(video, number.to_bytes(16, "big")))
    return clips


async def _closed_loop(target: str, clips: Sequence[Path]) -> tuple[dict[str, object], float]:
    """What is said about each clip, by its id, and answers a second from the first to the last."""
    said: dict[str, object] = {}
    times: list[datetime] = []
    left = iter(clips)

    async def client(asked: ScoringClient) -> None:
        for clip in left:
            said[clip.stem] = await _said(asked, clip)
            times.append(datetime.now())

    async with ScoringClient(target, ClientOptions(deadline_s=60)) as asked, asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS_A_CORE * available_cores()):
            group.create_task(client(asked))
    return said, (len(times) - 1) / (times[-1] - times[0]).total_seconds()


async def _said(client: ScoringClient, clip: Path) -> object:
    try:
        return _essence(await client.score(Uri(clip.as_uri()), video_id=clip.stem))
    except ScoringError as error:
        return error.reason


def _essence(verdict: Verdict) -> object:
    """What must be the same whoever asks."""
    labels = [(label.label, str(label.action), label.score, label.frames) for label in verdict.labels]
    return str(verdict.action), labels, verdict.content_digest, verdict.model_version, verdict.policy_version


def _compared(rows: Sequence[Mapping[str, Any]], expected: Mapping[str, object]) -> dict[str, Any]:
    """How many rows there are, how many ids are there twice, and how many say something else than was expected."""

    def said(row: Mapping[str, Any]) -> object:
        if row["failure"]:
            return row["failure"]["reason"]
        labels = [(label["label"], label["action"], label["score"], label["frames"]) for label in row["labels"]]
        return row["action"], labels, row["content_digest"], row["model_version"], row["policy_version"]

    twice = sum(count > 1 for count in Counter(row["video_id"] for row in rows).values())
    wrong = sum(said(row) != expected[row["video_id"]] for row in rows)
    return {"rows": len(rows), "twice": twice, "wrong": wrong + len(expected) - len({row["video_id"] for row in rows})}


def _rows(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.dataset as ds

    found: list[dict[str, Any]] = (
        ds.dataset(folder / "videos", format="parquet", partitioning="hive").to_table().to_pylist()
    )
    return found


@contextmanager
def _cluster() -> Iterator[str]:
    """Two nodes with room for a worker each; its address."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2, object_store_memory=200 << 20)
        yield cluster.address
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def _committed(output: Path) -> int:
    return sum(".pending." not in file.name for file in output.glob("checkpoint/*.parquet"))


def _kill_a_worker() -> None:
    workers = [
        each for each in psutil.process_iter(["cmdline"]) if "BatchScorer" in " ".join(each.info["cmdline"] or ())
    ]
    workers[0].kill()


def _until(true: Any) -> None:
    gives_up = time.monotonic() + _PATIENCE_S
    while not true() and time.monotonic() < gives_up:
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
