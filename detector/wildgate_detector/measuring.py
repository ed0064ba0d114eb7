"""The commands that measure: evaluate, calibrate, fit the curve, judge by a team's own pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from wildgate_build.console import say
from wildgate_detector.command_line import (
    ARCHIVES_FOLDER,
    NATURE,
    PROCESSES,
    PROGRAM,
    TRAINED,
    Archives,
    Nature,
    Processes,
    existing,
    fail_with,
    folder_for,
    own_or_fail,
    stamps_or_fail,
)
from wildgate_detector.evaluate import ClipScorer, Figure
from wildgate_detector.filming import ClipPlan, LabelledClip
from wildgate_detector.labels import LABELS, PRODUCTS
from wildgate_detector.own_pictures import OwnPicturesError
from wildgate_detector.photographs import Folders, photographs
from wildgate_detector.stamps import StampsMissingError

SERVER_LOG = Path("out/evaluate/server.log")
REPOSITORY = Path("model_repository")

FRAME_PROPS = 224
"""The size in pixels at which props are rendered for single frames."""


def _serving_model() -> Path:
    """The graph that serves on CPUs, as the repository's rollout says."""
    from wildgate_server.repository.releases import ReleaseError, load_rollout, version_directory

    try:
        return version_directory(REPOSITORY, load_rollout(REPOSITORY).serving) / "model.onnx"
    except ReleaseError as error:
        fail_with(f"no detector serves here ({error}); name one with --model, or make one with: {PROGRAM} train")


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
    first = existing(model or _serving_model())
    if against is not None:
        existing(against)
    stamps_or_fail()
    extent = _Extent(ClipPlan(seed, clips, harmless, misleading), frames, disturbed, processes)
    with folder_for(keep) as folder:
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
    room = PropRoom(stamps_or_fail(), FRAME_PROPS)
    precision = average_precisions(detector, known_frames(room, extent.frames, extent.clip_plan.seed, detector.side))
    table = Table("label", "shown", "found", "wrongly found", "AP50")
    for label in LABELS:
        counts = (tally.shown[label], tally.found[label], tally.wrong[label])
        table.add_row(label, *map(str, counts), "-" if isnan(precision[label]) else f"{precision[label]:.2f}")
    Console().print(table)
    figures = [
        frame_figure(mean_precision({label: precision[label] for label in PRODUCTS}), extent.frames),
        *clip_figures(tally),
    ]
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
    frames = known_frames(PropRoom(stamps_or_fail(), FRAME_PROPS), extent.frames, clip_plan.seed, detectors[0].side)
    with filming_pool(extent.processes) as pool:
        first, second = qualities(detectors, load_policy(), frames, pool.film(clip_plan.recipes(), folder))
    rows = [("mAP50", first.map50, second.map50), ("video-level recall", first.tally.recall, second.tally.recall)]
    for kind in (Kind.HARMLESS, Kind.MISLEADING):
        alarms = first.tally.false_alarms(kind), second.tally.false_alarms(kind)
        rows.append((f"false alarms, {kind} clips", *alarms))
    rows.append(("live animals where none is", first.tally.wrong_animals, second.tally.wrong_animals))
    table = Table("figure", str(models[0]), str(models[1]), "difference")
    for name, one, other in rows:
        table.add_row(name, f"{one:.4f}", f"{other:.4f}", f"{other - one:+.4f}")
    Console().print(table)


