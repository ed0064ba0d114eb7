"""What the sample clips really show, and whether a verdict agrees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildgate_client import Action, TimeSpan, Verdict

__all__ = ["ClipTruth", "disagreements", "load_truth"]

# A verdict's spans begin and end on looked-at frames, and those are at most this far apart (sampling.max_gap_s).
SPAN_SLACK_S = 2.0


@dataclass(frozen=True)
class ClipTruth:
    """The action that a clip calls for, and when each label can be seen in it."""

    name: str
    action: Action
    labels: Mapping[str, tuple[TimeSpan, ...]]

    def __str__(self) -> str:
        return f"{self.action} {', '.join(self.labels)}".rstrip()


def load_truth(path: Path) -> dict[str, ClipTruth]:
    """Reads `{"clips": {NAME: {"action": ..., "labels": {LABEL: [[start_s, end_s], ...]}, "note": ...}}}`.

    Raises `OSError`, or `ValueError` that names the clip and what is wrong with its entry.
    """
    truths = {}
    file = json.loads(path.read_text(encoding="utf-8"))
    if not (isinstance(file, dict) and isinstance(file.get("clips"), dict)):
        raise ValueError(f"{path}: has no object `clips`")
    for name, fields in file["clips"].items():
        try:
            truths[name] = _clip_truth(name, fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {name}: {error!r}") from error
    return truths


def _clip_truth(name: str, fields: Mapping[str, Any]) -> ClipTruth:
    labels = {
        label: tuple(TimeSpan(float(start_s), float(end_s)) for start_s, end_s in spans)
        for label, spans in fields["labels"].items()
    }
    return ClipTruth(name, Action(fields["action"]), labels)


def disagreements(truth: ClipTruth, verdict: Verdict) -> list[str]:
    """Everything in which the verdict differs from the truth; empty if they agree.

    They agree when the action is the same, every true label was seen in each of its spans (give or take
    `SPAN_SLACK_S`), and no other label calls for more than ALLOW.
    """
    found = []
    if verdict.action != truth.action:
        found.append(f"action is {verdict.action}")
    labels = {label.label: label for label in verdict.labels}
    for name, spans in truth.labels.items():
        if name not in labels:
            found.append(f"{name} not seen")
            continue
        for span in spans:
            if not any(_overlap(span, seen) for seen in labels[name].spans):
                found.append(f"{name} not seen at {span.start_s:g}-{span.end_s:g} s")
    for name, label in labels.items():
        if name not in truth.labels and label.action is not Action.ALLOW:
            found.append(f"{name} is not there")
    return found


def _overlap(truth: TimeSpan, seen: TimeSpan) -> bool:
    return seen.start_s <= truth.end_s + SPAN_SLACK_S and seen.end_s >= truth.start_s - SPAN_SLACK_S
