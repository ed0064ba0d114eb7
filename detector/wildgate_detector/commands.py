"""The commands about the reference detector: train, evaluate, calibrate, film clips, film the samples."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from wildgate_build.console import fail, say
from wildgate_detector.evaluate import ClipScorer, Figure
from wildgate_detector.filming import ClipPlan, LabelledClip
from wildgate_detector.labels import LABELS
from wildgate_detector.stamps import Stamps, StampsMissingError, load_stamps

PROGRAM = "python -m wildgate_detector"
SERVER_LOG = Path("out/evaluate/server.log")
REPOSITORY = Path("model_repository")
TRAINED = Path("out/train/detector.onnx")
TORCH = "torch is not installed; install it with: pip install torch==2.13.0"

PROCESSES = os.cpu_count() or 1
Processes = Annotated[int, typer.Option(help="Processes that film clips.", min=1)]

FRAME_PROPS = 224
"""The size in pixels at which props are rendered for single frames."""


def _fail(message: str) -> NoReturn:
    fail(message, "wildgate_detector")


def _stamps() -> Stamps:
    try:
        return load_stamps()
    except StampsMissingError as error:
        _fail(str(error))


def _serving_model() -> Path:
    """The graph that serves on CPUs, as the repository's rollout says."""
    from wildgate_server.repository.releases import ReleaseError, load_rollout, version_directory

    try:
        return version_directory(REPOSITORY, load_rollout(REPOSITORY).serving) / "model.onnx"
    except ReleaseError as error:
        _fail(f"no detector serves here ({error}); name one with --model, or make one with: {PROGRAM} train")


def _existing(graph: Path) -> Path:
    if not graph.is_file():
        _fail(f"there is no detector at {graph}; make one with: {PROGRAM} train")
    return graph


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The folder for clips: `keep`, made if need be, or one that goes with the context."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def train(
    minutes: Annotated[float, typer.Option(help="Wall-clock time to train for.", min=0.1)] = 150.0,
    threads: Annotated[int, typer.Option(help="Threads for the network; one more composes.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the composed scenes.", min=0)] = 0,
    folder: Annotated[Path, typer.Option(help="Where checkpoints and the log go.")] = Path("out/train"),
    start_from: Annotated[Path | None, typer.Option(help="A checkpoint to go on from.")] = None,
    output: Annotated[Path, typer.Option(help="The graph to write.")] = TRAINED,
) -> None:
    """Train the reference detector on composed scenes and export the standard graph."""
    _stamps()
    try:
        from wildgate_detector.export import export
        from wildgate_detector.train import TrainingPlan
        from wildgate_detector.train import train as run
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        _fail(TORCH)
    plan = TrainingPlan(minutes=minutes, folder=folder, seed=seed, threads=threads, start_from=start_from)
    say(f"training for {minutes:g} minutes; the log is {folder}/log.jsonl")
    export(run(plan), output)
    say(f"wrote {output}; measure it with: {PROGRAM} evaluate --model {output}")


def evaluate(
    clips: Annotated[int, typer.Option(help="Clips that show labels.", min=1)] = 120,
    harmless: Annotated[int, typer.Option(help="Clips without a label.", min=0)] = 240,
    misleading: Annotated[int, typer.Option(help="Clips of look-alikes and other animals.", min=0)] = 160,
    disturbed: Annotated[int, typer.Option(help="Clips shown anew under each disturbance; 0: none.", min=0)] = 60,
    frames: Annotated[int, typer.Option(help="Composed frames for mAP50.", min=1)] = 400,
    seed: Annotated[int, typer.Option(help="Seed of clips and frames; none is shared with training.", min=0)] = 10,
    processes: Processes = PROCESSES,
    keep: Annotated[Path | None, typer.Option(help="Keep the clips in this folder.")] = None,
    model: Annotated[Path | None, typer.Option(help="Another standard graph; looked at without a server.")] = None,
    against: Annotated[Path | None, typer.Option(help="A second graph, compared on the same clips.")] = None,
) -> None:
    """Score fresh clips and frames and hold the figures against their aims; exit 1 where one is missed.

    The shipped detector is scored through a server of its own, with the shipped policy. With --model any graph is
    scored in this process; with --against two graphs are compared, and no aim is asked for.
    """
    first = _existing(model or _serving_model())
    if against is not None:
        _existing(against)
    _stamps()
    extent = _Extent(ClipPlan(seed, clips, harmless, misleading), frames, disturbed, processes)
    with _folder(keep) as folder:
        if against is not None:
            _compare((first, against), extent, folder)
        elif not all(figure.met for figure in _measure(first, extent, folder, through_server=model is None)):
            raise typer.Exit(1)


