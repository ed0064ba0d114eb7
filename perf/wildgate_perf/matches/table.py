"""Shares of disguises that are recognised, and what is recognised wrongly, as figures, a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib import pyplot

from wildgate_perf.matches.recognition import Found, How
from wildgate_perf.matches.strangers import ALL_EDITS
from wildgate_perf.results import Target

__all__ = ["AIMS", "Outcome", "drawn", "figures_of", "table_of"]

AIMS = (
    Target("mean_recall", at_least=0.85),
    Target("worst_recall", at_least=0.7),
    Target("false_blocks", at_most=0),
    Target("pairs", at_least=5000),
)
"""For disguises that are asked for. A cut that leaves less than three seconds is not counted."""

_SHORT_S = 3.0
_CONFIDENCE = 0.95
_NOT_BLOCKED = frozenset(edit.name for edit in ALL_EDITS if not edit.blocked)


@dataclass(frozen=True)
class Outcome:
    """What became of one video: which `edit` of which `source` (none of a stranger), and which known ones it is."""

    edit: str
    source: str
    seconds: float
    found: tuple[Found, ...]

    @property
    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def how(self, video: str) -> How | None:
        """How `video` was found."""
        return next((each.how for each in self.found if each.video == video), None)

    @property
    def wrong(self) -> list[Found]:
        """What it was blocked for and is not."""
        theirs = "" if self.edit in _NOT_BLOCKED else self.source
        return [each for each in self.found if each.video != theirs and each.how is not How.REVIEW]


def figures_of(outcomes: Sequence[Outcome], known: Sequence[str]) -> dict[str, Any]:
    """All figures, those of AIMS among them; the bound is that of `false_blocks` at 95 % confidence, of all pairs."""
    edits: dict[str, Any] = {}
    for edit in ALL_EDITS:
        copies = [one for one in outcomes if one.edit == edit.name and (not edit.cut_s or one.seconds >= _SHORT_S)]
        if copies:
            by = [one.how(one.source) for one in copies]
            shares = {how.value: by.count(how) / len(by) for how in How}
            recall = shares[How.FULL.value] + shares[How.CONFIRMED.value]
            edits[edit.name] = {"asked": edit.asked, "videos": len(by), "recall": recall, **shares}
    pairs = sum(len(known) - (one.source in known and one.edit not in _NOT_BLOCKED) for one in outcomes)
    wrong = [(one, found) for one in outcomes for found in one.wrong]
    reviewed = sum(each.how is How.REVIEW and each.video != one.source for one in outcomes for each in one.found)
    recalls = [of_edit["recall"] for of_edit in edits.values() if of_edit["asked"]]
    return {
        "sources": len(known),
        "strangers": sum(not one.edit for one in outcomes),
        "edits": edits,
        "mean_recall": mean(recalls) if recalls else None,
        "worst_recall": min(recalls, default=None),
        "pairs": pairs,
        "false_blocks": len(wrong),
        "false_blocks_share_bound": -log(1 - _CONFIDENCE) / pairs if pairs and not wrong else None,
        "false_reviews": reviewed,
        "wrong": [{"edit": one.edit, "source": one.source, **asdict(found)} for one, found in wrong],
    }


def table_of(figures: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        "# Disguised copies of known videos",
        "",
        f"`make matches`: {figures['sources']} sources, {figures['strangers']} strangers. *Recall* is the share that",
        "is blocked, by full pictures alone or once keypoints confirm what the index names. Aims are for the disguises",
        "in italics; one picture of it is not to be blocked.",
        "",
        "| disguise | videos | recall | full pictures | keypoints | review |",
        "|---|---|---|---|---|---|",
    ]
    for name, of_edit in figures["edits"].items():
        shares = " | ".join(f"{of_edit[how.value]:.2f}" for how in How)
        shown = f"*{name}*" if of_edit["asked"] else name
        lines.append(f"| {shown} | {of_edit['videos']} | **{of_edit['recall']:.2f}** | {shares} |")
    bound, kept = figures["false_blocks_share_bound"], figures["bytes_kept"]
    at_most = f", so at most {bound:.2g} of pairs (95 % confidence)" if bound else ""
    lines += [
        "",
        f"Mean recall {figures['mean_recall']:.3f}, worst {figures['worst_recall']:.2f}. False blocks:"
        f" {figures['false_blocks']} of {figures['pairs']} pairs{at_most};",
        f"{figures['false_reviews']} call for review. Keypoints kept of a video: {kept['mean']:,} bytes,"
        f" {kept['most']:,} at most.",
    ]
    return "\n".join(lines) + "\n"


def drawn(figures: Mapping[str, Any], file: Path) -> None:
    """A bar for each disguise."""
    names = [*figures["edits"]][::-1]
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    left = [0.0] * len(names)
    for how, colour in zip(How, ("#1b7837", "#7fbf7b", "#d9d9d9"), strict=True):
        widths = [figures["edits"][name][how.value] for name in names]
        axes.barh(names, widths, left=left, color=colour, label=how.value)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.axvline(AIMS[0].at_least or 0, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of disguised copies")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