def calibrate(
    clips: Annotated[int, typer.Option(help="Clips that show labels.", min=34)] = 300,
    harmless: Annotated[int, typer.Option(help="Clips without a label, as they come.", min=100)] = 500,
    misleading: Annotated[int, typer.Option(help="Clips of look-alikes and other animals.", min=0)] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the clips; none is shared with evaluation.", min=0)] = 10,
    false_alarms: Annotated[float, typer.Option(help="Quiet clips that may alarm, a share.", min=0)] = 0.0075,
    least_recall: Annotated[float, typer.Option(help="No label may be found less often.", min=0, max=1)] = 0.0,
    model: Annotated[Path | None, typer.Option(help="The standard graph; by default the one that serves.")] = None,
    processes: Processes = PROCESSES,
) -> None:
    """Choose a review threshold for each label; copy what it prints into the policy."""
    from wildgate_detector.calibrate import choose, collect
    from wildgate_detector.filming import filming_pool
    from wildgate_detector.offline import Detector
    from wildgate_detector.seeds import Purpose

    graph = existing(model or _serving_model())
    stamps_or_fail()
    clip_plan = ClipPlan(seed, clips, harmless, misleading, Purpose.CALIBRATE)
    with folder_for(None) as folder, filming_pool(processes) as pool:
        evidence = collect(Detector(graph), pool.film(clip_plan.recipes(), folder, whole=False))
    for label, threshold in choose(evidence, false_alarms, least_recall).items():
        known = evidence[label]
        found = sum(score >= threshold for score in known.shown)
        alarms = sum(score >= threshold for score in known.absent)
        counted = f"found {found} of {len(known.shown)}   alarms {alarms} of {len(known.absent)}"
        say(f"{label:20} {threshold:.2f}   {counted}")


def curve(
    model: Annotated[Path | None, typer.Option(help="The standard graph; by default the one that serves.")] = None,
    archives: Archives = ARCHIVES_FOLDER,
    nature: Nature = NATURE,
    false_alarms: Annotated[float, typer.Option(help="Harmless photographs that may alarm, a share.", min=0)] = 0.02,
) -> None:
    """Fit the live animals' curve to half of the photographs, say how right it is on the others, choose by all."""
    from wildgate_detector.curve import Evidence, gather, halves, interval, least_evidence
    from wildgate_detector.offline import Detector
    from wildgate_server.accumulation import probability
    from wildgate_server.policy import load_policy

    detector = Detector(existing(model or _serving_model()))
    try:
        known = gather(detector, load_policy(), photographs(stamps_or_fail(), Folders(archives, nature)))
    except StampsMissingError as error:
        fail_with(str(error))
    fitted, judged = halves(known)
    bias, weight = Evidence.of(fitted).fit()
    wanted = probability(least_evidence(known, false_alarms), bias, weight)
    say(f"accumulation: {{bias: {bias:.2f}, weight: {weight:.2f}}}; review: {{probability: {wanted:.2f}}}")
    bins, miscalibrated = Evidence.of(judged).reliability(bias, weight)
    say("reliability: " + ", ".join(f"{told:.2f} was {true:.2f}" for told, true in bins))
    say(f"expected calibration error {miscalibrated:.3f}")
    for one in judged:
        likely = {name: probability(value, bias, weight) for name, value in one.evidence.items()}
        called = ", ".join(name for name, value in likely.items() if value >= wanted)
        if called != (one.label or ""):
            say(f"{one.name}: found {called or 'nothing'}")
    for name, is_listed in (("listed animals found", True), ("others let be", False)):
        some = [one for one in judged if (one.label is not None) == is_listed]
        good = sum(
            probability(one.evidence[one.label] if one.label else one.strongest_other, bias, weight) >= wanted
            for one in some
        )
        right = good if is_listed else len(some) - good
        low, high = interval(right, len(some))
        say(f"{name}: {right} of {len(some)} (95 %: {low:.2f} to {high:.2f})")


def judge(
    data: Annotated[Path, typer.Argument(help="Your own pictures, as for `train`.")],
    model: Annotated[Path, typer.Option(help="The standard graph that was trained on them.")] = TRAINED,
    false_alarms: Annotated[float, typer.Option(help="Pictures without a label that may alarm.", min=0, max=1)] = 0.01,
    folder: Annotated[Path, typer.Option(help="Where the model card and the policy's rules go.")] = Path("out/train"),
) -> None:
    """Say how good a detector is on the pictures of your own that were held out, and write its model card."""
    from wildgate_detector.own_detector import judge as judged
    from wildgate_detector.own_detector import write_account

    own = own_or_fail(data)
    try:
        figures = judged(existing(model), own, false_alarms)
    except OwnPicturesError as error:
        fail_with(str(error))
    for one in figures:
        say(f"{one.label}: AP50 {one.precision:.2f}; {one.found} of {one.shown} found at {one.threshold:.2f}")
    card, rules = write_account(model, own, figures, folder)
    say(f"wrote {card}, and {rules} for the policy")
