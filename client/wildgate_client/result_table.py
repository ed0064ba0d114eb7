"""Results as a table for people: one row per video."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wildgate_client import Action, LabelVerdict, StreamResult, Verdict

__all__ = ["ACTION_STYLES", "COLUMNS", "cells", "print_table", "result_table"]

COLUMNS = ("file", "action", "top label", "coverage", "ms by stage")
ACTION_STYLES = {
    Action.ALLOW: "green",
    Action.REVIEW: "yellow",
    Action.BLOCK: "bold red",
    Action.UNSPECIFIED: "magenta",
}
# Away from a terminal, a row is one line: nothing wrapped, nothing cut.
_UNBOUNDED_COLUMNS = 10_000


def cells(result: StreamResult) -> list[Text]:
    """One cell per column of `COLUMNS`; for a video that was not scored, the error's reason and message instead."""
    if result.error is not None:
        return [
            Text(result.video_id),
            Text("failed", style="bold red"),
            Text(result.error.reason),
            Text(result.error.message),
            Text(""),
        ]
    verdict = result.unwrap()
    return [
        Text(result.video_id),
        Text(verdict.action, style=ACTION_STYLES[verdict.action]),
        Text(_label(verdict.labels[0]) if verdict.labels else "-"),
        Text(_coverage(verdict)),
        Text("cached" if verdict.cached else _timings(verdict)),
    ]


def result_table(results: Iterable[StreamResult]) -> Table:
    """The table of all results, in order."""
    table = Table(*COLUMNS, box=box.SIMPLE_HEAD)
    for result in results:
        table.add_row(*cells(result))
    return table


def print_table(table: Table, file: TextIO) -> None:
    """Prints the table to fit the terminal, or as one unbroken line per row anywhere else."""
    console = Console(file=file, highlight=False)
    if console.is_terminal:
        console.print(table)
        return
    console = Console(file=io.StringIO(), highlight=False, width=_UNBOUNDED_COLUMNS)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().strip("\n").splitlines():
        if line.strip():
            print(line.rstrip(), file=file)


def _label(label: LabelVerdict) -> str:
    text = f"{label.label} {label.score:.2f}"
    if label.spans:
        # The longest stretch tells a reviewer where to look first.
        span = max(label.spans, key=lambda span: span.end_s - span.start_s)
        text += f" at {span.start_s:.1f}-{span.end_s:.1f} s"
    return text


def _coverage(verdict: Verdict) -> str:
    coverage = verdict.coverage
    length_s = coverage.last_frame_s - coverage.first_frame_s
    frames = "frame" if coverage.frames_looked_at == 1 else "frames"
    return f"{coverage.frames_looked_at} {frames} of {length_s:.1f} s, gap {coverage.longest_gap_s:.1f} s"


def _timings(verdict: Verdict) -> str:
    shown = [(timing.stage, round(timing.duration_ms)) for timing in verdict.timings]
    return ", ".join(f"{stage} {duration_ms}" for stage, duration_ms in shown if duration_ms)
