"""Whole runs: locust in processes of its own against a server in another."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT, SUPPORT

SOURCES = os.pathsep.join(str(ROOT / name) for name in ("proto", "server", "client", "build", "perf"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": SOURCES}
ROOMY = "objectives: [{failed_share: 0.0, refused_share: 0.0, answered_per_s: 0.1}]"
LOCUST = ("-m", "locust", "-f", str(ROOT / "perf/locustfile.py"))

Done = subprocess.CompletedProcess[str]


@contextmanager
def fake_server(*arguments: str) -> Iterator[str]:
    program = [sys.executable, str(SUPPORT / "fake_server.py"), *arguments]
    with subprocess.Popen(program, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def run(*arguments: str) -> Done:
    """One run; locust's output is in the message of a failing assertion."""
    return subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=100, check=False
    )


def objectives(folder: Path, text: str) -> str:
    file = folder / "objectives.yaml"
    file.write_text(text)
    return str(file)


def rows_of(file: Path) -> dict[str, int]:
    """Requests and stage times by name."""
    with file.open() as opened:
        return {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(opened)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done, list[str]]:
    """All kinds of users, by the command for whole shapes, over a master and two workers."""
    folder = tmp_path_factory.mktemp("whole")
    log, by_uri = folder / "log", folder / "by_uri"
    with fake_server("--log", str(log)) as target:
        done = run(
            *("-m", "wildgate_perf.load_test", "--host", target, "--out", str(folder), "--shape", "soak"),
            *("--users", "8", "--seconds", "3", "--processes", "2", "--digest-first", "--catalogue", "3"),
            *("--uri-folder", str(by_uri), "--uri-base", f"{by_uri.as_uri()}/", "--rate-per-user", "5"),
            *("--repeated-share", "1", "--stream-videos", "5", "--objectives", objectives(folder, ROOMY)),
        )
    return folder, done, log.read_text().splitlines()


def test_a_run_over_two_processes_tells_of_every_request(whole: tuple[Path, Done, list[str]]) -> None:
    folder, done, log = whole
    assert done.returncode == 0, done.stderr
    assert len({line.split("-")[1] for line in log}) == 2, "both processes asked"
    rows = rows_of(folder / "soak_stats.csv")
    stages, late, aggregated = (rows.pop("infer"), rows.pop("total")), rows.pop("sent late"), rows.pop("Aggregated")
    # One who sends what was unknown may find that another has sent it meanwhile.
    assert set(rows) - {"repeated, cached"} == {
        *("content", "stream", "uri", "repeated, scored", "digest, cached", "digest, unknown")
    }
    assert aggregated == sum(rows.values()) == len(log), "stage times are not requests"
    assert stages == (aggregated - rows["digest, unknown"],) * 2
    assert late > 0
    assert rows["uri"] == sum(line.endswith(" uri") for line in log)
    assert list((folder / "by_uri").iterdir()) == []  # every user has removed its file
    # Three files in the catalogue, of which each was scored once (or twice, at the same moment): all share a salt.
    assert 3 <= rows["repeated, scored"] <= 2 * 3


def test_the_reports_are_locusts_own_and_a_summary(whole: tuple[Path, Done, list[str]]) -> None:
    folder, done, _ = whole
    assert "met: all requests: failed_share 0, at most 0" in done.stderr
    assert "<html" in (folder / "soak.html").read_text()
    assert {row["method"] for row in json.loads((folder / "soak.json").read_text())} >= {"Score", "stage", "pacing"}
    summary = json.loads((folder / "soak_summary.json").read_text())
    assert summary["passed"] is True
    assert summary["phases"].keys() == {"warm-up", "held"}
    assert summary["kinds"]["digest, cached"]["answered"] > 0
    assert summary["whole"]["seconds"] == pytest.approx(2.7, abs=1)


def test_a_missed_objective_is_the_exit_status_and_refusals_are_told_apart(tmp_path: Path) -> None:
    with fake_server("--refuse-share", "0.3", "--fail-share", "0.3", "--hold-s", "0.002") as target:
        done = run(
            *(*LOCUST, "--host", target, "--headless", "--only-summary", "--users", "6", "--spawn-rate", "6"),
            *("--run-time", "5s", "--rate-per-user", "0", "--failure-pause-s", "0.01", "--exclude-tags", "repeated"),
            *("--uri-base", "ftp://nowhere/", "--objectives", objectives(tmp_path, ROOMY)),
            *("--summary", str(tmp_path / "summary.json")),
        )
    assert done.returncode == 1, done.stderr
    assert "MISSED: all requests: refused_share" in done.stderr
    kinds = json.loads((tmp_path / "summary.json").read_text())["kinds"]
    assert set(kinds) == {"content", "stream", "uri"}
    for kind in ("content", "stream"):
        assert all(kinds[kind][name] > 0 for name in ("answered", "refused", "failed"))
    assert kinds["uri"]["answered"] == 0
    for words in ("content (refused): NotScored('RESOURCE_EXHAUSTED OVERLOADED')", "PERMISSION_DENIED URI_NOT_ALLOWED"):
        assert words in done.stdout + done.stderr


def test_users_pace_themselves_where_nobody_answers(tmp_path: Path) -> None:
    done = run(
        *(*LOCUST, "--host", "127.0.0.1:1", "--headless", "--users", "2", "--spawn-rate", "2", "--run-time", "3s"),
        *("--rate-per-user", "0", "--summary", str(tmp_path / "summary.json"), "StreamUser", "ContentUser"),
    )
    assert done.returncode == 1, done.stderr
    assert "MISSED: nothing was answered" in done.stderr
    whole = json.loads((tmp_path / "summary.json").read_text())["whole"]
    assert 2 <= whole["failed"] == whole["asked"] <= 2 * 4  # each user once a second, not in a busy loop


REFUSED = {
    ("--objectives", "/nowhere.yaml"): "/nowhere.yaml: cannot be read",
    ("--videos", "/nowhere"): "/nowhere: No such file",
    ("--repeated-share", "2"): "repeated_share: Input should be less than or equal to 1",
    ("--host", "http://127.0.0.1:1"): "try --host 127.0.0.1:1",
    ("--tags", "nothing"): "no user has a task with these tags",
    ("UriUser",): "UriUser needs --uri-base",
}
# Runs locust with each of several rows of arguments; what takes long, its imports, is done once for all.
RUNS = r"""
import json, os, sys
from locust import main
from wildgate_perf.load_test import listeners, users
for arguments in json.loads(sys.argv.pop()):
    child = os.fork()
    if not child:
        sys.argv[1:] = arguments
        sys.exit(main.main())
    print("", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "", sep="\0", end="", file=sys.stderr, flush=True)
"""


def test_what_cannot_run_is_said_before_it_begins() -> None:
    rows = [[*LOCUST[2:], "--headless", "--host", "127.0.0.1:1", *arguments] for arguments in REFUSED]
    *told, last = run("-c", RUNS, json.dumps(rows)).stderr.split("\0")
    assert last == ""
    assert len(told) == 2 * len(REFUSED)
    for words, said, status in zip(REFUSED.values(), told[::2], told[1::2], strict=True):
        assert status == "2", said
        assert words in said
        assert "Traceback" not in said


class Form:
    """Locust's web form."""

    def __init__(self, url: str) -> None:
        self.url = url

    def page(self) -> str:
        return urllib.request.urlopen(self.url, timeout=10).read().decode()

    def swarm(self, **fields: str) -> dict[str, Any]:
        data = urllib.parse.urlencode(fields).encode()
        return json.load(urllib.request.urlopen(f"{self.url}/swarm", data, timeout=10))

    def finished(self, at_least: int) -> dict[str, int]:
        """Requests by name, once the test has stopped and there are so many."""
        while True:
            told = json.load(urllib.request.urlopen(f"{self.url}/stats/requests", timeout=10))
            rows = {row["name"]: row["num_requests"] for row in told["stats"]}
            if told["state"] == "stopped" and rows.get("Aggregated", 0) >= at_least:
                return rows
            time.sleep(0.1)


@contextmanager
def web_form(target: str) -> Iterator[Form]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [sys.executable, *LOCUST, "--host", target, "--web-host", "127.0.0.1", "--web-port", port]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        try:
            form = Form(f"http://127.0.0.1:{port}")
            while process.poll() is None:
                with contextlib.suppress(urllib.error.URLError):
                    form.page()
                    break
                time.sleep(0.1)
            yield form
        finally:
            process.terminate()


def test_the_web_form_offers_shapes_and_options_and_is_obeyed() -> None:
    with fake_server() as target, web_form(target) as form:
        page = form.page()
        for offered in ("Ramp", "Soak", "Spike", "Step", "rate_per_user", "digest_first"):
            assert f'"{offered}"' in page
        users = {"user_count": "2", "spawn_rate": "2", "host": target}
        refused = form.swarm(**users | {"host": "http://x:1"})
        assert (refused["success"], "try --host x:1" in refused["message"]) == (False, True)
        assert "repeated_share" in form.swarm(**users, repeated_share="7")["message"]
        started = form.swarm(
            **users,
            shape_class="Spike",
            user_classes="RepeatedUser",
            run_time="2",
            rate_per_user="10",
            digest_first="true",
        )
        assert started["success"], started
        rows = form.finished(at_least=10)
        assert rows["digest, unknown"] > 0
        assert "content" not in rows


def test_nothing_else_brings_in_locust_which_patches_the_standard_library() -> None:
    modules = ("load_test.__main__", "load_test.objectives", "load_test.options", "capacity.command", "bench.__main__")
    imports = "; ".join(f"import wildgate_perf.{module}" for module in modules)
    done = run("-c", f"import sys; {imports}; print([m for m in ('locust', 'gevent') if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_an_open_loop_asks_on_though_answers_are_late(tmp_path: Path) -> None:
    """One caller at 10 a second, answers after a second: paced, it would ask about five times in all."""
    with fake_server("--hold-s", "1") as target:
        done = run(
            *(*LOCUST, "--host", target, "--headless", "--only-summary", "--users", "1", "--run-time", "6s"),
            *("--arrivals", "poisson", "--rate-per-user", "10", "--objectives", objectives(tmp_path, ROOMY)),
            *("--uri-base", "file:///", "--uri-folder", str(tmp_path / "by_uri"), "--metadata", "x-tenant=a"),
            *("--summary", str(tmp_path / "summary.json"), "UriUser"),
        )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["arrivals"] == "poisson"
    assert summary["whole"]["answered"] > 25
    assert list((tmp_path / "by_uri").iterdir()) == []
