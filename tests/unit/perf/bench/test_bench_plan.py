"""How long the benchmark takes."""

from __future__ import annotations

from wildgate_perf.bench.plan import FULL


def test_the_whole_run_has_room_in_ten_minutes() -> None:
    offline_s = FULL.warm_up_s + FULL.offline_rounds * 2 * (FULL.warm_up_s + FULL.offline_round_s)
    direct_s = FULL.direct_rounds * 3 * (2 * (FULL.warm_up_s / 2 + FULL.direct_round_s) + FULL.added_s)
    peak_s = FULL.warm_up_s + FULL.peak_s
    round_s = FULL.unloaded_s + FULL.steady_s + FULL.overload_warm_up_s + FULL.overload_s + peak_s
    load_s = 2 * peak_s + len(FULL.points) * (1 + FULL.point_s) + FULL.steady_s + FULL.load_rounds * round_s
    # The rest: composing, cached verdicts, containers, a full decode, overload that settles, and six servers' starts.
    assert 2 * offline_s + direct_s + load_s <= 600 - 150
