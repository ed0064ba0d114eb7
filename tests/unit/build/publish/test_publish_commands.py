"""The commands as they are typed: what they print, how they end, what they leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from prometheus_client import start_http_server
from publish_seam import make_repository, standard_file
from typer.testing import CliRunner, Result

from wildgate_build.publish import commands
from wildgate_build.publish.repository import Repository
from wildgate_server.metrics import Metrics
from wildgate_server.repository.releases import Canary, Rollout

TRIAL = Rollout(serving=1, canary=Canary(version=2, share=0.25))

app = typer.Typer()
for command in (
    commands.publish,
    commands.canary,
    commands.promote,
    commands.rollback,
    commands.releases,
):
    app.command()(command)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path, 1)


def run(repository: Repository, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--repository", str(repository.path)], env={"COLUMNS": "80"})


def test_from_published_to_rolled_back(repository: Repository, tmp_path: Path) -> None:
    detector = standard_file(tmp_path / "mine.onnx")
    (tmp_path / "report.json").write_text('{"recall": 0.9712}')
    published = run(repository, "publish", str(detector), "--report", str(tmp_path / "report.json"))
    assert published.exit_code == 0, published.output
    assert "published mine/2 (fp32, 2 labels)" in published.output
    assert repository.rollout == Rollout(serving=1)

    for arguments, told, rollout in (
        (["canary", "2", "--share", "0.25"], "version 1 serves, version 2 on trial on 0.25", TRIAL),
        (["canary", "--stop"], "version 1 serves", Rollout(serving=1)),
        (["promote", "2"], "version 2 serves, version 1 before", Rollout(serving=2, previous=1)),
        (["rollback"], "version 1 serves", Rollout(serving=1)),
    ):
        done = run(repository, *arguments)
        assert done.exit_code == 0, done.output
        assert told in done.output
        assert repository.rollout == rollout

    run(repository, "canary", "2", "--share", "0.25")
    shown = run(repository, "releases")
    assert shown.exit_code == 0, shown.output
    first, second = (line for line in shown.output.splitlines() if line.split()[:1] in (["number_1/1"], ["mine/2"]))
    assert "serving" in first
    for part in ("canary 0.25", "fp32", "rule", "ok"):
        assert part in second
    assert "mine/2: recall 0.9712" in shown.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["canary", "5"], "has no version 5"),
        (["canary"], "name the version to try, or --stop"),
        (["canary", "2", "--stop"], "name the version to try, or --stop"),
        (["canary", "1", "--share", "0"], "--share is 0, not above 0"),
        (["canary", "1"], "version 1 serves"),
        (["promote"], "no version is on trial"),
        (["rollback"], "nothing is known to have served before"),
        (["publish", "none.onnx"], "none.onnx: there is no such file"),
        (["promote", "1", "--policy", "none.yaml"], "none.yaml: cannot be read"),
        (["releases", "--metrics", "http://127.0.0.1:1/metrics"], "http://127.0.0.1:1/metrics: cannot be read"),
        (["releases", "--metrics", "nonsense"], "nonsense: cannot be read as metrics"),
    ],
)
def test_what_is_refused_is_said_and_ends_with_2(repository: Repository, arguments: list[str], message: str) -> None:
    refused = run(repository, *arguments)
    assert refused.exit_code == 2, refused.output
    assert message in refused.output
    assert repository.rollout == Rollout(serving=1)


def test_a_file_that_differs_shows_and_ends_with_1(repository: Repository) -> None:
    (repository.path / "wildlife_detector" / "1" / "model.onnx").write_bytes(b"another")
    shown = run(repository, "releases")
    assert shown.exit_code == 1
    assert "DIFFER" in shown.output
    assert "not the file that was published" in shown.output


def test_configs_that_do_not_follow_the_rollout_show(repository: Repository) -> None:
    (repository.path / "video_scorer" / "config.pbtxt").write_text("")
    shown = run(repository, "releases")
    assert shown.exit_code == 0
    assert "video_scorer/config.pbtxt:1: " in shown.output
    assert "run `make configs`" in shown.output


@contextmanager
def served(metrics: Metrics) -> Iterator[str]:
    server, thread = start_http_server(0, "127.0.0.1", metrics.registry)
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        assert not thread.is_alive()


def test_a_trial_is_shown_as_the_gateway_counts_it(repository: Repository) -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.compared(
            serving="m/1", canary="m/2", actions=("BLOCK", "REVIEW"), labels=["rhino_horn"], score_difference=0.5
        )
    with served(metrics) as address:
        shown = run(repository, "releases", "--metrics", address)
    assert shown.exit_code == 0, shown.output
    [row] = [line for line in shown.output.splitlines() if "m/2" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["m/1", "m/2", "block", "review", "3"]
