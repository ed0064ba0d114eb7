"""Whole runs: locust in processes of its own against a server in another."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from checkout import ROOT, SUPPORT

from wildgate_perf.locust_load.record import read_record

LOCUSTFILE = ROOT / "perf/wildgate_perf/locust_load/locustfile.py"
SOURCES = os.pathsep.join(str(ROOT / name) for name in ("proto", "server", "client", "build", "perf"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": SOURCES}
ROOMY = "objectives: [{failed_share: 0.0, refused_share: 0.0, answered_per_s: 0.1}]"


@contextmanager
def fake_server(*arguments: str) -> Iterator[str]:
    program = SUPPORT / "fake_server.py"
    with subprocess.Popen(
        [sys.executable, str(program), *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One run; locust's output is in the message of a failing assertion."""
    return subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=100, check=False
    )


def make_perf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "wildgate_perf.locust_load", *arguments)


def objectives(folder: Path, text: str) -> str:
    file = folder / "objectives.yaml"
    file.write_text(text)
    return str(file)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str], list[str]]:
    """All kinds of users, over two processes."""
    folder = tmp_path_factory.mktemp("whole")
    log, by_uri = folder / "log", folder / "by_uri"
    with fake_server("--log", str(log)) as target:
        done = make_perf(
            *("--host", target, "--out", str(folder), "--shape", "soak", "--users", "8", "--seconds", "3"),
            *("--processes", "2", "--digest-first", "--catalogue", "3"),
            *("--uri-folder", str(by_uri), "--uri-base", f"{by_uri.as_uri()}/"),
            *("--rate-per-user", "5", "--repeated-share", "0.9", "--stream-videos", "5"),
            *("--objectives", objectives(folder, ROOMY)),
        )
    return folder / "soak", done, log.read_text().splitlines()


def asked_by_kind(folder: Path) -> dict[str, int]:
    asked: dict[str, int] = {}
    for _, kind, came in read_record(folder / "run.json").tally:
        asked[kind] = asked.get(kind, 0) + came.asked
    return asked


def test_a_run_over_two_processes_tells_of_every_request(
    whole: tuple[Path, subprocess.CompletedProcess[str], list[str]],
) -> None:
    folder, done, log = whole
    assert done.returncode == 0, done.stderr
    record = read_record(folder / "run.json")
    assert record.processes == 2
    assert len({line.split("-")[1] for line in log}) == 2, "both processes asked"
    assert sum(asked_by_kind(folder).values()) == len(log)
    # Who sends what was unknown may find that another has sent it meanwhile.
    assert set(asked_by_kind(folder)) - {"repeated, cached"} == {
        *("content", "stream", "uri", "repeated, scored", "digest, cached", "digest, unknown")
    }
    assert asked_by_kind(folder)["uri"] == sum(line.endswith(" uri") for line in log)
    assert max(users.count for users in record.users) == 8
    assert list((folder.parent / "by_uri").iterdir()) == []  # every user has taken its file away


def test_files_beside_the_summary(whole: tuple[Path, subprocess.CompletedProcess[str], list[str]]) -> None:
    folder, done, _ = whole
    assert "All objectives hold." in done.stdout
    figures = json.loads((folder / "summary.json").read_text())
    assert figures["passed"] is True
    assert figures["whole"]["stages_p50_ms"]["infer"] == pytest.approx(10, rel=0.01)
    assert figures["kinds"]["digest, cached"]["answered"] > 0
    assert "<html" in (folder / "locust.html").read_text()
    with (folder / "locust_stats.csv").open() as file:
        rows = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    aggregated = rows.pop("Aggregated")
    assert rows == asked_by_kind(folder)
    assert aggregated == sum(rows.values())
    with (folder / "over_time.csv").open() as file:
        over_time = list(csv.DictReader(file))
    assert sum(int(row["answered"]) for row in over_time) == aggregated


@pytest.fixture(scope="module")
def misses(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A server that refuses and fails some, and objectives that do not allow it; locust as it is, without `make`."""
    folder = tmp_path_factory.mktemp("misses")
    with fake_server("--refuse-share", "0.3", "--fail-share", "0.3", "--hold-s", "0.002") as target:
        done = run(
            *("-m", "locust", "-f", str(LOCUSTFILE), "--host", target, "--headless", "--only-summary"),
            *("--users", "6", "--spawn-rate", "6", "--run-time", "2s", "--rate-per-user", "0"),
            *("--mix", "content=1,stream=1,uri=1", "--uri-base", "ftp://nowhere/"),
            *("--out", str(folder / "out"), "--objectives", objectives(folder, ROOMY)),
        )
    return folder / "out", done


def test_a_missed_objective_is_the_exit_status(misses: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = misses
    assert done.returncode == 1, done.stderr
    assert "MISSED" in (folder / "summary.md").read_text()
    assert "Closed loop" in (folder / "summary.md").read_text()


def test_refused_and_failed_are_told_apart(misses: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = misses
    kinds = json.loads((folder / "summary.json").read_text())["kinds"]
    for kind in ("content", "stream"):
        assert set(kinds[kind]["reasons"]) == {"RESOURCE_EXHAUSTED OVERLOADED", "UNAVAILABLE BACKEND_UNAVAILABLE"}
        assert kinds[kind]["refused_share"] > 0
        assert kinds[kind]["answered"] > 0
    assert "PERMISSION_DENIED URI_NOT_ALLOWED" in kinds["uri"]["reasons"]
    assert kinds["uri"]["answered"] == 0
    assert "content (refused): NotAnswered('RESOURCE_EXHAUSTED OVERLOADED')" in done.stdout + done.stderr


def test_nobody_there_is_a_failed_run(tmp_path: Path) -> None:
    done = make_perf(
        *("--host", "127.0.0.1:1", "--out", str(tmp_path), "--shape", "spike", "--users", "1", "--seconds", "1"),
        *("--mix", "content=1", "--rate-per-user", "2"),
    )
    assert done.returncode == 1, done.stderr
    assert "Nothing was answered." in done.stdout
    assert "| UNAVAILABLE |" in (tmp_path / "spike/summary.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--objectives", "/nowhere.yaml"), "/nowhere.yaml: cannot be read"),
        (("--videos", "/nowhere"), "/nowhere: No such file"),
        (("--mix", "uri=1"), "--mix has uri=1, which needs --uri-base"),
        (("--mix", "content=x"), "a weight is a whole number"),
    ],
)
def test_what_cannot_run_is_said_before_it_begins(tmp_path: Path, arguments: Sequence[str], words: str) -> None:
    done = make_perf("--host", "127.0.0.1:1", "--out", str(tmp_path), "--shape", "ramp", *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_else_brings_in_locust_which_patches_the_standard_library() -> None:
    modules = ("locust_load.__main__", "locust_load.summary", "locust_load.options", "capacity.command")
    imports = "; ".join(f"import wildgate_perf.{module}" for module in modules)
    done = run("-c", f"import sys; {imports}; print([m for m in ('locust', 'gevent') if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr
