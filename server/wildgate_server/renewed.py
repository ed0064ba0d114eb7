"""What is read from files and read anew as they change: certificates, keys, lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

__all__ = ["Renewed"]

_log = structlog.get_logger()

T = TypeVar("T")


class Renewed(Generic[T]):
    """What `make` makes of `files`, made anew as they change; while it cannot be, the last one stays in force.

    `make` raises OSError or ValueError, whose texts quote no secrets; at first they are raised here, later they are
    logged. `retire` is given what was replaced.
    """

    def __init__(
        self, files: Sequence[Path], make: Callable[[], T], retire: Callable[[T], None] = lambda _: None
    ) -> None:
        self._files = tuple(files)
        self._make = make
        self._retire = retire
        self._seen = self._stamps()
        self._made = make()

    @property
    def now(self) -> T:
        """The one in force. Looking whether a file has changed takes a microsecond."""
        try:
            seen = self._stamps()
            if seen != self._seen:
                self._seen = seen
                before, self._made = self._made, self._make()
                self._retire(before)
        except (OSError, ValueError) as error:
            _log.error("file_refused", files=[str(file) for file in self._files], error=str(error))
        return self._made

    def _stamps(self) -> list[tuple[int, int, int]]:
        return [(found.st_mtime_ns, found.st_ino, found.st_size) for found in map(Path.stat, self._files)]