@dataclass(frozen=True)
class _Extent:
    """How much to measure, with how many `processes` filming."""

    clip_plan: ClipPlan
    frames: int
    disturbed: int
    processes: int


def _measure(model: Path, extent: _Extent, folder: Path, *, through_server: bool) -> list[Figure]:
    """Measure one graph, its clips `through_server` where it is the one that serves; print and return the figures."""
    from wildgate_detector.disturbances import DISTURBANCES
    from wildgate_detector.evaluate import clip_figures, disturbed_figure, evaluate, frame_figure
    from wildgate_detector.filming import filming_pool
    from wildgate_detector.frame_quality import average_precisions, known_frames, mean_precision
    from wildgate_detector.offline import Detector
    from wildgate_detector.props import PropRoom

    detector = Detector(model)
    shown: list[LabelledClip] = []

    def note(clip: LabelledClip, got: set[str]) -> None:
        if clip.labels:
            shown.append(clip)
        if got != set(clip.labels):
            wanted, found = ", ".join(clip.labels) or "nothing", ", ".join(sorted(got)) or "nothing"
            say(f"{clip.path.name}: shows {wanted}, found {found}")

    with filming_pool(extent.processes) as pool, _scorer(None if through_server else model) as scorer:
        tally = evaluate(scorer, pool.film(extent.clip_plan.recipes(), folder), note)
        some = shown[: extent.disturbed]
        after = {
            disturbance.name: evaluate(scorer, pool.disturb(some, disturbance), lambda clip, got: None)
            for disturbance in (DISTURBANCES if some else ())
        }
    room = PropRoom(_stamps(), FRAME_PROPS)
    precision = average_precisions(detector, known_frames(room, extent.frames, extent.clip_plan.seed, detector.side))
    table = Table("label", "shown", "found", "wrongly found", "AP50")
    for label in LABELS:
        counts = (tally.shown[label], tally.found[label], tally.wrong[label])
        table.add_row(label, *map(str, counts), "-" if isnan(precision[label]) else f"{precision[label]:.2f}")
    Console().print(table)
    figures = [frame_figure(mean_precision(precision), extent.frames), *clip_figures(tally)]
    figures += [disturbed_figure(name, result) for name, result in after.items()]
    for figure in figures:
        say(str(figure))
    return figures


@contextmanager
def _scorer(model: Path | None) -> Iterator[ClipScorer]:
    """What scores clips: a server of its own with the shipped detector (None), or any graph in this process."""
    from wildgate_detector.offline import Detector, OfflineScorer
    from wildgate_detector.served import served
    from wildgate_server.policy import load_policy

    if model is not None:
        yield OfflineScorer(Detector(model), load_policy())
        return
    with served(SERVER_LOG) as scorer:
        yield scorer


def _compare(models: tuple[Path, Path], extent: _Extent, folder: Path) -> None:
    """Measure two graphs on the same frames and clips and print their differences."""
    from wildgate_detector.comparison import qualities
    from wildgate_detector.filming import Kind, filming_pool
    from wildgate_detector.frame_quality import known_frames
    from wildgate_detector.offline import Detector
    from wildgate_detector.props import PropRoom
    from wildgate_server.policy import load_policy

    detectors = [Detector(model) for model in models]
    clip_plan = extent.clip_plan
    frames = known_frames(PropRoom(_stamps(), FRAME_PROPS), extent.frames, clip_plan.seed, detectors[0].side)
    with filming_pool(extent.processes) as pool:
        first, second = qualities(detectors, load_policy(), frames, pool.film(clip_plan.recipes(), folder))
    rows = [("mAP50", first.map50, second.map50), ("video-level recall", first.tally.recall, second.tally.recall)]
    for kind in (Kind.HARMLESS, Kind.MISLEADING):
        alarms = first.tally.false_alarms(kind), second.tally.false_alarms(kind)
        rows.append((f"false alarms, {kind} clips", *alarms))
    table = Table("figure", str(models[0]), str(models[1]), "difference")
    for name, one, other in rows:
        table.add_row(name, f"{one:.4f}", f"{other:.4f}", f"{other - one:+.4f}")
    Console().print(table)


