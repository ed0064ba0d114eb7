"""The command `wildgate-build check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wildgate_build.check.comparison import Comparison, EvaluationSet, Tolerance, compare_files
from wildgate_build.check.verdicts import read_policy
from wildgate_build.console import failures, print_facts, say
from wildgate_build.durable_files import check_writable, write_files

__all__ = ["check"]

_REPOSITORY = Path("model_repository")


def check(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE.onnx", help="A standard detector file, run on the CPU.")
    ],
    candidate: Annotated[
        Path, typer.Argument(help="What is to detect the same: a standard file (.onnx) or an engine (.plan, .rtx).")
    ],
    videos: Annotated[list[Path], typer.Option(help="A video or a folder of videos; give it as often as you like.")],
    iou: Annotated[float, typer.Option(help="Overlap from which two boxes are one.", min=0.01, max=1)] = 0.5,
    max_box: Annotated[float, typer.Option(help="Largest difference of an edge, in sides of the frame.", min=0)] = 0.02,
    max_score: Annotated[float, typer.Option(help="Largest difference of a score.", min=0)] = 0.05,
    max_unmatched: Annotated[float, typer.Option(help="Largest share of detections without a partner.", min=0)] = 0.01,
    max_verdict_changes: Annotated[
        float, typer.Option(help="Largest share of videos judged differently.", min=0)
    ] = 0.01,
    policy: Annotated[Path | None, typer.Option(help="The policy file; the shipped one by default.")] = None,
    repository: Annotated[Path, typer.Option(help="Its decoder and manifest make the frames.")] = _REPOSITORY,
    report: Annotated[Path | None, typer.Option(help="Write the figures here as JSON.")] = None,
) -> None:
    """Show two detectors the same frames; exit 1 when the candidate is past a tolerance."""
    tolerance = Tolerance(max_box, max_score, max_unmatched, max_verdict_changes)
    with failures():
        if report:
            check_writable(report, inputs=[reference, candidate])
        result = compare_files(reference, candidate, EvaluationSet(videos, repository, read_policy(policy), iou))
        beyond = result.beyond(tolerance)
        if report:
            figures = {"reference": str(reference), "candidate": str(candidate), **result.summary(), "beyond": beyond}
            write_files({report: (json.dumps(figures, indent=2) + "\n").encode()})
    _print(result, beyond)
    if beyond:
        raise typer.Exit(1)


def _print(result: Comparison, beyond: list[str]) -> None:
    figures = result.differences.summary()
    missing, extra = figures["missing"], figures["extra"]
    print_facts(
        {
            "compared": f"{result.videos} videos, {figures['frames']} frames",
            "detected by both": f"{figures['pairs']}",
            "only by the reference": f"{missing}, {figures['near_missing']} of them near the threshold",
            "only by the candidate": f"{extra}, {figures['near_extra']} of them near the threshold",
            "score difference": f"largest {figures['score_largest']:.4f}, 99 % below {figures['score_p99']:.4f}",
            "box difference": f"largest {figures['box_largest']:.4f}, 99 % below {figures['box_p99']:.4f}",
            "other verdicts": f"{len(result.changes)} of {result.videos} videos",
        },
    )
    for note in result.notes:
        say(note, "yellow")
    for change in result.changes:
        say(f"{change.video}: {change.reference} became {change.candidate}")
    for line in beyond:
        say(line, "red")
