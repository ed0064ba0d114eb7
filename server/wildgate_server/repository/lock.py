"""One writer at a time: the lock that every command takes which changes a model repository."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["LockRefused", "locked"]


class LockRefused(Exception):
    """Another command writes the repository, or it cannot be opened; the text says which."""


@contextmanager
def locked(repository: Path) -> Iterator[None]:
    """Keeps others from writing as long as the context lasts; the lock ends with the process, however that ends.

    Raises LockRefused at once where another holds it.
    """
    try:
        descriptor = os.open(repository, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise LockRefused(f"{repository}: cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockRefused(f"{repository}: another command is writing it; try again when it is done") from None
        yield
    finally:
        os.close(descriptor)
