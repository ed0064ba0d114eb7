"""The commands that make: train a head, film clips to quantise with, film the samples."""

from pathlib import Path
from typing import Annotated

import typer

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
    fail_with,
    folder_for,
    own_or_fail,
    stamps_or_fail,
)
from wildgate_detector.filming import ClipPlan
from wildgate_detector.labels import PRODUCTS
from wildgate_detector.own_pictures import OwnPicturesError, Shown, read_picture
from wildgate_detector.photographs import Folders, photographs
from wildgate_detector.photographs import film as film_pictures
from wildgate_detector.stamps import StampsMissingError

TORCH = "torch is not installed; install it with: pip install torch==2.13.0"

AGAIN = 40
"""Each of a team's own pictures is seen so often at most, retouched."""


def train(
    data: Annotated[
        Path | None, typer.Option(help="Your own pictures: a COCO file, or a folder with one folder for each label.")
    ] = None,
    pictures: Annotated[
        int, typer.Option(help="Pictures whose features are kept, 0.4 MB each; your own are retouched.", min=1)
    ] = 40000,
    epochs: Annotated[int, typer.Option(help="Passes over them.", min=1)] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the composed scenes.", min=0)] = 1,
    folder: Annotated[Path, typer.Option(help="Where features, the head and the log go.")] = Path("out/train"),
    archives: Archives = ARCHIVES_FOLDER,
    nature: Nature = NATURE,
    processes: Processes = PROCESSES,
    output: Annotated[Path, typer.Option(help="The graph to write.")] = TRAINED,
) -> None:
    """Train the head for products, on composed scenes or on your own pictures, and export the standard graph.

    With --data part of the pictures is held out; `film --data` and `judge` come next.
    """
    try:
        from wildgate_detector.composed import ComposedPictures
        from wildgate_detector.export import FROZEN, MATERIAL, export
        from wildgate_detector.features import Pictures, cache
        from wildgate_detector.network import SIDE, Trained
        from wildgate_detector.train import TrainingPlan
        from wildgate_detector.train import train as run
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        fail_with(TORCH)
    own = own_or_fail(data) if data else None
    labels = own.labels if own else PRODUCTS
    if own:
        shown: Pictures = Shown(own.trained, labels, SIDE, seed)
        pictures = min(pictures, AGAIN * len(own.trained))
    else:
        stamps_or_fail()
        shown = ComposedPictures(seed, SIDE, Folders(archives, nature))
    try:
        features = cache(shown, pictures, SIDE, folder / "features", processes)
    except (StampsMissingError, OwnPicturesError) as error:
        fail_with(str(error))
    say(f"training on {pictures} pictures; the log is {folder}/log.jsonl")
    plan = TrainingPlan(epochs, seed, threads=processes, batch=min(32, max(8, pictures // 20)))
    head = run(plan, features, labels, folder / "log.jsonl", side=SIDE)
    Trained(head, labels).write(folder / "head.pt")
    export(folder / "head.pt", output, f"{FROZEN}; {data}" if own else MATERIAL)
    say(f"wrote {output}; measure it with: {PROGRAM} evaluate --model {output}")


def film(
    folder: Annotated[Path, typer.Argument(help="Where the clips go.")],
    clips: Annotated[int, typer.Option(help="Clips that show labels.", min=1)] = 60,
    harmless: Annotated[int, typer.Option(help="Clips without a label.", min=0)] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the clips; none is shared with another purpose.", min=0)] = 0,
    processes: Processes = PROCESSES,
    data: Annotated[Path | None, typer.Option(help="Your own pictures, as for `train`.")] = None,
    archives: Archives = ARCHIVES_FOLDER,
    nature: Nature = NATURE,
) -> None:
    """Film clips for `wildgate-build quantise --videos FOLDER`: composed ones and photographs, or your own pictures."""
    if data:
        own = own_or_fail(data)
        count = film_pictures((read_picture(one.path) for one in own.trained), folder)
        say(f"{count} clips in {folder}")
        return
    from wildgate_detector.filming import filming_pool
    from wildgate_detector.seeds import Purpose

    stamps = stamps_or_fail()
    clip_plan = ClipPlan(seed, clips, harmless, 0, Purpose.QUANTISE)
    with folder_for(folder) as place, filming_pool(processes) as pool:
        filmed = sum(1 for _ in pool.film(clip_plan.recipes(), place))
    try:
        filmed += film_pictures((one.picture for one in photographs(stamps, Folders(archives, nature))), folder)
    except StampsMissingError as error:
        fail_with(str(error))
    say(f"{filmed} clips in {folder}")


def samples(
    folder: Annotated[Path, typer.Option(help="Where the clips and truth.json go.")] = Path("samples"),
) -> None:
    """Film the sample clips and write the truth about them."""
    from wildgate_detector.filming import PROP_SIDE
    from wildgate_detector.props import PropRoom
    from wildgate_detector.samples import write_samples

    write_samples(folder, PropRoom(stamps_or_fail(), PROP_SIDE), lambda name, size: say(f"{name}: {size} bytes"))
