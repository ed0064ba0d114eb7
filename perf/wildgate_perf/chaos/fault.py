"""A fault, and what came of it: counted by how requests ended, and timed until all was as before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from wildgate_perf.chaos.callers import Answer, Callers

__all__ = ["Fault", "Outcome", "outcome_of"]

_USUAL_GAPS = 3.0  # a pause this many times the longest one before the fault is the fault's
_LEAST_GAP_S = 0.5
_BEGINS_S = 2.0  # after the fault: what pauses later does so for another reason


@dataclass(frozen=True)
class Fault:
    """`strike(stage)` does harm, and undoes what would not heal by itself; it returns once that is done.

    `aim_s` is how soon all is to be as before, None where the harm lasts as long as the strike.
    """

    name: str
    strike: Callable[[Any], Awaitable[None]]
    aim_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How requests ended that were under way at the fault or sent later, and seconds.

    `healed_s` is from the fault until the last error, or the end of the long pause between verdicts that it began.
    `told_s` and `back_s` are from the fault until health first said NOT_SERVING and last did, None where it never did.
    """

    fault: str
    ends: Counter[str]
    healed_s: float
    aim_s: float | None
    told_s: float | None
    back_s: float | None
    examples: tuple[str, ...]

    @property
    def misses(self) -> list[str]:
        """What was promised and is not so."""
        missed = [end for end in ("lost", "wrong") if self.ends[end]]
        if not self.ends["verdict"]:
            missed.append("verdicts")
        if self.aim_s is not None and self.healed_s > self.aim_s:
            missed.append("healing")
        return missed

    @property
    def row(self) -> str:
        """Its row in the table."""
        ends = self.ends
        health = "never" if self.told_s is None else f"{self.told_s:.1f} to {self.back_s:.1f}"
        aim = "" if self.aim_s is None else f" ({self.aim_s:g})"
        return (
            f"| {self.fault} | {ends.total()} | {ends['verdict']} | {ends['retryable']} | {ends['lost']} "
            f"| {ends['wrong']} | {self.healed_s:.1f}{aim} | {health} | {', '.join(self.misses) or 'nothing'} |"
        )


HEAD = (
    "| fault | sent | verdicts | retryable | lost | wrong | seconds to heal (aim) | NOT_SERVING, seconds | missed |",
    "|---|---|---|---|---|---|---|---|---|",
)
"""Of the table that rows go into."""


def outcome_of(fault: Fault, callers: Callers, struck_s: float) -> Outcome:
    """What came of a fault that struck at `struck_s` (monotonic)."""
    answers = [each for each in callers.answers if each.ended_s >= struck_s]
    healed_s = max(_last_error_s(answers, struck_s), _last_pause_s(callers.answers, struck_s))
    told = [at_s - struck_s for at_s, serving in callers.health if at_s >= struck_s and not serving]
    return Outcome(
        fault.name,
        Counter(each.end for each in answers),
        healed_s - struck_s,
        fault.aim_s,
        told[0] if told else None,
        told[-1] if told else None,
        tuple(dict.fromkeys(each.text for each in answers if each.text))[:5],
    )


def _last_error_s(answers: Sequence[Answer], struck_s: float) -> float:
    return max((each.ended_s for each in answers if each.end != "verdict"), default=struck_s)


def _last_pause_s(answers: Sequence[Answer], struck_s: float) -> float:
    """When the last pause between verdicts ended that began with the fault and is longer than the usual ones."""
    ends_s = [each.ended_s for each in answers if each.end == "verdict"]
    before = [*pairwise(at_s for at_s in ends_s if at_s < struck_s)]
    usual_s = max((late - early for early, late in before), default=0.0)
    after = pairwise([struck_s, *(at_s for at_s in ends_s if at_s >= struck_s)])
    longest_s = max(_LEAST_GAP_S, _USUAL_GAPS * usual_s)
    pauses = (late for early, late in after if early < struck_s + _BEGINS_S and late - early > longest_s)
    return max(pauses, default=struck_s)
