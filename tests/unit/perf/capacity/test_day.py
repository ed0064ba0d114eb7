"""A simulated day: what must hold of it whatever is drawn, and the command around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wildgate_perf.capacity.command import capacity_command
from wildgate_perf.capacity.day import Day, DayOptions, simulate, tiers_of
from wildgate_perf.capacity.model import Demand
from wildgate_perf.capacity.profile import CapacityError, Profile

MEASURED = Profile.model_validate({"cores": 2, "peak_per_s": {"uri": 20}, "unloaded_ms": 100})
DEMAND = Demand(videos_per_day=86_400 * 100, node_price_per_hour=2.0)


def day(**changes: float) -> Day:
    """100 videos/s on average, 200 at 20:00; decided every minute, to be quick."""
    options = DayOptions.model_validate({"scale_every_s": 60, "spike_minutes": 0, "lost_minutes": 0, **changes})
    return simulate(tiers_of(MEASURED, DEMAND, options), DEMAND, options)


def test_a_calm_day_is_carried_by_as_few_nodes_as_the_target_allows() -> None:
    calm = day()
    assert calm.videos == pytest.approx(DEMAND.videos_per_day, rel=0.01)
    assert max(step.offered_per_s for step in calm.steps) == pytest.approx(200, rel=0.01)
    assert calm.refused == 0
    # 0.05 node-seconds a video at 70 %: 171 node-hours, and up to a tenth more than that before the autoscaler acts.
    assert calm.node_hours("node") == pytest.approx(171, rel=0.12)
    assert calm.cost == pytest.approx(2 * calm.node_hours("node"))
    assert 100 < calm.latency_ms(0.5) < 200


def test_a_spike_finds_too_few_nodes_until_new_ones_have_started() -> None:
    slow, quick = (day(spike_minutes=30, spike_factor=2.5, start_s=start_s) for start_s in (600, 0))
    assert slow.refused > 10 * max(1, quick.refused)
    hour, tail_ms = slow.worst()
    assert 12 <= hour <= 12.5
    assert tail_ms > 1000


def test_a_lost_zone_takes_its_share_and_others_take_over() -> None:
    found = day(lost_minutes=60, start_s=300)
    before, after, later = (min(found.steps, key=lambda step: abs(step.hour - hour)) for hour in (19.9, 20.02, 20.5))
    assert sum(after.nodes.values()) - after.starting == pytest.approx(sum(before.nodes.values()) * 2 / 3, abs=2)
    assert sum(later.nodes.values()) == pytest.approx(sum(before.nodes.values()), rel=0.15)
    assert later.starting == 0
    assert found.asked_again > 0
    assert found.worst()[0] == pytest.approx(20, abs=0.2)


def test_gateways_apart_are_a_tier_of_their_own() -> None:
    split = MEASURED.model_copy(update={"gateway_cpu_ms": 10.0, "triton_cpu_ms": 90.0})
    options = DayOptions(gateway_cores=4)
    gateway, triton = tiers_of(split, DEMAND, options)
    assert (gateway[1].servers, gateway[1].service_s) == (4, pytest.approx(0.01))
    assert (triton[1].servers, triton[1].service_s) == (2, pytest.approx(0.09))
    with pytest.raises(CapacityError, match="does not tell the work of gateways"):
        tiers_of(MEASURED, DEMAND, options)


def test_the_command_tells_and_draws_a_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile, picture = tmp_path / "profile.yaml", tmp_path / "day.svg"
    profile.write_text(MEASURED.model_dump_json())
    arguments = ["--profile", str(profile), "--simulate", "--videos-per-day", "1e7", "--scale-every-s", "300"]
    assert capacity_command([*arguments, "--p99-ms", "800", "--picture", str(picture)]) == 0
    told = capsys.readouterr().out
    assert "node-hours" in told
    assert "past the objective" in told
    assert "Demand and capacity" in picture.read_text()
    assert capacity_command([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["day"]["zones"] == 3
    assert capacity_command([*arguments, "--zones", "0"]) == 2
    assert "zones: Input should be greater than or equal to 1 (is '0')" in capsys.readouterr().err
