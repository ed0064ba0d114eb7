"""The commands `wildgate-build quantise` and `wildgate-build half`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wildgate_build.check.matching import MatchRule
from wildgate_build.check.verdicts import read_policy, serving_thresholds
from wildgate_build.console import failures, print_facts, say
from wildgate_build.durable_files import check_writable, write_files
from wildgate_build.frames.calibration_split import CalibrationSplit, split_frames
from wildgate_build.frames.sampled import FrameSource, video_files
from wildgate_build.precision.conversion import Int8Plan, to_half, to_int8
from wildgate_build.precision.exclusions import SearchLimits
from wildgate_build.precision.int8 import Dialect, Method
from wildgate_build.precision.outcome import Outcome
from wildgate_build.standard_file import StandardFile
from wildgate_server.repository.manifest import load_manifest

__all__ = ["half", "quantise"]

_REPOSITORY = Path("model_repository")
_THRESHOLD = 0.3

Detector = Annotated[Path, typer.Argument(metavar="DETECTOR.onnx", help="A standard detector file in fp32.")]
Videos = Annotated[
    list[Path],
    typer.Option(help="A video or a folder of videos, like those to be scored; give it as often as you like."),
]
Output = Annotated[Path, typer.Option(help="The file to write.")]
Frames = Annotated[int, typer.Option(help="Frames to calibrate on, and as many to compare on, at most.", min=16)]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="A node to leave in fp32, or a pattern such as '*/head/*'; as often as you like."),
]
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
    runtime: Annotated[Dialect, typer.Option(help="What will run the file; no one file serves both.")] = Dialect.CPU,
    frames: Frames = 256,
    method: Annotated[Method, typer.Option(help="How activations' ranges are chosen.")] = Method.MINMAX,
    exclude: Exclude = None,
    leave_out_bars: Annotated[
        bool,
        typer.Option("--leave-out-bars", help="Compute nothing for the letterbox; on CPUs."),
    ] = False,
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
    with failures():
        _require_writable(detector, output, report)
        file, rule = _open(detector, policy, threshold)
        split = _frames(file, videos, frames, repository)
        letterbox = load_manifest(repository).letterbox_value if leave_out_bars else None
        plan = Int8Plan(runtime, method, tuple(exclude or ()), SearchLimits(max_loss, search_minutes * 60), letterbox)
        converted = to_int8(file, split, plan, rule)
        facts = {
            "precision": "int8",
            "for_runtime": runtime.value,
            "method": method.value,
            "calibration_frames": len(split.calibration),
            "bars_left_out": leave_out_bars,
        }
        _finish(Outcome(file, converted, facts, max_loss, split.same_videos), output, report)


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
    with failures():
        _require_writable(detector, output, report)
        file, rule = _open(detector, policy, threshold)
        split = _frames(file, videos, frames, repository)
        converted = to_half(file, split.held_out, tuple(exclude or ()), rule)
        _finish(Outcome(file, converted, {"precision": "fp16"}, max_loss, same_videos=None), output, report)


def _require_writable(detector: Path, output: Path, report: Path | None) -> None:
    check_writable(output, inputs=[detector])
    if report:
        check_writable(report, inputs=[detector, output])


def _open(detector: Path, policy: Path | None, threshold: float) -> tuple[StandardFile, MatchRule]:
    file = StandardFile.read(detector)
    return file, MatchRule(serving_thresholds(read_policy(policy), file.properties.labels, threshold))


def _frames(file: StandardFile, videos: list[Path], most: int, repository: Path) -> CalibrationSplit:
    return split_frames(FrameSource(repository, file.frames, file.side), video_files(videos), most)


def _finish(outcome: Outcome, output: Path, report: Path | None) -> None:
    """Prints, and writes the report and, unless it is refused, the file."""
    refusals = outcome.refusals
    files = {} if refusals else {output: outcome.content}
    if report:
        files[report] = (json.dumps(outcome.report(), indent=2) + "\n").encode()
    write_files(files)
    print_facts(outcome.lines())
    if refusals:
        say(f"refused: {'; '.join(refusals)}; no detector written", "red")
        raise typer.Exit(1)
    say(f"wrote {output}")
