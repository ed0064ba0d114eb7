"""What the commands share: where the material lies, and saying in one line what is missing."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from wildgate_build.console import fail
from wildgate_detector.own_pictures import OwnPictures, OwnPicturesError
from wildgate_detector.photographs import ARCHIVES_FOLDER, NATURE
from wildgate_detector.stamps import Stamps, StampsMissingError, load_stamps

__all__ = [
    "ARCHIVES_FOLDER",
    "NATURE",
    "PROCESSES",
    "PROGRAM",
    "TRAINED",
    "Archives",
    "Nature",
    "Processes",
    "existing",
    "fail_with",
    "folder_for",
    "own_or_fail",
    "stamps_or_fail",
]

TRAINED: Final = Path("out/train/detector.onnx")
PROGRAM: Final = "python -m wildgate_detector"
PROCESSES: Final = os.cpu_count() or 1
Processes = Annotated[int, typer.Option(help="Processes at work at once.", min=1)]
Archives = Annotated[Path, typer.Option(help="Where gcompris-qt-data's archives lie.")]
Nature = Annotated[Path, typer.Option(help="Where mate-backgrounds' photographs of nature lie.")]


def fail_with(message: str) -> NoReturn:
    """Print `message` and exit with 2."""
    fail(message, "wildgate_detector")


def stamps_or_fail() -> Stamps:
    """The stamps; exits where they are not installed."""
    try:
        return load_stamps()
    except StampsMissingError as error:
        fail_with(str(error))


def existing(graph: Path) -> Path:
    """`graph`; exits where there is none."""
    if not graph.is_file():
        fail_with(f"there is no detector at {graph}; make one with: {PROGRAM} train")
    return graph


def own_or_fail(data: Path) -> OwnPictures:
    """A team's own pictures; exits where they cannot be read."""
    try:
        return OwnPictures.read(data)
    except OwnPicturesError as error:
        fail_with(str(error))


@contextmanager
def folder_for(keep: Path | None) -> Iterator[Path]:
    """The folder for clips: `keep`, made if need be, or one that goes with the context."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)
