"""What was measured, as JSON in perf/results/, and what it was to be: the targets and their table.

`latest.json` has every figure under its own key (those of TARGETS, a dotted key being an entry of an object), null
where it was not measured (or is infinite, and its target missed); `measured_at` tells when each was, `targets` has the
target beside it, and `details` all that the figures rest on.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from rich import box
from rich.table import Table

RESULTS = Path(__file__).resolve().parents[1] / "results"
"""Where results and pictures are written."""
LATEST = RESULTS / "latest.json"


@dataclass(frozen=True)
class Target:
    """What a figure is to be: at least or at most a value (one of the two), or just known where both are None.

    `unbounded` is what is said of a figure that is just known.
    """

    key: str
    at_least: float | None = None
    at_most: float | None = None
    unbounded: str = "as low as it goes"

    def met_by(self, figure: float | None) -> bool | None:
        """Whether `figure` meets it; None when it was not measured or nothing is asked of it."""
        if figure is None or figure != figure or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or figure >= self.at_least) and (self.at_most is None or figure <= self.at_most)

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return self.unbounded if self.at_most is None else f"at most {self.at_most:g}"


TARGETS = (
    Target("served_over_offline_uri", at_least=0.92),
    Target("served_over_offline_content", at_least=0.80),
    Target("gateway_over_direct", at_least=0.85),
    Target("gateway_over_direct_whole", unbounded="for information"),
    Target("gateway_over_direct_cut", unbounded="for information"),
    Target("gateway_added_p50_ms", at_most=2),
    Target("over_best_peer", at_least=1.25),
    Target("over_common_script", at_least=10),
    Target("uri_bytes_fraction.mp4_index_first", at_most=0.10),
    Target("uri_bytes_fraction.mp4_index_last", at_most=0.10),
    Target("uri_bytes_fraction.fragmented", at_most=0.15),
    Target("uri_bytes_fraction.webm"),
    Target("uri_bytes_fraction.ts"),
    Target("p99_at_70pct_over_unloaded_p50", at_most=3),
    Target("poisson_p99_at_70pct_over_unloaded_p50", unbounded="for information"),
    Target("goodput_at_3x_over_peak", at_least=0.95),
    Target("cached_over_first", at_most=0.02),
)
"""What one run on one kind of machine is to show. All are ratios, but for the milliseconds of gateway_added_p50_ms."""


def beside_targets(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Every target with its figure, as results have it."""
    found = {target: figure_of(figures, target.key) for target in TARGETS}
    return {
        target.key: {"figure": figure, "target": str(target), "met": target.met_by(figure)}
        for target, figure in found.items()
    }


def figure_of(figures: Mapping[str, Any], key: str) -> float | None:
    """The figure under a dotted key; None when it is not there."""
    value: Any = figures
    for part in key.split("."):
        if not isinstance(value, Mapping) or (value := value.get(part)) is None:
            return None
    return None if value != value else float(value)


def read(file: Path) -> dict[str, Any]:
    """The results in `file`; none when there is no such file. Raises ValueError when it is not a JSON object."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: holds {type(content).__name__}, not an object")
    return content


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Writes results, whole or not at all; NaN and infinity become null, since JSON has none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, suffix=".part", delete=False) as part:
        part.write(json.dumps(_finite(content), allow_nan=False, indent=2, default=os.fspath) + "\n")
    Path(part.name).chmod(0o644)
    Path(part.name).replace(file)


def target_table(figures: Mapping[str, Any], targets: Sequence[Target] = TARGETS) -> Table:
    """Every target beside its figure, and whether it is met."""
    table = Table("figure", "target", "measured", "", box=box.SIMPLE_HEAD, title="targets", title_justify="left")
    for target in targets:
        figure = figure_of(figures, target.key)
        met = target.met_by(figure)
        verdict = {True: "[green]met[/]", False: "[red]missed[/]", None: "" if figure is not None else "not measured"}
        table.add_row(target.key, str(target), "-" if figure is None else f"{figure:.4g}", verdict[met])
    return table


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
