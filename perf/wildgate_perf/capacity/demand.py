"""What is asked of a fleet, and what the fleet may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wildgate_perf.capacity.errors import BadDemand
from wildgate_server.repository.yaml_document import faults, read_document

__all__ = ["Demand", "demand_of"]

_DAY_S = 86_400


class Demand(BaseModel):
    """Videos in a day, what they are like, and what is wanted of the nodes that score them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    videos_per_day: float = Field(gt=0)
    peak_factor: float = Field(2.0, ge=1)
    """Videos a second at the peak of the day over their mean."""
    mean_seconds: float = Field(15.0, gt=0)
    mean_bytes: float = Field(5e6, gt=0)
    cached_share: float = Field(0.0, ge=0, le=1)
    """Videos that were scored before and whose verdict is still in the cache."""
    uri_share: float = Field(1.0, ge=0, le=1)
    """Videos given by URI; the others are sent as content."""
    digest_first: bool = False
    """Callers ask by digest first, and give the video only where that has no verdict."""
    target_utilisation: float = Field(0.7, gt=0, lt=1)
    """How busy a node may be at the peak, with the spare nodes away."""
    spare_nodes: int = Field(1, ge=0)
    """Nodes that may fail or be away at the peak."""
    p99_ms: float | None = Field(None, gt=0)
    """Latency objective at the peak; nodes are kept less busy than the target where it takes that."""
    node_price_per_hour: float | None = Field(None, ge=0)
    """In any currency; without it no cost is told."""

    @property
    def mean_per_s(self) -> float:
        """Videos a second, the whole day alike."""
        return self.videos_per_day / _DAY_S

    @property
    def peak_per_s(self) -> float:
        """Videos a second at the peak of the day."""
        return self.mean_per_s * self.peak_factor


def demand_of(file: Path | None, given: Mapping[str, Any]) -> Demand:
    """The demand in a YAML file, with the fields in `given` (None: not given) over it; raises `BadDemand`."""
    content: dict[str, Any] = {}
    if file is not None:
        content = read_document(file, Demand, BadDemand).model_dump(exclude_unset=True)
    content |= {name: value for name, value in given.items() if value is not None}
    try:
        return Demand.model_validate(content)
    except ValidationError as error:
        raise BadDemand("\n".join(faults(error))) from error
