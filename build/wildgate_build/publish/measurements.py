"""Figures for a release, read from the reports of whatever measured them."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from wildgate_build.errors import PublishError

__all__ = ["read_measurements"]


def read_measurements(reports: Iterable[Path], published: Mapping[Path, str]) -> dict[str, float]:
    """The numbers of JSON reports by name; those of an object within another are named `outer.inner`.

    `published` are the detector files of the release with their digests (`blake3:<hex>`). A report that names the file
    it came with, as those of `quantise` and `half` do by `output_digest`, must be of one of them; figures of another
    origin, such as an evaluation's, name none.

    Raises PublishError when a report is not a JSON object or holds no number, is of another file or of one that was
    refused, or two of them disagree about a figure.
    """
    figures: dict[str, float] = {}
    for report in reports:
        try:
            content = json.loads(report.read_text(encoding="utf-8"))
        except OSError as error:
            raise PublishError(f"{report}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise PublishError(f"{report}: is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise PublishError(f"{report}: is a {type(content).__name__}, not an object of figures by name")
        _require_ours(report, content, published)
        found = dict(_numbers(content, ""))
        if not found:
            raise PublishError(f"{report}: holds no figures")
        for name in found.keys() & figures.keys():
            if found[name] != figures[name]:
                raise PublishError(f"{report}: {name} is {found[name]:g}, another report says {figures[name]:g}")
        figures |= found
    return figures


def _require_ours(report: Path, content: dict[str, object], published: Mapping[Path, str]) -> None:
    if content.get("refused") is True:
        raise PublishError(f"{report}: says that what it measured was refused")
    digest = content.get("output_digest")
    if digest is not None and digest not in published.values():
        files = " nor ".join(f"{file} ({found})" for file, found in published.items())
        raise PublishError(f"{report}: is of the file {digest}, which is not {files}")


def _numbers(content: dict[str, object], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{prefix}{name}", float(value)
