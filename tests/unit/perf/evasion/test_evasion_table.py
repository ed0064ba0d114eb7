"""Shares with their intervals, and the table of before and after."""

from __future__ import annotations

from typing import Any

import pytest

from wildgate_perf.evasion.table import TWINS, Share, figures_of, table_of


def row(attack: str, shown_s: float, normal: int, high: int, *, videos: int = 10) -> dict[str, Any]:
    caught, cost = {"NORMAL": normal, "HIGH": high}, {"NORMAL": 1.0, "HIGH": 4.25}
    return {"attack": attack, "shown_s": shown_s, "videos": videos, "caught": caught, "cost": cost}


# Wilson's intervals as R's prop.test(correct = FALSE) has them.
@pytest.mark.parametrize(
    ("share", "interval"),
    [
        (Share(0, 10), (0, 0.2775)),
        (Share(5, 10), (0.2366, 0.7634)),
        (Share(10, 10), (0.7225, 1)),
        (Share(0, 0), (0, 1)),
    ],
)
def test_few_videos_leave_a_wide_interval(share: Share, interval: tuple[float, float]) -> None:
    assert share.interval == pytest.approx(interval, abs=1e-4)


def test_an_attack_counts_in_the_figures_and_what_is_harmless_only_as_a_false_alarm() -> None:
    rows = [
        row("ordinary", 0, 1, 0),
        row(TWINS, 0, 0, 2),
        row("in_plain_sight", 12, 0, 0),
        row("between_looks", 0.5, 0, 0),
        row("between_looks", 1, 5, 10),
        row("between_looks", 2, 8, 10),
        row("flashes", 2, 10, 9),
        row("keyframe_decoy", 4, 7, 10),
    ]
    figures = figures_of(rows)
    assert figures["NORMAL"] == {
        "shots_2s": 0.9,
        "shots_1s": 0.5,
        "decoys": 0.7,
        "worst_attack_1s": 0.65,
        "false_alarms": 0.05,
    }
    assert figures["HIGH"]["worst_attack_1s"] == 0.9


def test_what_was_caught_before_stands_beside() -> None:
    now, before = [row("flashes", 2, 10, 10), row("joined", 4, 9, 10)], [row("flashes", 2, 0, 0)]
    head, _, flashes, joined = (line[2:-2].split(" | ") for line in table_of(now, before).splitlines())
    assert head[3:] == ["caught before", "caught, NORMAL", "caught, HIGH", "time, NORMAL", "time, HIGH"]
    assert flashes[:4] == ["flashes", "2", "10", "0.00 (0.00 to 0.28)"]
    assert flashes[4:] == ["1.00 (0.72 to 1.00)", "1.00 (0.72 to 1.00)", "1.00", "4.25"]
    assert joined[3] == "", "there was none before"
