"""The model against runs whose truth is known, and the command around it."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT
from simulated_node import waits

from wildgate_perf.capacity.check import Compared, Pair, check_points, mean_error
from wildgate_perf.capacity.command import capacity_command
from wildgate_perf.capacity.profile import CapacityError, Profile
from wildgate_perf.loops import percentile

SERVERS, SERVICE_S, UNLOADED_S = 4, 0.2, 0.1
PEAK = SERVERS / SERVICE_S


def simulated_point(load: float, service: Callable[[random.Random], float]) -> dict[str, Any]:
    """An open loop on a simulated node whose videos take 100 ms and then wait for one of four servers."""
    took = [UNLOADED_S + wait for wait in waits(SERVERS, load * PEAK, service, 60_000, 11)]
    return {
        "offered_per_s": load * PEAK,
        "answered_per_s": load * PEAK,
        "p50_ms": percentile(took, 0.5) * 1e3,
        "p99_ms": percentile(took, 0.99) * 1e3,
        "arrivals": "poisson",
        "server_cores": load * SERVERS,
    }


def simulated_profile(service: Callable[[random.Random], float], variability: float) -> Profile:
    loads = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8)
    overload = {"offered_per_s": 3 * PEAK, "answered_per_s": PEAK, "p50_ms": 5000, "p99_ms": 9000}
    return Profile.model_validate(
        {
            "cores": SERVERS,
            "peak_per_s": {"uri": PEAK, "content": PEAK / 2},
            "unloaded_p50_ms": UNLOADED_S * 1e3,
            "cached_over_first": {"by_digest": 0.01, "by_content": 0.1},
            "video_bytes": 1,
            "service_variability": variability,
            "points": [*(simulated_point(load, service) for load in loads), overload],
        }
    )


def by_model(compared: Sequence[Compared], model: str) -> list[Compared]:
    return [row for row in compared if row.model == model]


@pytest.mark.parametrize(
    ("service", "variability"),
    [(lambda chance: chance.expovariate(1 / SERVICE_S), 1.0), (lambda chance: SERVICE_S, 0.0)],
    ids=["M/M/4", "M/D/4"],
)
def test_the_queue_predicts_a_queue(service: Callable[[random.Random], float], variability: float) -> None:
    rows = by_model(check_points(simulated_profile(service, variability)), "queue")
    assert len(rows) == 7
    assert mean_error([row.answered_per_s for row in rows]) == pytest.approx(0, abs=1e-9)
    assert mean_error([row.utilisation for row in rows]) == pytest.approx(0, abs=1e-9)
    latency_error = mean_error([row.p99_ms for row in rows])
    assert latency_error is not None
    assert latency_error < 0.1


def test_the_curve_predicts_a_load_from_its_neighbours() -> None:
    profile = simulated_profile(lambda chance: chance.expovariate(1 / SERVICE_S), 1.0)
    uniform = profile.model_copy(
        update={"points": tuple(p.model_copy(update={"arrivals": "uniform"}) for p in profile.points)}
    )
    rows = by_model(check_points(uniform), "measured curve")
    inner = [row for row in rows if row.p99_ms.predicted is not None]
    assert [row.about for row in inner] == [f"{load}% of the peak, uniform" for load in (10, 30, 50, 60, 70)]
    # Waiting grows ever faster with load, so a straight line runs above it, and below the next load.
    for row, following in zip(inner[1:], rows[2:], strict=False):
        assert row.p99_ms.predicted is not None
        assert row.p99_ms.measured is not None
        assert following.p99_ms.measured is not None
        assert 0.95 * row.p99_ms.measured < row.p99_ms.predicted < following.p99_ms.measured


def test_a_point_is_not_predicted_from_itself() -> None:
    profile = simulated_profile(lambda chance: SERVICE_S, 0.0)
    points = [p.model_copy(update={"arrivals": "uniform"}) for p in profile.steady_points]
    wrong = points[3].model_copy(update={"p99_ms": 100_000.0})
    changed = profile.model_copy(update={"points": (*points[:3], wrong, *points[4:])})
    row = next(row for row in by_model(check_points(changed), "measured curve") if "60%" in row.about)
    assert row.p99_ms.measured == 100_000
    assert row.p99_ms.predicted is not None
    assert row.p99_ms.predicted < 1000


def test_overload_is_answered_at_the_peak_and_has_no_latency() -> None:
    row = by_model(check_points(simulated_profile(lambda chance: SERVICE_S, 0.0)), "queue")[-1]
    assert (row.answered_per_s.predicted, row.utilisation.predicted) == (PEAK, 1.0)
    assert row.p99_ms == Pair(None, 9000)


def test_errors_are_of_predicted_over_measured() -> None:
    assert Pair(110, 100).error == pytest.approx(0.1)
    assert Pair(None, 100).error is None
    assert Pair(1, 0).error is None
    assert mean_error([Pair(110, 100), Pair(70, 100), Pair(None, 1)]) == pytest.approx(0.2)
    assert mean_error([Pair(None, 1)]) is None


def test_a_profile_without_loads_cannot_be_checked(profile: Profile) -> None:
    with pytest.raises(CapacityError, match="has no points"):
        check_points(profile.model_copy(update={"points": ()}))


@pytest.fixture
def profile() -> Profile:
    return simulated_profile(lambda chance: SERVICE_S, 0.0)


@pytest.fixture
def profile_file(profile: Profile, tmp_path: Path) -> str:
    file = tmp_path / "profile.yaml"
    file.write_text(profile.model_dump_json())  # JSON is YAML, too
    return str(file)


def test_the_command_plans(profile_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity_command(["--profile", profile_file, "--videos-per-day", "8.64e6"]) == 0
    told = capsys.readouterr()
    assert "16 (15 to carry the peak, 1 spare)" in told.out  # 200/s at 1/20 node-seconds, 70 % busy
    assert "cost" not in told.out


def test_the_command_tells_programs_the_same(profile_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--profile", profile_file, "--videos-per-day", "8.64e6", "--json", "--digest-first"]
    assert capacity_command([*arguments, "--node-price-per-hour", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["nodes"] == 16
    assert told["cost_per_million"] == pytest.approx(16 * 24 / 8.64)
    assert (told["demand"]["target_utilisation"], told["demand"]["digest_first"]) == (0.7, True)


def test_the_command_checks(profile_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["check", "--profile", profile_file], ["--profile", profile_file, "check"]):
        assert capacity_command([*arguments, "--within", "0.2"] if arguments[0] == "check" else arguments) == 0
        assert "mean size of errors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "figure"), [({"p99_ms": 1.0}, "p99"), ({"server_cores": 0.01}, "utilisation"), ({"p50_ms": 1.0}, None)]
)
def test_the_check_judges_latency_and_utilisation_too(
    profile: Profile, tmp_path: Path, wrong: dict[str, float], figure: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    points = tuple(point.model_copy(update=wrong) for point in profile.points)
    file = tmp_path / "wrong.yaml"
    file.write_text(profile.model_copy(update={"points": points}).model_dump_json())
    assert capacity_command(["check", "--profile", str(file), "--within", "0.2"]) == (1 if figure else 0)
    told = capsys.readouterr().err
    assert [line.partition(":")[0] for line in told.splitlines()] == ([figure] if figure else [])
    assert not figure or "more than 20.0%" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--videos-per-day", "-1"], "videos_per_day: Input should be greater than 0 (is '-1')"),
        ([], "videos_per_day: Field required"),
        (["--videos-per-day", "1", "--p99-ms", "1"], "an idle node takes"),
        (["--videos-per-day", "many"], "videos_per_day: Input should be a valid number"),
        (["--videos"], "unrecognized arguments: --videos"),
    ],
)
def test_what_cannot_be_planned_is_said(
    profile_file: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert capacity_command(["--profile", profile_file, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_wildgate_finds_the_command_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "perf/pyproject.toml").read_text())["project"]
    [reference] = project["entry-points"]["wildgate.commands"].values()
    assert EntryPoint("capacity", reference, "wildgate.commands").load() is capacity_command
