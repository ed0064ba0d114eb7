from __future__ import annotations

from typing import Any

import pytest

from wildgate_enforcement.quality import quality

MONDAY_MS = 1_795_996_800_000  # 2026-11-30
HOUR_MS = 3_600_000


def opened(case: str, *labels: str, sample: bool = False) -> dict[str, Any]:
    details = {"labels": list(labels), "sample": sample}
    return {"kind": "opened", "case_id": case, "at_ms": MONDAY_MS, "details": details}


def decided(case: str, before: str, step: str, state: str, hours: float = 1) -> dict[str, Any]:
    details = {"before": before, "step": step, "state": state}
    at_ms = MONDAY_MS + round(hours * HOUR_MS)
    return {"kind": "decided", "case_id": case, "actor": "ann", "at_ms": at_ms, "details": details}


def test_verdicts_samples_and_reviewers_are_counted_apart() -> None:
    found = quality(
        [
            opened("a", "ivory"),
            opened("b", "ivory"),
            opened("s", "ivory", sample=True),
            decided("a", "open", "confirm_first", "second"),
            decided("a", "second", "confirm", "confirmed", hours=3),
            decided("b", "open", "harmless", "harmless", hours=1),
            decided("s", "open", "confirm", "confirmed", hours=2),
        ]
    )
    row = found["2026-W49", "ivory"]
    assert (row.precision, row.wrong_allows, row.agreement, row.median_hours) == (0.5, 1.0, 1.0, 2.0)


def test_a_decision_that_was_taken_back_counts_for_nothing() -> None:
    undone = decided("a", "open", "confirm", "confirmed", hours=1)
    taken_back = {"kind": "withdrawn", "case_id": "a", "at_ms": undone["at_ms"], "details": {"decided_by": "ann"}}
    after = decided("a", "open", "harmless", "harmless", hours=2)
    row = quality([opened("a", "ivory"), undone, taken_back, after])["2026-W49", "ivory"]
    assert (row.precision, row.harmless, row.reversed, row.median_hours) == (0.0, 1, 0, 2.0)


def test_of_a_case_that_was_opened_before_the_first_event_nothing_is_counted() -> None:
    taken_back = {"kind": "withdrawn", "case_id": "a", "at_ms": MONDAY_MS, "details": {"decided_by": "ann"}}
    assert quality([taken_back, decided("a", "open", "harmless", "harmless")]) == {}


def test_an_appeal_counts_as_upheld_or_reversed_and_not_as_another_outcome() -> None:
    found = quality(
        [
            opened("a", "ivory", "parrot"),
            decided("a", "open", "confirm", "confirmed"),
            decided("a", "appealed", "harmless", "harmless", hours=24 * 8),
        ]
    )
    weeks = {"ivory": ["2026-W49", "2026-W50"], "parrot": ["2026-W49", "2026-W50"]}
    assert {label: [week for week, each in found if each == label] for label in weeks} == weeks
    assert found["2026-W50", "ivory"].reversed == 1
    assert found["2026-W50", "ivory"].precision is None


@pytest.mark.parametrize("labels", [(), ("(none)",)])
def test_a_case_without_labels_is_counted_too(labels: tuple[str, ...]) -> None:
    found = quality([opened("a", *labels), decided("a", "open", "harmless", "harmless")])
    assert found["2026-W49", "(none)"].harmless == 1
