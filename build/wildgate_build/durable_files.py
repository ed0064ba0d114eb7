"""Durable, atomic writes: a file is either complete or unchanged, and on disk when a call returns."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from wildgate_build.errors import OutputError

__all__ = ["DurableFiles", "check_writable", "write_files"]


class DurableFiles:
    """The elementary steps; each has reached the disk when it returns. All raise OSError.

    A class, so that tests can kill a process or fill a disk at any step.
    """

    def make_directory(self, directory: Path) -> None:
        """Makes a directory, and those above it; one that is there already is fine."""
        directory.mkdir(parents=True, exist_ok=True)

    def write(self, file: Path, content: bytes) -> None:
        """Writes a new file."""
        with file.open("wb") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())

    def copy(self, source: Path, file: Path) -> None:
        """Copies a file's content."""
        with source.open("rb") as read, file.open("wb") as written:
            shutil.copyfileobj(read, written)
            written.flush()
            os.fsync(written.fileno())

    def replace(self, source: Path, target: Path) -> None:
        """Puts `source` in the place of the file `target`, in one step, or gives a directory its name."""
        os.replace(source, target)
        self.sync(target.parent)

    def sync(self, directory: Path) -> None:
        """Flushes a directory's entries to disk."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Removes a file, or a directory with all that is in it; nothing there is fine."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def check_writable(file: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Raises OutputError if `file` cannot be written or is one of `inputs`; to be called before the work."""
    folder = file.parent
    if not folder.is_dir():
        raise OutputError(f"{file}: there is no folder {folder}")
    if file.is_dir():
        raise OutputError(f"{file}: is a folder")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{file}: the folder {folder} cannot be written to")
    if any(file.resolve() == other.resolve() for other in inputs):
        raise OutputError(f"{file}: is the file that is read; name another one to write")


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Writes the files atomically: nobody ever sees part of one.

    Each goes into a hidden file beside it first; when all of these have reached the disk, they take their places one
    after another. Raises OutputError; where that is before the first takes its place (a full disk, a missing right),
    all are as they were.
    """
    for file in contents:
        check_writable(file)
    steps = DurableFiles()
    # Not from tempfile: its files are for their user alone, and so would the results be.
    parts = {file: file.with_name(f".wildgate-{secrets.token_hex(8)}.part") for file in contents}
    try:
        for file, content in contents.items():
            steps.write(parts[file], content)
        for file, part in parts.items():
            steps.replace(part, file)
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error}") from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
