"""What the processes of `make matches` do: a module of its own, for they cannot import the command."""

from __future__ import annotations

from pathlib import Path

from wildgate_perf.matches.edits import EDITS, Footage
from wildgate_perf.matches.looking import Looker, SeenVideo
from wildgate_perf.matches.strangers import ALL_EDITS, stranger
from wildgate_perf.server_parts import Block, WildgateError

__all__ = ["confirmed", "disguised", "open_looker", "stranger_seen"]

_here: list[Looker] = []
"""The looker of a worker process."""


def open_looker(repository: Path) -> None:
    """Begins the process."""
    _here.append(Looker(repository))


def confirmed(file: Path) -> Block | None:
    """The entry for a video; None where it cannot be looked at."""
    try:
        return _here[0].confirmed(file)
    except WildgateError:
        return None


def disguised(copy: tuple[Path, str]) -> tuple[SeenVideo, float] | None:
    """The disguised video as it is seen, and how many seconds of it there are."""
    file, name = copy
    [edit] = [edit for edit in ALL_EDITS if edit.name == name]
    footage = Footage.of(file)
    try:
        return _here[0].look(edit.encoded(footage)), max(footage.seconds - edit.cut_s, 0.0)
    except WildgateError:
        return None


def stranger_seen(seed: int) -> SeenVideo:
    """A stranger as it is seen, in one of the disguises that are asked for."""
    asked = [edit for edit in EDITS if edit.asked]
    return _here[0].look(asked[seed % len(asked)].encoded(stranger(seed)))
