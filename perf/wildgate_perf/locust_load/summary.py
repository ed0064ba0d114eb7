"""The one page about a run: what was asked, what came of it, where the time went, which objectives hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wildgate_perf.locust_load.figures import AFTER, Figures, FiguresBy, figures_of, phases_of
from wildgate_perf.locust_load.histogram import Histogram
from wildgate_perf.locust_load.load_pictures import draw_run
from wildgate_perf.locust_load.load_shapes import WARM_UP
from wildgate_perf.locust_load.objectives import Judged, Objectives, judge
from wildgate_perf.locust_load.page import Heading, Page, Paragraph, Part, Picture, Table, write_page
from wildgate_perf.locust_load.record import SUMMARY, RunRecord
from wildgate_perf.results import write

__all__ = ["FELL_BEHIND", "loop_of", "summarise", "summary_page"]

FELL_BEHIND = 0.95
"""Users who ask for less than this share of what they were to ask for have fallen behind the offered load."""

_MOST_REASONS = 12
_ROW = ("asked/s", "answered/s", "refused", "failed", "cached", "p50 ms", "p95 ms", "p99 ms")


def summarise(folder: Path, record: RunRecord, objectives: Objectives) -> bool:
    """Writes `summary.md`, `.html` and `.json` with their pictures into `folder`; whether all objectives hold."""
    figures = figures_of(record)
    judged = judge(objectives, record.shape, record.kinds, figures)
    pictures = draw_run(folder, record, figures)
    write_page(folder, SUMMARY, summary_page(record, figures, judged, pictures))
    write(folder / f"{SUMMARY}.json", _as_json(record, figures, judged))
    return _passed(figures, judged)


def loop_of(record: RunRecord, whole: Figures) -> str:
    """What kind of loop the users were, and what that means for the latencies; see `wildgate_perf.loops`."""
    if whole.offered_per_s is None:
        return (
            "Closed loop: each user asks again as soon as it has an answer, so that a slow server is asked less. This "
            "finds out how much the server can do; latencies are those of so many users and say nothing of callers "
            "who do not wait for each other (coordinated omission)."
        )
    kept = whole.kept_share or 0.0
    text = (
        f"Paced users: each asks for {record.rate_per_user:g} videos a second as long as the answers come quickly "
        f"enough, {whole.offered_per_s:.1f}/s together; {kept:.0%} of that was asked for. "
    )
    if kept >= FELL_BEHIND:
        return text + "The offered load was kept, so the latencies are those of callers who come at this rate."
    return text + (
        "The users fell behind: who waits for an answer asks for nothing, so these latencies are lower than callers "
        "who do not wait for each other would see (coordinated omission). `make bench` measures those in an open loop."
    )


def summary_page(
    record: RunRecord,
    figures: FiguresBy,
    judged: Sequence[Judged],
    pictures: Sequence[Picture],
) -> Page:
    """The page, in plain parts."""
    whole = figures[None, None]
    passed = _passed(figures, judged)
    parts: list[Part] = [
        Paragraph(
            f"{_number(whole.answered_per_s)} answers a second over {whole.seconds:.0f} s from "
            f"{_number(whole.users)} users; p50 {_number(whole.p50_ms)} ms, p99 {_number(whole.p99_ms)} ms; "
            f"{whole.outcomes.refused} refused, {whole.outcomes.failed} failed of {whole.outcomes.asked}. "
            + _verdict(whole, passed)
        ),
        Paragraph(loop_of(record, whole)),
        *_saturation(record, figures),
        Heading("Objectives"),
        _objectives_table(judged) if judged else Paragraph("None is about this run."),
        Heading("By phase"),
        Table(
            ("phase", "users", "offered/s", *_ROW),
            [
                (phase, _number(found.users), _number(found.offered_per_s), *_cells(found))
                for phase in (*phases_of(record), AFTER)
                if (found := figures.get((phase, None)))
            ],
        ),
        Paragraph(f"What a run's figures count: all phases but {WARM_UP} and {AFTER}."),
        Heading("By kind of request"),
        Table(
            ("kind", "request MB", "response kB", *_ROW),
            [
                (
                    kind,
                    _each(found.outcomes.request_bytes, found.outcomes.asked, 1e6),
                    _each(found.outcomes.response_bytes, found.outcomes.answered, 1e3),
                    *_cells(found),
                )
                for kind in record.kinds
                if (found := figures.get((None, kind)))
            ],
        ),
        *_reasons(whole),
        Heading("Where the server's time went"),
        *_stage_tables(record, figures),
        *pictures,
        Heading("Measured with"),
        Table(("fact", "value"), [(name, str(value)) for name, value in _facts(record).items()]),
    ]
    return Page(f"Load: {record.shape}", parts)


def _passed(figures: FiguresBy, judged: Sequence[Judged]) -> bool:
    """A run without a single answer shows nothing, whatever the objectives say."""
    return all(entry.met for entry in judged) and figures[None, None].outcomes.answered > 0


def _saturation(record: RunRecord, figures: FiguresBy) -> list[Part]:
    """Where more users got no more done; of a `step` run alone."""
    steps = {phase: figures[phase, None] for phase in phases_of(record)}
    if record.shape != "step" or not steps:
        return []
    phase, best = max(steps.items(), key=lambda step: step[1].answered_per_s)
    where = "the last step: the server may be able to do more" if phase == list(steps)[-1] else phase
    return [
        Paragraph(
            f"Most got done at {where}: {_number(best.answered_per_s)} answers a second, "
            f"p50 {_number(best.p50_ms)} ms, p99 {_number(best.p99_ms)} ms."
        )
    ]


def _verdict(whole: Figures, passed: bool) -> str:
    if not whole.outcomes.answered:
        return "Nothing was answered."
    return "All objectives hold." if passed else "Objectives are missed."


def _objectives_table(judged: Sequence[Judged]) -> Table:
    return Table(
        ("about", "figure", "bound", "measured", ""),
        [
            (
                entry.about,
                entry.figure,
                f"{'at least' if entry.at_least else 'at most'} {entry.bound:g}",
                _number(entry.measured),
                "met" if entry.met else "MISSED",
            )
            for entry in judged
        ],
    )


def _cells(found: Figures) -> tuple[str, ...]:
    came = found.outcomes
    if not found.seconds:
        rates: tuple[str, str] = ("-", "-")
    else:
        rates = (_number(found.asked_per_s), _number(found.answered_per_s))
    return (
        *rates,
        str(came.refused),
        str(came.failed),
        str(came.cached),
        _number(found.p50_ms),
        _number(found.p95_ms),
        _number(found.p99_ms),
    )


def _reasons(whole: Figures) -> list[Part]:
    if not whole.outcomes.reasons:
        return []
    rows = [(reason, str(count)) for reason, count in whole.outcomes.reasons.most_common(_MOST_REASONS)]
    return [Heading("Not answered, by status and reason"), Table(("status and reason", "requests"), rows)]


def _stage_tables(record: RunRecord, figures: FiguresBy) -> list[Part]:
    kinds = [kind for kind in record.kinds if (found := figures.get((None, kind))) and found.outcomes.stages]
    if not kinds:
        return [Paragraph("No answer told of stage times.")]
    by_kind = {kind: figures[None, kind].outcomes.stages for kind in kinds}
    stages = dict.fromkeys(stage for found in by_kind.values() for stage in found)
    rows = [(stage, *(_median_and_p95(by_kind[kind].get(stage)) for kind in kinds)) for stage in stages]
    return [Paragraph("Median and p95 in milliseconds, as the answers tell."), Table(("stage", *kinds), rows)]


def _median_and_p95(durations: Histogram | None) -> str:
    if durations is None:
        return "-"
    return f"{_number(durations.percentile_ms(0.5))} / {_number(durations.percentile_ms(0.95))}"


def _facts(record: RunRecord) -> dict[str, Any]:
    mix = ", ".join(f"{kind} {weight}" for kind, weight in record.mix.items() if weight)
    return {"users by weight": mix, "locust processes": record.processes, **record.machine}


def _as_json(record: RunRecord, figures: FiguresBy, judged: Sequence[Judged]) -> dict[str, Any]:
    """The same figures for programs; `wildgate capacity check` reads `phases`."""
    return {
        "shape": record.shape,
        "mix": dict(record.mix),
        "rate_per_user": record.rate_per_user,
        "machine": dict(record.machine),
        "passed": _passed(figures, judged),
        "objectives": [
            {"about": e.about, "figure": e.figure, "bound": e.bound, "measured": e.measured, "met": e.met}
            for e in judged
        ],
        "whole": _figures_json(figures[None, None]),
        "phases": {
            phase: _figures_json(found)
            for (phase, kind), found in figures.items()
            if kind is None and phase is not None
        },
        "kinds": {
            kind: _figures_json(found) for (phase, kind), found in figures.items() if phase is None and kind is not None
        },
    }


def _figures_json(found: Figures) -> dict[str, Any]:
    came = found.outcomes
    names = (
        "seconds",
        "users",
        "offered_per_s",
        "asked_per_s",
        "answered_per_s",
        "kept_share",
        "failed_share",
        "refused_share",
    )
    return {
        **{name: getattr(found, name) for name in (*names, "cached_share", "p50_ms", "p95_ms", "p99_ms")},
        "mean_ms": came.latency.mean_ms,
        "answered": came.answered,
        "response_bytes": came.response_bytes,
        "request_bytes": came.request_bytes,
        "stages_p50_ms": {stage: durations.percentile_ms(0.5) for stage, durations in came.stages.items()},
        "stages_p95_ms": {stage: durations.percentile_ms(0.95) for stage, durations in came.stages.items()},
        "reasons": dict(came.reasons),
    }


def _number(value: float | None) -> str:
    """Three figures, or none."""
    if value is None or value != value:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _each(total: float, count: int, unit: float) -> str:
    return _number(total / count / unit) if count else "-"
