"""The model against loads whose truth is known, and the command around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_perf.capacity.check import Pair, check_points, compared, mean_error
from wildgate_perf.capacity.command import capacity_command
from wildgate_perf.capacity.profile import CapacityError, LoadPoint, Profile

PEAK, CORES = 20.0, 4


def point(load: float, p99_ms: float, arrivals: str = "uniform") -> LoadPoint:
    """A load that keeps as many cores busy as it is of the peak."""
    rate = load * PEAK
    return LoadPoint(
        offered_per_s=rate,
        answered_per_s=min(rate, PEAK),
        p50_ms=100 + 100 * load,
        p99_ms=p99_ms,
        arrivals=arrivals,
        server_cores=min(1, load) * CORES,
    )


POINTS = (
    point(0.1, 150),
    point(0.3, 200),
    point(0.5, 250),
    point(0.7, 400),
    point(0.7, 900, "poisson"),
    point(3, 9000),
)


@pytest.fixture
def profile() -> Profile:
    return Profile.model_validate(
        {
            "cores": CORES,
            "peak_per_s": {"uri": PEAK, "content": PEAK / 2},
            "cached_over_first": {"by_digest": 0.01, "by_content": 0.1},
            "video_bytes": 1,
            "points": POINTS,
        }
    )


def test_loads_are_predicted_from_the_peak_and_a_video_alone(profile: Profile) -> None:
    rows = {row.about: row for row in check_points(profile)}
    assert list(rows) == [
        *(f"{load}% of the peak, uniform" for load in (10, 30, 50, 70)),
        *("70% of the peak, poisson", "300% of the peak, uniform"),
    ]
    # Four cores at 20/s: 200 ms each, and nobody waits where they come evenly.
    assert rows["50% of the peak, uniform"].p50_ms == Pair(pytest.approx(200, rel=0.01), 150)
    assert rows["70% of the peak, poisson"].p99_ms.predicted > 1.5 * rows["70% of the peak, uniform"].p99_ms.predicted
    assert mean_error([row.answered_per_s for row in rows.values()]) == pytest.approx(0)
    assert mean_error([row.utilisation for row in rows.values()]) == pytest.approx(0)


def test_what_was_measured_of_a_load_is_no_part_of_its_prediction(profile: Profile) -> None:
    points = tuple(point.model_copy(update={"p99_ms": 100_000.0}) for point in POINTS)
    predicted = [row.p99_ms.predicted for row in check_points(profile.model_copy(update={"points": points}))]
    assert predicted == [row.p99_ms.predicted for row in check_points(profile)]


def test_two_nodes_that_take_turns_are_less_busy_than_one(profile: Profile) -> None:
    one = point(0.8, 500, "poisson")
    both = [compared(profile, one.model_copy(update={"nodes": nodes})) for nodes in (1, 2)]
    assert [row.utilisation.predicted for row in both] == pytest.approx([0.8, 0.4])
    assert both[1].p99_ms.predicted < both[0].p99_ms.predicted


def test_overload_is_answered_at_the_peak_and_has_no_latency(profile: Profile) -> None:
    row = check_points(profile)[-1]
    assert (row.answered_per_s.predicted, row.utilisation.predicted) == (PEAK, 1.0)
    assert row.p99_ms == Pair(None, 9000)


def test_a_profile_without_loads_cannot_be_checked(profile: Profile) -> None:
    with pytest.raises(CapacityError, match="has no points"):
        check_points(profile.model_copy(update={"points": ()}))


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


@pytest.mark.parametrize("before", [True, False])
def test_the_command_checks(profile_file: str, before: bool, capsys: pytest.CaptureFixture[str]) -> None:
    option = ["--profile", profile_file]
    assert capacity_command([*option, "check"] if before else ["check", *option]) == 0
    told = capsys.readouterr().out
    assert "10.00 / 10.00 (+0%)" in told
    assert told.splitlines()[-1].split()[:6] == ["mean", "size", "of", "errors", "0%", "0%"]


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
