"""What a run must show, from a YAML file, and whether it did.

The file has a list, `objectives`. Each entry names what it is about (`kind` of request, `shape` of load, `phase` of the
run; left out: all of them together) and one bound or more:

    objectives:
      - {shape: soak, kind: content, p50_ms: 400, p99_ms: 2000}
      - {failed_share: 0.001}
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wildgate_perf.load_test.kinds import Kind
from wildgate_perf.load_test.phases import PERCENTILES, FiguresBy
from wildgate_server.repository.yaml_document import read_document

DEFAULT_FILE = Path(__file__).with_name("objectives.yaml")
_AT_LEAST = "answered_per_s"
_BOUNDS = (*PERCENTILES, _AT_LEAST, "failed_share", "refused_share")


class ObjectivesInvalid(Exception):
    """The file is not a list of objectives; each line names file, field and value."""


class Objective(BaseModel):
    """Bounds on one kind of request, in one shape and phase; None: not bounded, or not restricted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind | None = None
    shape: Literal["ramp", "soak", "spike", "step"] | None = None
    phase: str | None = None
    p50_ms: float | None = Field(None, gt=0)
    p95_ms: float | None = Field(None, gt=0)
    p99_ms: float | None = Field(None, gt=0)
    answered_per_s: float | None = Field(None, ge=0)
    """Goodput: at least so many answers per second."""
    failed_share: float | None = Field(None, ge=0, le=1)
    refused_share: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _bounds_something(self) -> Objective:
        if not self.bounds:
            raise ValueError(f"bounds nothing: give one of {', '.join(_BOUNDS)}")
        return self

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are given, by name."""
        return {name: value for name in _BOUNDS if (value := getattr(self, name)) is not None}


class Objectives(BaseModel):
    """A whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objectives: tuple[Objective, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Judged:
    """One bound beside what was measured; `measured` is None where nothing of the kind was asked."""

    about: str
    figure: str
    bound: float
    measured: float | None

    @property
    def met(self) -> bool:
        """Whether the bound holds; what was not measured meets none."""
        if self.measured is None:
            return False
        return self.measured >= self.bound if self.figure == _AT_LEAST else self.measured <= self.bound

    def __str__(self) -> str:
        measured = "nothing" if self.measured is None else f"{self.measured:.4g}"
        bound = f"{'at least' if self.figure == _AT_LEAST else 'at most'} {self.bound:g}"
        return f"{'met' if self.met else 'MISSED'}: {self.about}: {self.figure} {measured}, {bound}"


def read_objectives(file: Path) -> Objectives:
    """The objectives in `file`; raises `ObjectivesInvalid`, a line for each fault, naming field and value."""
    return read_document(file, Objectives, ObjectivesInvalid)


def judge(objectives: Objectives, shape: str | None, kinds: Collection[str], figures: FiguresBy) -> list[Judged]:
    """Holds a run's figures against the objectives for its `shape`.

    Objectives for other shapes, and for kinds of request that are not among the run's `kinds`, are passed over: one
    file serves all runs. A phase that the run did not have has no figures, and so misses its objective.
    """
    judged = []
    for objective in objectives.objectives:
        if objective.shape not in (None, shape) or objective.kind not in (None, *kinds):
            continue
        found = figures.get((objective.phase, objective.kind), {})
        about = ", ".join(part for part in (objective.kind or "all requests", objective.phase) if part)
        judged += [Judged(about, name, bound, found.get(name)) for name, bound in objective.bounds.items()]
    return judged
