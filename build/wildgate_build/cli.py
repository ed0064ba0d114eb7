"""The command `wildgate-build`: train, evaluate and film the reference detector's material."""

import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from wildgate_build.reference.evaluate import Trial
from wildgate_build.reference.labels import LABELS
from wildgate_build.reference.stamps import Stamps, StampsMissingError, load_stamps

SERVER_LOG = Path("out/evaluate/server.log")
MODEL = Path("model_repository/wildlife_detector/1/model.onnx")
TORCH = "torch is not installed; install it with: pip install torch==2.13.0"

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
console = Console()


def _stamps() -> Stamps:
    try:
        return load_stamps()
    except StampsMissingError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    console.print(f"[red]{message}[/red]", highlight=False)
    raise typer.Exit(2)


@app.command()
def train(
    minutes: Annotated[float, typer.Option(help="Wall-clock time to train for.", min=0.1)] = 70.0,
    threads: Annotated[int, typer.Option(help="Threads for the network; one more composes.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the composed scenes.", min=0)] = 0,
    folder: Annotated[Path, typer.Option(help="Where checkpoints and the log go.")] = Path("out/train"),
    start_from: Annotated[Path | None, typer.Option(help="A checkpoint to go on from.")] = None,
    output: Annotated[Path, typer.Option(help="The graph to write.")] = MODEL,
) -> None:
    """Train the reference detector on composed scenes and export the standard graph."""
    _stamps()
    try:
        from wildgate_build.reference.export import export
        from wildgate_build.reference.train import TrainingPlan
        from wildgate_build.reference.train import train as run
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        _fail(TORCH)
    plan = TrainingPlan(minutes=minutes, folder=folder, seed=seed, threads=threads, start_from=start_from)
    console.print(f"training for {minutes:g} minutes; the log is {folder}/log.jsonl")
    export(run(plan), output)
    console.print(f"wrote {output}")


@app.command()
def evaluate(
    clips: Annotated[int, typer.Option(help="Clips to compose, half of them without a label.", min=2)] = 80,
    seed: Annotated[int, typer.Option(help="Seed of the clips; none is shared with training.", min=0)] = 0,
    frames: Annotated[int, typer.Option(help="Composed frames for mAP50; 0 leaves it out.", min=0)] = 400,
    keep: Annotated[Path | None, typer.Option(help="Keep the clips in this folder.")] = None,
) -> None:
    """Score fresh clips through a server of its own; exit 1 below 0.90 recall or above 5 % false alarms."""
    from wildgate_build.reference.evaluate import FEWEST_CLIPS, PROP_SIDE, trials
    from wildgate_build.reference.evaluate import evaluate as run
    from wildgate_build.reference.frame_quality import average_precisions
    from wildgate_build.reference.offline import Detector
    from wildgate_build.reference.props import PropRoom
    from wildgate_build.reference.served import served

    if not MODEL.is_file():
        _fail(f"there is no detector at {MODEL}; make one with: wildgate-build train")
    stamps = _stamps()
    if clips < FEWEST_CLIPS:
        console.print(f"[yellow]fewer than {FEWEST_CLIPS} clips: the figures say little[/yellow]")
    precision: dict[str, float] = {}
    if frames:
        precision = average_precisions(Detector(MODEL), PropRoom(stamps, 224), frames, seed)
    with tempfile.TemporaryDirectory() as scratch, served(SERVER_LOG) as scorer:
        source = trials(_clip_folder(keep, scratch), PropRoom(stamps, PROP_SIDE), clips, seed)
        tally = run(scorer, source, _report_mistake)
    table = Table("label", "shown", "found", "wrongly found", "AP50")
    for label in LABELS:
        counts = (tally.shown[label], tally.found[label], tally.wrong[label])
        table.add_row(label, *map(str, counts), f"{precision[label]:.2f}" if precision else "-")
    console.print(table)
    if precision:
        known = [value for value in precision.values() if value == value]
        console.print(f"mAP50 on {frames} composed frames: {sum(known) / max(1, len(known)):.3f}")
    console.print(f"video-level recall {tally.recall:.3f}   (at least 0.90)")
    alarmed = f"{tally.alarmed_clips} of {tally.harmless_clips} harmless clips"
    console.print(f"false alarms       {tally.false_alarms:.3f}   (at most 0.05; {alarmed})")
    if not tally.passed:
        raise typer.Exit(1)


def _report_mistake(trial: Trial, got: set[str]) -> None:
    if got != set(trial.labels):
        shown, found = ", ".join(trial.labels) or "nothing", ", ".join(sorted(got)) or "nothing"
        console.print(f"{trial.path.name}: shows {shown}, found {found}")


def _clip_folder(keep: Path | None, scratch: str) -> Path:
    """The folder for the clips, made if need be."""
    folder = keep or Path(scratch)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@app.command()
def calibrate(
    frames: Annotated[int, typer.Option(help="Composed frames to score.", min=100)] = 1500,
    seed: Annotated[int, typer.Option(help="Seed of the frames; none is shared with evaluation.", min=0)] = 0,
    false_alarms: Annotated[float, typer.Option(help="False alarms to allow, a share of frames.", min=0)] = 0.03,
    model: Annotated[Path, typer.Option(help="The standard graph.")] = MODEL,
) -> None:
    """Choose a review threshold for each label; what it prints belongs into the policy."""
    from wildgate_build.reference.calibrate import choose, collect
    from wildgate_build.reference.offline import Detector
    from wildgate_build.reference.props import PropRoom

    evidence = collect(Detector(model), PropRoom(_stamps(), 256), frames, seed)
    for label, threshold in choose(evidence, false_alarms).items():
        known = evidence[label]
        found = sum(score >= threshold for score in known.shown) / max(1, len(known.shown))
        alarm = sum(score >= threshold for score in known.absent) / max(1, len(known.absent))
        console.print(f"{label:20} {threshold:.2f}   recall {found:.2f}   false alarms {alarm:.4f}")


@app.command()
def samples(
    folder: Annotated[Path, typer.Option(help="Where the clips and truth.json go.")] = Path("samples"),
) -> None:
    """Film the sample clips and write the truth about them."""
    from wildgate_build.reference.evaluate import PROP_SIDE
    from wildgate_build.reference.props import PropRoom
    from wildgate_build.reference.samples import write_samples

    def tell(name: str, size: int) -> None:
        console.print(f"{name}: {size} bytes")

    write_samples(folder, PropRoom(_stamps(), PROP_SIDE), tell)


def main() -> None:
    """Entry point of `wildgate-build`."""
    app()
