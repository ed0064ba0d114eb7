"""What a fault came to: every request is counted once, and healing ends with the last error or long pause."""

from __future__ import annotations

import pytest

from wildgate_perf.chaos.callers import Answer, Callers, End
from wildgate_perf.chaos.fault import HEAD, Fault, outcome_of

STRUCK_S = 100.0


async def nothing(stage: object) -> None:
    return


def callers(*ends: tuple[float, End], health: list[tuple[float, bool]] | None = None) -> Callers:
    """Answers, given by seconds since the fault, after ten steady ones before it."""
    before: list[tuple[float, End]] = [(-1 + step / 10, "verdict") for step in range(10)]
    answers = [
        Answer(STRUCK_S + at_s - 0.1, STRUCK_S + at_s, end, "why" * (end != "verdict"))
        for at_s, end in [*before, *ends]
    ]
    return Callers(answers, [(STRUCK_S + at_s, serving) for at_s, serving in health or []])


@pytest.mark.parametrize(
    ("found", "healed_s", "misses"),
    [
        (callers((0.1, "verdict"), (0.4, "verdict")), 0.0, []),
        (callers((2.0, "verdict"), (2.1, "verdict")), 2.0, []),
        (callers((0.1, "verdict"), (2.5, "retryable"), (2.6, "verdict")), 2.6, []),
        (callers((3.5, "verdict")), 3.5, ["healing"]),
        (callers((0.1, "verdict"), (2.2, "verdict"), (9.0, "verdict")), 2.2, []),
        (callers((0.1, "lost"), (0.2, "wrong"), (0.3, "verdict")), 0.2, ["lost", "wrong"]),
        (callers((0.1, "retryable")), 0.1, ["verdicts"]),
    ],
)
def test_healing_ends_with_the_last_error_or_pause_and_what_is_missed_is_named(
    found: Callers, healed_s: float, misses: list[str]
) -> None:
    outcome = outcome_of(Fault("a fault", nothing, 3.0), found, STRUCK_S)
    assert outcome.healed_s == pytest.approx(healed_s)
    assert outcome.misses == misses


def test_a_row_counts_what_ended_after_the_fault_and_says_what_health_said() -> None:
    health = [(-1.0, False), (0.0, True), (0.5, False), (1.5, False), (2.0, True)]
    found = callers((0.1, "retryable"), (2.0, "verdict"), (2.1, "verdict"), health=health)
    row = outcome_of(Fault("a fault", nothing, 3.0), found, STRUCK_S).row
    assert row == "| a fault | 3 | 2 | 1 | 0 | 0 | 2.0 (3) | 0.5 to 1.5 | nothing |"
    assert row.count("|") == HEAD[0].count("|")
