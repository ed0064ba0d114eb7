"""How good verdicts and decisions are, by label and week, told from the log of events alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

__all__ = ["Quality", "quality"]

_HOUR_MS = 3_600_000
_NO_LABEL = "(none)"


@dataclass(slots=True)
class Quality:
    """Counts of one label's cases that were decided in one ISO week; a case with two labels counts for both.

    `confirmed` and `harmless` are first outcomes of what the verdicts asked to look at; `samples` are ALLOWs that were
    looked at anyway, and `wrong_samples` those of them that should not have been. `agreed` and `disagreed` are second
    persons, `upheld` and `reversed` judged appeals.
    """

    confirmed: int = 0
    harmless: int = 0
    samples: int = 0
    wrong_samples: int = 0
    agreed: int = 0
    disagreed: int = 0
    upheld: int = 0
    reversed: int = 0
    hours: list[float] = field(default_factory=list)

    @property
    def precision(self) -> float | None:
        """Of what the verdicts asked to look at, the share that was confirmed."""
        return _share(self.confirmed, self.harmless)

    @property
    def wrong_allows(self) -> float | None:
        """Of the sampled ALLOWs, the share that was confirmed."""
        return _share(self.wrong_samples, self.samples - self.wrong_samples)

    @property
    def agreement(self) -> float | None:
        """Of the second persons, the share that agreed."""
        return _share(self.agreed, self.disagreed)

    @property
    def median_hours(self) -> float | None:
        """From opening to the first outcome."""
        return median(self.hours) if self.hours else None


def quality(events: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Quality]:
    """By week ("2026-W48") and label, from events in their order; of cases that were opened by one of them."""
    opened: dict[str, Mapping[str, Any]] = {}
    decisions: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if event["kind"] == "opened":
            opened[event["case_id"]] = event
        elif event["kind"] == "decided":
            decisions[event["case_id"]].append(event)
        elif event["kind"] == "withdrawn":
            person, made = event["details"]["decided_by"], decisions[event["case_id"]]
            if theirs := [at for at, each in enumerate(made) if each["actor"] == person]:
                del made[theirs[-1]]
    found: defaultdict[tuple[str, str], Quality] = defaultdict(Quality)
    for case_id in decisions.keys() & opened.keys():
        start, outcome = opened[case_id], None
        for event in decisions[case_id]:
            week = datetime.fromtimestamp(event["at_ms"] / 1e3, UTC).strftime("%G-W%V")
            for label in start["details"]["labels"] or (_NO_LABEL,):
                _count(found[week, label], start, event, outcome)
            if event["details"]["state"] in ("confirmed", "harmless"):
                outcome = event["details"]["state"]
    return dict(sorted(found.items()))


def _count(row: Quality, start: Mapping[str, Any], event: Mapping[str, Any], outcome: str | None) -> None:
    decided = event["details"]
    if decided["before"] == "second":
        row.agreed += decided["step"] == "confirm"
        row.disagreed += decided["step"] == "disagree"
    if decided["state"] not in ("confirmed", "harmless"):
        return
    if outcome is not None:
        row.upheld += decided["state"] == outcome
        row.reversed += decided["state"] != outcome
        return
    row.hours.append((event["at_ms"] - start["at_ms"]) / _HOUR_MS)
    confirmed = decided["state"] == "confirmed"
    if start["details"]["sample"]:
        row.samples += 1
        row.wrong_samples += confirmed
    else:
        row.confirmed += confirmed
        row.harmless += not confirmed


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None
