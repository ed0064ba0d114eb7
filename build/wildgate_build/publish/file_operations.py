"""The few things that publishing does to a file system, each of which can fail or be the last one that happens."""

import os
import shutil
from pathlib import Path

__all__ = ["FileOperations"]


class FileOperations:
    """Each method is one step; what it did has reached the disk when it returns."""

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
        """Has a directory's entries reach the disk."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Removes a file, or a directory and all that is in it; nothing there is fine."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
