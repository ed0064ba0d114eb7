"""Writing results: each file whole, or as it was.

Each file goes into a hidden one of its own in the same folder first, and takes its place when all of them have
reached the disk.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from wildgate_build.failures import BuildError

__all__ = ["OutputError", "check_writable", "write_files"]


class OutputError(BuildError):
    """A result cannot be written."""


def check_writable(file: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Raises OutputError when `file` could not be written, or is one of `inputs`; asked before the work, not after."""
    folder = file.parent
    if not folder.is_dir():
        raise OutputError(f"{file}: there is no folder {folder}")
    if file.is_dir():
        raise OutputError(f"{file}: is a folder")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{file}: the folder {folder} cannot be written to")
    if any(_same(file, taken) for taken in inputs):
        raise OutputError(f"{file}: is the file that is read; name another one to write")


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Writes the files, whole: nobody ever sees a part of one. Returns when they have reached the disk.

    Raises OutputError. Where that is before the first file takes its place (a full disk, a missing right), all are
    as they were. Files take their places one after another: when a later one cannot, or the machine stops in
    between, the ones before it are new and the rest as they were.
    """
    for file in contents:
        check_writable(file)
    # Not from tempfile: its files are for their user alone, and so would the results be.
    parts = {file: file.with_name(f".wildgate-{secrets.token_hex(8)}.part") for file in contents}
    try:
        for file, content in contents.items():
            with _named(file), parts[file].open("xb") as output:
                output.write(content)
                output.flush()
                os.fsync(output.fileno())
        for file, part in parts.items():
            with _named(file):
                part.replace(file)
        for folder in dict.fromkeys(file.parent for file in contents):
            with _named(folder):
                _sync(folder)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _same(file: Path, other: Path) -> bool:
    if file.exists() and other.exists():
        return file.samefile(other)
    return file.resolve() == other.resolve()


def _sync(folder: Path) -> None:
    """Has the folder's entries reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error}") from error
