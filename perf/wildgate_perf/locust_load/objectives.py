"""What a run is to show, from a YAML file, and whether it did.

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

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from wildgate_perf.locust_load.figures import FiguresBy
from wildgate_perf.locust_load.kinds import REQUEST_KINDS
from wildgate_perf.locust_load.load_shapes import SHAPES
from wildgate_server.repository.yaml_document import read_document

__all__ = ["DEFAULT_FILE", "Judged", "Objective", "Objectives", "ObjectivesInvalid", "judge", "read_objectives"]

DEFAULT_FILE = Path(__file__).with_name("objectives.yaml")


class ObjectivesInvalid(Exception):
    """The file is no list of objectives; each line names file, field and value."""


class Objective(BaseModel):
    """Bounds on one kind of request, in one shape and phase; None: not bounded, or not restricted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str | None = None
    shape: str | None = None
    phase: str | None = None
    p50_ms: float | None = Field(None, gt=0)
    p95_ms: float | None = Field(None, gt=0)
    p99_ms: float | None = Field(None, gt=0)
    answered_per_s: float | None = Field(None, ge=0)
    """At least so many answers a second."""
    kept_share: float | None = Field(None, ge=0, le=1)
    """At least this share of the offered load was asked for; of paced users and of all kinds of requests together.

    Users who fall behind ask for less, so their latencies are lower than callers who do not wait would see."""
    failed_share: float | None = Field(None, ge=0, le=1)
    refused_share: float | None = Field(None, ge=0, le=1)

    @field_validator("shape")
    @classmethod
    def _known_shape(cls, shape: str | None) -> str | None:
        if shape not in (None, *SHAPES):
            raise ValueError(f"not one of {', '.join(SHAPES)}")
        return shape

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str | None) -> str | None:
        if kind not in (None, *REQUEST_KINDS):
            raise ValueError(f"not one of {'; '.join(REQUEST_KINDS)}")
        return kind

    @model_validator(mode="after")
    def _bounds_something(self) -> Objective:
        if not self.bounds:
            raise ValueError(f"bounds nothing: give one of {', '.join(BOUNDS)}")
        if self.kind is not None and self.kept_share is not None:
            raise ValueError("kept_share is of all kinds of requests together: leave out kind")
        return self

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are given, by name."""
        values = {name: getattr(self, name) for name in BOUNDS}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def about(self) -> str:
        """What it is about, in words."""
        return ", ".join(part for part in (self.kind or "all requests", self.phase) if part)


class Objectives(BaseModel):
    """A whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objectives: tuple[Objective, ...] = Field(min_length=1)


BOUNDS = ("p50_ms", "p95_ms", "p99_ms", "answered_per_s", "kept_share", "failed_share", "refused_share")
_AT_LEAST = frozenset({"answered_per_s", "kept_share"})


@dataclass(frozen=True)
class Judged:
    """One bound beside what was measured; `measured` is None where nothing of the kind was asked."""

    about: str
    figure: str
    bound: float
    at_least: bool
    measured: float | None

    @property
    def met(self) -> bool:
        """Whether the bound holds; nothing measured meets none."""
        if self.measured is None or self.measured != self.measured:
            return False
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def read_objectives(file: Path) -> Objectives:
    """The objectives in `file`; raises `ObjectivesInvalid`, a line for each fault, naming field and value."""
    return read_document(file, Objectives, ObjectivesInvalid)


def judge(
    objectives: Objectives,
    shape: str,
    kinds: Collection[str],
    figures: FiguresBy,
) -> list[Judged]:
    """Holds a run's figures, by phase and kind (None: all that count), against the objectives for its `shape`.

    Objectives for other shapes, and for kinds of request that are not among the run's `kinds`, are passed over, and so
    is `kept_share` in a closed loop, which offers no load: one file serves all runs. A phase that the run did not have
    has no figures, and so misses its objective.
    """
    judged = []
    whole = figures.get((None, None))
    closed = whole is not None and whole.offered_per_s is None and whole.seconds > 0
    for objective in objectives.objectives:
        if objective.shape not in (None, shape) or objective.kind not in (None, *kinds):
            continue
        found = figures.get((objective.phase, objective.kind))
        for name, bound in objective.bounds.items():
            if name == "kept_share" and closed:
                continue
            measured = getattr(found, name) if found else None
            judged.append(Judged(objective.about, name, bound, name in _AT_LEAST, measured))
    return judged
