"""What attacks came to, as JSON and as a table, and what is asked of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wildgate_perf.attacks.watch import Watched
from wildgate_perf.loops import Measured

__all__ = ["NOT_PLAYED", "Outcome", "markdown"]

_LEAST_RATE, _MOST_P99, _MOST_MB = 0.7, 3.0, 3072
NOT_PLAYED = {
    9: "the secret in Triton's command line: there is none any more (tests/integration/test_embedded_triton.py)",
    10: "Triton's shared memory: tests/unit/server/triton/test_triton_guard.py",
    11: "a taken-over worker or stub: see docs/security.md",
    16: "the log and the metrics: tests/unit/server/test_log.py, test_endpoint.py",
}
"""Rows of docs/security.md without an attack here, and why."""


@dataclass(frozen=True)
class Outcome:
    """Good callers before, during and after an attack, and the server during it.

    `attacker_cores` is what the attacker's own process took of the cores that all share, `stopped` whether the server
    could be stopped afterwards.
    """

    row: int
    name: str
    before: Measured
    during: Measured
    after: Measured
    watched: Watched
    attacker_cores: float = 0.0
    stopped: bool = True

    @property
    def rate_kept(self) -> float:
        """Of the mean of the rates before and after: the machine drifts."""
        return 2 * self.during.per_s / (self.before.per_s + self.after.per_s)

    @property
    def p99_over(self) -> float:
        """Over the larger one of before and after; a failed request took for ever."""
        quiet = max(self.before.took_or_failed_ms(0.99), self.after.took_or_failed_ms(0.99))
        return self.during.took_or_failed_ms(0.99) / quiet

    @property
    def misses(self) -> list[str]:
        """What is asked and was not held."""
        asked = {
            "rate": self.rate_kept >= _LEAST_RATE,
            "p99": self.p99_over <= _MOST_P99,
            "memory": self.watched.gateway_mb <= _MOST_MB,
            "health": not self.watched.failed and self.watched.probes > 0,
            "recovery": not self.after.failures and self.after.per_s >= _LEAST_RATE * self.before.per_s,
            "stop": self.stopped,
        }
        return [name for name, held in asked.items() if not held]

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        phases = {"before": self.before, "during": self.during, "after": self.after}
        return {
            "row": self.row,
            "attack": self.name,
            **{
                name: {"per_s": phase.per_s, "p99_ms": phase.took_or_failed_ms(0.99), "failures": phase.failures}
                for name, phase in phases.items()
            },
            "rate_kept": self.rate_kept,
            "p99_over": self.p99_over,
            "attacker_cores": self.attacker_cores,
            "gateway_peak_mb": self.watched.gateway_mb,
            "all_peak_mb": self.watched.all_mb,
            "probes": self.watched.probes,
            "probes_failed": self.watched.failed,
            "slowest_probe_s": self.watched.slowest_s,
            "misses": self.misses,
        }


def markdown(outcomes: Sequence[Outcome]) -> str:
    """A table of the attacks, and the rows that are not played."""
    lines = [
        "| row | attack | good callers/s before, during, after | p99 ms | failed | attacker's cores | gateway MiB "
        "| health | missed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in outcomes:
        phases = (each.before, each.during, each.after)
        health = f"{each.watched.probes - each.watched.failed} of {each.watched.probes}, {each.watched.slowest_s:.2f} s"
        lines.append(
            f"| {each.row} | {each.name} | {', '.join(f'{phase.per_s:.1f}' for phase in phases)} "
            f"| {', '.join(f'{phase.took_or_failed_ms(0.99):.0f}' for phase in phases)} "
            f"| {sum(each.during.failures.values())} | {each.attacker_cores:.2f} | {each.watched.gateway_mb} "
            f"| {health} | {', '.join(each.misses) or 'nothing'} |"
        )
    return "\n".join([*lines, "", "Not played:", "", *(f"- row {row}: {why}" for row, why in NOT_PLAYED.items()), ""])