def calibrate(
    clips: Annotated[int, typer.Option(help="Clips that show labels.", min=34)] = 500,
    harmless: Annotated[int, typer.Option(help="Clips without a label, as they come.", min=100)] = 1000,
    misleading: Annotated[int, typer.Option(help="Clips of look-alikes and other animals.", min=0)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the clips; none is shared with evaluation.", min=0)] = 10,
    false_alarms: Annotated[float, typer.Option(help="Quiet clips that may alarm, a share.", min=0)] = 0.009,
    least_recall: Annotated[float, typer.Option(help="No label may be found less often.", min=0, max=1)] = 0.0,
    model: Annotated[Path | None, typer.Option(help="The standard graph; by default the one that serves.")] = None,
    processes: Processes = PROCESSES,
) -> None:
    """Choose a review threshold for each label; copy what it prints into the policy."""
    from wildgate_detector.calibrate import choose, collect
    from wildgate_detector.filming import filming_pool
    from wildgate_detector.offline import Detector
    from wildgate_detector.seeds import Purpose

    graph = _existing(model or _serving_model())
    _stamps()
    clip_plan = ClipPlan(seed, clips, harmless, misleading, Purpose.CALIBRATE)
    with _folder(None) as folder, filming_pool(processes) as pool:
        evidence = collect(Detector(graph), pool.film(clip_plan.recipes(), folder, whole=False))
    for label, threshold in choose(evidence, false_alarms, least_recall).items():
        known = evidence[label]
        found = sum(score >= threshold for score in known.shown)
        alarms = sum(score >= threshold for score in known.absent)
        counted = f"found {found} of {len(known.shown)}   alarms {alarms} of {len(known.absent)}"
        say(f"{label:20} {threshold:.2f}   {counted}")


def curve(
    model: Annotated[Path | None, typer.Option(help="The standard graph; by default the one that serves.")] = None,
    archives: Annotated[Path | None, typer.Option(help="Where gcompris-qt-data's archives lie.")] = None,
) -> None:
    """Fit the live animals' curve to photographs, and say how right the shipped policy is on them.

    The curve is fitted and judged on the same pictures, for there are few: judge it on others before trusting it.
    """
    from wildgate_detector.curve import gather, interval
    from wildgate_detector.offline import Detector
    from wildgate_detector.photographs import FOLDER, photographs
    from wildgate_server.policy import load_policy

    detector = Detector(_existing(model or _serving_model()))
    try:
        shown = list(photographs(_stamps(), archives or FOLDER))
    except StampsMissingError as error:
        _fail(str(error))
    evidence, verdicts = gather(
        detector, load_policy(), shown, lambda photograph, got: say(f"shows {photograph.label}, found {got}")
    )
    bias, weight = evidence.fit()
    bins, miscalibrated = evidence.reliability(bias, weight)
    say(f"accumulation: {{bias: {bias:.2f}, weight: {weight:.2f}}}; expected calibration error {miscalibrated:.3f}")
    say("reliability: " + ", ".join(f"{told:.2f} was {true:.2f}" for told, true in bins))
    for name, listed in (("listed animals found", True), ("others let be", False)):
        each = [good for is_listed, good in verdicts if is_listed == listed]
        low, high = interval(sum(each), len(each))
        say(f"{name}: {sum(each)} of {len(each)} (95 %: {low:.2f} to {high:.2f})")


def film(
    folder: Annotated[Path, typer.Argument(help="Where the clips go.")],
    clips: Annotated[int, typer.Option(help="Clips that show labels.", min=1)] = 60,
    harmless: Annotated[int, typer.Option(help="Clips without a label.", min=0)] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the clips; none is shared with another purpose.", min=0)] = 0,
    processes: Processes = PROCESSES,
) -> None:
    """Film clips to quantise with: `wildgate-build quantise --videos FOLDER`."""
    from wildgate_detector.filming import filming_pool
    from wildgate_detector.seeds import Purpose

    _stamps()
    clip_plan = ClipPlan(seed, clips, harmless, 0, Purpose.QUANTISE)
    with _folder(folder) as place, filming_pool(processes) as pool:
        filmed = sum(1 for _ in pool.film(clip_plan.recipes(), place))
    say(f"{filmed} clips in {folder}")


def samples(
    folder: Annotated[Path, typer.Option(help="Where the clips and truth.json go.")] = Path("samples"),
) -> None:
    """Film the sample clips and write the truth about them."""
    from wildgate_detector.filming import PROP_SIDE
    from wildgate_detector.props import PropRoom
    from wildgate_detector.samples import write_samples

    write_samples(folder, PropRoom(_stamps(), PROP_SIDE), lambda name, size: say(f"{name}: {size} bytes"))
