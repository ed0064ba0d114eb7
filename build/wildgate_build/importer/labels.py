"""labels.txt: which policy label each class of a network stands for.

    # one line for each class, in the network's order
    tiger                   the class and the policy label have the same name
    panthera = live_lion    the class `panthera` is the policy label `live_lion`
    car = -                 ignored: the network's column is dropped

Several classes may stand for one policy label; it then gets the best of their scores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wildgate_build.errors import ImportRefusedError
from wildgate_server.repository.releases import LABEL_PATTERN

__all__ = ["LabelMap", "read_labels"]

_IGNORED: Final = "-"


@dataclass(frozen=True)
class LabelMap:
    """For each class, in the network's order, its name and its policy label (None: ignored)."""

    path: Path
    classes: tuple[tuple[str, str | None], ...]

    @property
    def count(self) -> int:
        """How many classes the file lists."""
        return len(self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """The policy labels, each once, in the order of their first class."""
        return tuple(dict.fromkeys(label for _, label in self.classes if label is not None))

    @property
    def columns(self) -> tuple[tuple[int, ...], ...]:
        """For each policy label the indices of its classes."""
        return tuple(
            tuple(index for index, (_, label) in enumerate(self.classes) if label == wanted) for wanted in self.labels
        )

    @property
    def merges(self) -> bool:
        """Whether several classes stand for one label."""
        return any(len(column) > 1 for column in self.columns)

    def check_count(self, classes: int, where: str) -> None:
        """Raises ImportRefusedError unless the file lists as many classes as `where` has."""
        if classes != self.count:
            raise ImportRefusedError(
                f"{self.path}: lists {self.count} classes, {where} has {classes}; "
                f"write one line for each class, '<class> = {_IGNORED}' for one to ignore"
            )


def read_labels(path: Path) -> LabelMap:
    """Reads labels.txt. Blank lines and what follows a # are skipped.

    Raises ImportRefusedError naming line and text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ImportRefusedError(f"{path}: there is no such file; it lists the network's classes, one a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefusedError(f"{path}: cannot be read as text: {error}") from error
    classes: dict[str, str | None] = {}
    entries: list[tuple[str, str | None]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        where = f"{path}, line {number} ({line.strip()!r})"
        name, label = _entry(content, where)
        if label is not None and name in classes:
            raise ImportRefusedError(f"{where}: the class {name!r} has a line before")
        if label is not None:
            classes[name] = label
        entries.append((name, label))
    if not classes:
        raise ImportRefusedError(f"{path}: maps no class to a label")
    return LabelMap(path, tuple(entries))


def _entry(content: str, where: str) -> tuple[str, str | None]:
    """The class and its policy label, None where it is ignored."""
    parts = [part.strip() for part in content.split("=")]
    if len(parts) > 2 or not all(parts):
        raise ImportRefusedError(f"{where}: write '<class>', '<class> = <label>' or '<class> = {_IGNORED}'")
    name, label = parts[0], parts[-1]
    if len(parts) == 2 and label == _IGNORED:
        return name, None
    if not re.fullmatch(LABEL_PATTERN, label):
        raise ImportRefusedError(
            f"{where}: the label {label!r} is not lower_snake_case; write '<class> = <label>' with one that is"
        )
    return name, label
