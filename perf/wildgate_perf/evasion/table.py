"""Shares and costs by attack and seconds shown, with how sure they are, and held against the aims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from wildgate_perf.evasion.attacks import ATTACKS, ORDINARY
from wildgate_perf.results import Target

__all__ = ["AIMS", "TWINS", "Share", "figures_of", "table_of"]

Row = Mapping[str, Any]
"""One attack and length: `attack`, `shown_s`, `videos`, `caught` (how many, by way of looking), `cost` (the same)."""

_Z = 1.96  # 95 % of a normal distribution lie within so many standard deviations
TWINS = "harmless_twins"
_HARMLESS = (ORDINARY.name, TWINS)
_WAYS = ("PLAIN", "NORMAL", "HIGH")

AIMS = (
    Target("NORMAL.shots_2s", at_least=0.95),
    Target("NORMAL.shots_1s", at_least=0.9),
    Target("NORMAL.decoys", at_least=0.95),
    Target("HIGH.worst_attack_1s", at_least=0.97),
    Target("cost.NORMAL_over_before", at_most=1.1),
    Target("cost.HIGH_over_NORMAL", at_most=6),
    Target("NORMAL.false_alarms", unbounded="for information"),
    Target("HIGH.false_alarms", unbounded="for information"),
)
"""What is asked: shares of videos that are caught, and processor time for the benchmark's ordinary clips.

Shots are all attacks but decoys; the worst attack counts all its lengths of a second and more together.
"""


@dataclass(frozen=True)
class Share:
    """So many of how many."""

    caught: int
    of: int

    @classmethod
    def in_rows(cls, rows: Iterable[Row], way: str) -> Share:
        """How many of the rows' videos are caught this way."""
        chosen = list(rows)
        return cls(sum(row["caught"][way] for row in chosen), sum(row["videos"] for row in chosen))

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.caught / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share lies, with a confidence of 95 %: Wilson's score interval (1927), which holds for few."""
        if not self.of:
            return 0.0, 1.0
        share, spread = self.caught / self.of, _Z * _Z / self.of
        middle, reach = share + spread / 2, _Z * sqrt(share * (1 - share) / self.of + spread / self.of / 4)
        return max(0.0, (middle - reach) / (1 + spread)), min(1.0, (middle + reach) / (1 + spread))

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.2f} ({low:.2f} to {high:.2f})" if self.of else ""


def figures_of(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """What AIMS ask of the rows, costs aside."""
    attacks = [row for row in rows if row["attack"] in {attack.name for attack in ATTACKS}]
    return {way: _figures(attacks, rows, way) for way in ("NORMAL", "HIGH") if all(way in r["caught"] for r in rows)}


def _figures(attacks: Sequence[Row], rows: Sequence[Row], way: str) -> dict[str, float]:
    def share(wanted: Callable[[Row], bool], of: Sequence[Row] = attacks) -> float:
        return Share.in_rows(filter(wanted, of), way).value

    decoys = "keyframe_decoy"
    by_attack = {row["attack"]: [each for each in attacks if each["attack"] == row["attack"]] for row in attacks}
    long_enough = [[row for row in each if row["shown_s"] >= 1] for each in by_attack.values()]
    return {
        "shots_2s": share(lambda row: row["shown_s"] >= 2 and row["attack"] != decoys),
        "shots_1s": share(lambda row: row["shown_s"] == 1),
        "decoys": share(lambda row: row["attack"] == decoys),
        "worst_attack_1s": min((Share.in_rows(each, way).value for each in long_enough), default=float("nan")),
        "false_alarms": share(lambda row: row["attack"] in _HARMLESS, rows),
    }


def table_of(rows: Sequence[Row], before: Sequence[Row] = ()) -> str:
    """The rows as a table in Markdown; with the rows of before, what was caught then stands beside."""
    old = {(row["attack"], row["shown_s"]): row for row in before}
    ways = [way for way in _WAYS if rows and way in rows[0]["caught"]]
    costs = [way for way in ways if way in rows[0]["cost"]] if rows else []
    head = ["attack", "seconds shown", "videos", *(["caught before"] if old else []), *(f"caught, {w}" for w in ways)]
    lines = [[*head, *(f"time, {way}" for way in costs)]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        was = old.get((row["attack"], row["shown_s"]))
        then = [str(Share(was["caught"]["NORMAL"], was["videos"])) if was else ""] if old else []
        shares = [str(Share(row["caught"][way], row["videos"])) for way in ways]
        times = [f"{row['cost'][way]:.2f}" for way in costs]
        lines.append([row["attack"], f"{row['shown_s']:g}", str(row["videos"]), *then, *shares, *times])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
