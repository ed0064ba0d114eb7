"""The commands `wildgate-build quantise` and `wildgate-build half`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from wildgate_build.facts import print_facts
from wildgate_build.failures import BuildError, fail

if TYPE_CHECKING:
    from wildgate_build.check.matching import MatchRule
    from wildgate_build.frames.sets import FrameSets
    from wildgate_build.precision.outcome import Outcome
    from wildgate_build.standard_file import StandardFile

__all__ = ["half", "quantise"]

_REPOSITORY = Path("model_repository")
_THRESHOLD = 0.3


class RuntimeName(StrEnum):
    """What will run the file; no one file serves both."""

    CPU = "cpu"
    TENSORRT = "tensorrt"


class MethodName(StrEnum):
    """How the range of an activation is chosen."""

    MINMAX = "minmax"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"


Detector = Annotated[Path, typer.Argument(metavar="DETECTOR.onnx", help="A standard detector file in fp32.")]
Videos = Annotated[
    list[Path],
    typer.Option(help="A video or a folder of videos, like those to be scored; give it as often as you like."),
]
Output = Annotated[Path, typer.Option(help="The file to write.")]
Frames = Annotated[int, typer.Option(help="Frames to calibrate on, and as many to compare on, at most.", min=16)]
Exclude = Annotated[list[str] | None, typer.Option(help="A node to leave in fp32; give it as often as you like.")]
MaxLoss = Annotated[
    float,
    typer.Option(help="Write no detector past this loss: 1 - F1, with fp32's detections as the truth.", min=0, max=1),
]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="Its thresholds say what counts; the shipped one by default.")
]
Threshold = Annotated[
    float, typer.Option(help="The score that counts for labels that the policy has no rule for.", min=0.05, max=1)
]
Repository = Annotated[Path, typer.Option(help="Its decoder and manifest make the frames.")]
Report = Annotated[Path | None, typer.Option(help="Write the figures here as JSON.")]


def quantise(
    detector: Detector,
    videos: Videos,
    output: Output,
    runtime: Annotated[RuntimeName, typer.Option(help="What will run the file.")] = RuntimeName.CPU,
    frames: Frames = 256,
    method: Annotated[MethodName, typer.Option(help="How activations' ranges are chosen.")] = MethodName.MINMAX,
    exclude: Exclude = None,
    max_loss: MaxLoss = 0.01,
    search_minutes: Annotated[
        float, typer.Option(help="Past the loss, look so long for operators to leave in fp32; 0: do not.", min=0)
    ] = 5.0,
    policy: PolicyFile = None,
    threshold: Threshold = _THRESHOLD,
    repository: Repository = _REPOSITORY,
    report: Report = None,
) -> None:
    """Write the detector in INT8, and say what that cost and gained.

    Past --max-loss, or with fewer than half of the operators in INT8, no detector is written and the exit status is 1.
    """
    from wildgate_build.precision.conversion import Int8Plan, to_int8
    from wildgate_build.precision.exclusions import Budget
    from wildgate_build.precision.int8 import Dialect, Method
    from wildgate_build.precision.outcome import Outcome

    try:
        _require_writable(detector, output, report)
        file, rule = _open(detector, policy, threshold)
        sets = _frames(file, videos, frames, repository)
        budget = Budget(max_loss, search_minutes * 60)
        plan = Int8Plan(Dialect(runtime.value), Method(method.value), tuple(exclude or ()), budget)
        converted = to_int8(file, sets, plan, rule)
        facts = {
            "precision": "int8",
            "for_runtime": runtime.value,
            "method": method.value,
            "calibration_frames": len(sets.calibration),
        }
        _finish(Outcome(file, converted, facts, max_loss, sets.same_videos), output, report)
    except BuildError as error:
        fail(error)


def half(
    detector: Detector,
    videos: Videos,
    output: Output,
    frames: Frames = 256,
    exclude: Exclude = None,
    max_loss: MaxLoss = 0.01,
    policy: PolicyFile = None,
    threshold: Threshold = _THRESHOLD,
    repository: Repository = _REPOSITORY,
    report: Report = None,
) -> None:
    """Write the detector with its body in fp16, and say what that cost.

    Past --max-loss no detector is written and the exit status is 1. For GPUs: CPUs compute fp16 in fp32 and lose time.
    """
    from wildgate_build.precision.conversion import to_half
    from wildgate_build.precision.outcome import Outcome

    try:
        _require_writable(detector, output, report)
        file, rule = _open(detector, policy, threshold)
        sets = _frames(file, videos, frames, repository)
        converted = to_half(file, sets.held_out, tuple(exclude or ()), rule)
        _finish(Outcome(file, converted, {"precision": "fp16"}, max_loss, same_videos=None), output, report)
    except BuildError as error:
        fail(error)


def _require_writable(detector: Path, output: Path, report: Path | None) -> None:
    from wildgate_build.output_files import check_writable

    check_writable(output, inputs=[detector])
    if report:
        check_writable(report, inputs=[detector, output])


def _open(detector: Path, policy: Path | None, threshold: float) -> tuple[StandardFile, MatchRule]:
    from wildgate_build.check.matching import MatchRule
    from wildgate_build.check.verdicts import read_policy, serving_thresholds
    from wildgate_build.standard_file import StandardFile

    file = StandardFile.read(detector)
    return file, MatchRule(serving_thresholds(read_policy(policy), file.properties.labels, threshold))


def _frames(file: StandardFile, videos: list[Path], most: int, repository: Path) -> FrameSets:
    from wildgate_build.frames.sampled import FrameSource, video_files
    from wildgate_build.frames.sets import choose_frames

    return choose_frames(FrameSource(repository, file.frames, file.side), video_files(videos), most)


def _finish(outcome: Outcome, output: Path, report: Path | None) -> None:
    """Prints, and writes the report and the file, the file only when nothing speaks against it."""
    from wildgate_build.output_files import write_files

    refusals = outcome.refusals
    files = {} if refusals else {output: outcome.content}
    if report:
        files[report] = (json.dumps(outcome.report(), indent=2) + "\n").encode()
    write_files(files)
    console = Console(soft_wrap=True, highlight=False)
    print_facts(console, outcome.lines())
    if refusals:
        console.print(f"refused: {'; '.join(refusals)}; no detector written", style="red", markup=False)
        raise typer.Exit(1)
    console.print(f"wrote {output}", markup=False)
