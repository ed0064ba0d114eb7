"""`make screening`: labelled queries, held-out disguises and speed; tables, a picture, figures beside aims."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib import pyplot
from rich.console import Console

from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS, Target, figure_of, read, target_table, write
from wildgate_perf.screening.labelled import labelled_queries
from wildgate_perf.screening.quality import confusion, evasions_caught, missed, step_worth
from wildgate_perf.screening.speed import in_process, served
from wildgate_search import Screener, load_lexicon

AIMS = (
    Target("held_out.by_language.all.precision", at_least=0.98),
    Target("held_out.by_language.all.recall", at_least=0.90),
    Target("held_out.by_language.all.innocent_restricted", at_most=0.005),
    Target("evasions.share", at_least=0.85),
    Target("in_process.without_pinyin_per_s", at_least=150_000),
    Target("in_process.with_pinyin_per_s", at_least=60_000),
    Target("served.batch_per_server_cpu_s", at_least=150_000),
    Target("served.unary_p99_ms", at_most=2),
    Target("served.unary_server_cpu_ms"),
    Target("in_process.memory_mib"),
    Target("served.server_rss_mib"),
)
_SEED = 2027
_MISSED = 1
_PARTS = ("quality", "evasions", "speed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 1 where an aim is missed, with `--strict` alone."""
    parser = argparse.ArgumentParser(description=__doc__, prog="wildgate-perf screening")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS, help="measure these parts again")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of screening.json, .md and .svg")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long single queries are sent")
    parser.add_argument("--strict", action="store_true", help="exit 1 where an aim is missed")
    options, console = parser.parse_args(arguments), Console(highlight=False, soft_wrap=True)
    queries = list(labelled_queries())
    held_out, tuned = ([each for each in queries if each.tuned is half] for half in (False, True))
    screener = Screener(load_lexicon())
    figures: dict[str, Any] = read(options.results / "screening.json")
    figures |= {"measured": datetime.now(UTC).isoformat(timespec="seconds"), "lexicon": screener.version}
    if "speed" in options.only:  # first, since it measures memory
        figures |= {"in_process": in_process(queries), "served": served(queries, options.seconds)}
        figures["machine"] = machine_facts(("ahocorasick-rs", "grpcio"))
    if "quality" in options.only:
        figures |= {
            "held_out": confusion(screener, held_out),
            "tuned": confusion(screener, tuned),
            "missed": missed(screener, held_out),
        }
    if "evasions" in options.only:
        figures |= {"evasions": evasions_caught(screener, held_out, _SEED), "steps": step_worth(queries, _SEED)}
    write(options.results / "screening.json", figures)
    options.results.joinpath("screening.md").write_text(_tables(figures), encoding="utf-8")
    _draw(figures, options.results / "screening.svg")
    console.print(target_table(figures, AIMS))
    results = [target.met_by(figure_of(figures, target.key)) for target in AIMS]
    return _MISSED if options.strict and False in results else 0


def _tables(figures: Mapping[str, Any]) -> str:
    """What is written to screening.md."""
    lines = [f"Lexicon {figures['lexicon']}, {figures['measured']}. Written by `make screening`.", ""]
    for half in ("held_out", "tuned"):
        rows = figures[half]["by_language"]
        lines += _table(
            f"Labelled queries, {half.replace('_', ' ')} half",
            [(name, *row.values()) for name, row in rows.items()],
            ("language", *rows["all"]),
        )
    lines += _table(
        "Held-out half by class",
        [(name, *row.values()) for name, row in figures["held_out"]["by_subject"].items()],
        ("class", "NONE", "INFORM", "RESTRICT"),
    )
    lines += _table(
        "Held-out disguises",
        [(name, *row.values()) for name, row in figures["evasions"]["by_class"].items()],
        ("disguise", "tried", "caught", "share"),
    )
    lines += _table(
        "What each step is worth, and costs in false alarms",
        [(name, *row.values()) for name, row in figures["steps"].items()],
        ("step", "caught only with it", "of", "innocent restricted only with it", "innocent informed only with it"),
    )
    for title, texts in figures["missed"].items():
        lines += [f"## {title.replace('_', ' ').capitalize()} ({len(texts)})", "", *(f"- {text}" for text in texts), ""]
    for name, texts in figures["evasions"]["missed"].items():
        lines += [f"## Missed disguises: {name} (up to 12)", "", *(f"- `{text}`" for text in texts), ""]
    return "\n".join(lines)


def _table(title: str, rows: Sequence[Sequence[object]], head: Sequence[str]) -> list[str]:
    cells = [[f"{each:.3f}" if isinstance(each, float) else str(each) for each in row] for row in rows]
    body = ["| " + " | ".join(row) + " |" for row in cells]
    return [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body, ""]


def _draw(figures: Mapping[str, Any], file: Path) -> None:
    """Recall by language, and disguises caught."""
    with pyplot.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "wildgate", "axes.grid": True, "axes.axisbelow": True}
    ):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
        rows = figures["held_out"]["by_language"]
        left.bar(list(rows), [row["recall"] for row in rows.values()], color="#0072B2")
        left.axhline(0.9, color="#666666", linestyle=":")
        left.set(title="Trade queries restricted (held-out half)", ylim=(0, 1.02))
        classes = figures["evasions"]["by_class"]
        right.barh(list(classes)[::-1], [row["share"] for row in classes.values()][::-1], color="#009E73")
        right.axvline(0.85, color="#666666", linestyle=":")
        right.set(title="Held-out disguises caught", xlim=(0, 1.02))
        figure.savefig(file, metadata={"Date": None})
        pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
