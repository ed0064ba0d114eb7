"""What was measured of one node: how many videos it answers, what cached ones cost, and latency under load.

From `make bench` (`perf/results/latest.json`), from `make perf` (its folder), or from a YAML file with the fields of
`Profile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wildgate_perf.results import read
from wildgate_server.repository.yaml_document import faults, read_document

_OF_GATEWAY = ("gateway", "sampling workers")
SATURATED = 0.98  # of the peak; beyond, latency depends on how long the overload lasts


class CapacityError(Exception):
    """The profile, the demand or the run cannot be used, or no fleet meets the objective; the text says what to change.

    It names file, field and value where there is one.
    """


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Peaks(_Section):
    """Videos per second that a node answers at most, by how they come; None: not measured."""

    uri: float | None = Field(None, gt=0)
    content: float | None = Field(None, gt=0)


class CachedCost(_Section):
    """Work of a cached video over that of a first one."""

    by_digest: float = Field(ge=0, le=1)
    """Asked by digest, with nothing sent."""
    by_content: float = Field(ge=0, le=1)
    """Sent whole."""
    by_uri: float | None = Field(None, ge=0, le=1)
    """Given by URI; None: not measured, and taken to cost as much as a first one, since it is read and sampled."""


class LoadPoint(_Section):
    """Open-loop load on one node: what was offered, and what came of it."""

    offered_per_s: float = Field(gt=0)
    answered_per_s: float = Field(ge=0)
    p50_ms: float = Field(gt=0)
    p99_ms: float = Field(gt=0)
    arrivals: str = "uniform"
    nodes: int = Field(1, ge=1)
    """How many like the measured one took turns."""
    server_cores: float | None = Field(None, ge=0)
    """Cores that the server kept busy meanwhile; None: not measured."""


class Profile(_Section):
    """One node, measured with videos of `video_seconds` and `video_bytes`."""

    cores: int = Field(ge=1)
    unloaded_ms: float | None = Field(None, gt=0)
    """Latency of a video on an idle node, by URI; None: not measured."""
    gateway_cpu_ms: float | None = Field(None, gt=0)
    """Processor time that gateway and sampling take for a video, by URI."""
    triton_cpu_ms: float | None = Field(None, gt=0)
    """The same of Triton with its models."""
    peak_per_s: Peaks
    cached_over_first: CachedCost | None = None
    uri_bytes_fraction: float = Field(1.0, ge=0)
    """Of a video's bytes, how many are read where it is given by URI."""
    answer_bytes: float = Field(6500, gt=0)
    """Size of an answer; by default that of a verdict on eight frames full of detections."""
    video_seconds: float = Field(15.0, gt=0)
    video_bytes: float = Field(5e6, gt=0)
    max_gap_s: float = Field(2.0, gt=0)
    max_frames: int = Field(64, ge=1)
    frames_per_window: int = Field(8, ge=1)
    points: tuple[LoadPoint, ...] = ()
    """Latency by URI under load, by which the model is checked; `peak_per_s.uri` is the peak of the same run."""

    @model_validator(mode="after")
    def _has_a_peak(self) -> Profile:
        if self.peak_per_s.uri is None and self.peak_per_s.content is None:
            raise ValueError("peak_per_s has neither uri nor content")
        return self

    @property
    def curve_peak_per_s(self) -> float:
        """The peak that `points` belong to."""
        peak = self.peak_per_s.uri or self.peak_per_s.content
        assert peak is not None  # checked when it was made
        return peak

    def windows(self, seconds: float) -> int:
        """Windows of frames in which a video of this length is looked at."""
        frames = min(self.max_frames, max(1, -int(-seconds / self.max_gap_s // 1)))
        return -(-frames // self.frames_per_window)


def read_profile(file: Path) -> Profile:
    """The profile in a results file of `make bench` (`.json`), a YAML file, or the folder that `make perf` wrote.

    Raises `CapacityError`.
    """
    if file.is_dir():
        return profile_of_load_test(file)
    if file.suffix != ".json":
        return read_document(file, Profile, CapacityError)
    try:
        content = read(file)
    except (OSError, ValueError) as error:
        raise CapacityError(f"{file}: cannot be read: {error}") from error
    if not content:
        raise CapacityError(f"{file}: there are no results; `make bench` writes them")
    return profile_of_bench(content, str(file))


def profile_of_bench(content: Mapping[str, Any], name: str = "results") -> Profile:
    """The profile in the results of `make bench`; raises `CapacityError` naming what they lack.

    Videos as content are measured with larger videos and with the load generator on the same cores, so their peak is
    on the safe side.
    """
    details = content.get("details") or {}
    for key in ("latency_over_load", "served_over_offline_uri"):
        if not details.get(key):
            raise CapacityError(f"{name}: details: {key} was not measured")
    load, sent = details["latency_over_load"], details.get("served_over_offline_content") or {}
    try:
        points = [*load["points"], *([load["poisson_at_70pct"]] if "poisson_at_70pct" in load else [])]
        fields: dict[str, Any] = {
            "cores": content["machine"]["cores"],
            "unloaded_ms": (load.get("unloaded_p50_ms") or {}).get("median"),
            **_processor_ms(details["served_over_offline_uri"]),
            "peak_per_s": {
                "uri": load["peaks_per_s"]["median"],
                "content": sent["served_per_s"]["median"] if sent else None,
            },
            "cached_over_first": (details.get("cached_over_first") or {}).get("ratios"),
            "uri_bytes_fraction": (content.get("uri_bytes_fraction") or {}).get("mp4_index_first") or 1.0,
            "video_bytes": details["served_over_offline_uri"]["videos"]["bytes"],
            "points": [_point(point) for point in points if point["p50_ms"] is not None],
        }
        return Profile.model_validate(fields)
    except (KeyError, TypeError, AttributeError) as cause:
        raise CapacityError(f"{name}: not results of `make bench`: {type(cause).__name__}: {cause}") from cause
    except ValidationError as cause:
        raise CapacityError("\n".join(f"{name}: {fault}" for fault in faults(cause))) from cause


def _point(found: Mapping[str, Any]) -> dict[str, Any]:
    same = ("offered_per_s", "p50_ms", "p99_ms", "arrivals")
    values = {"answered_per_s": found["good_per_s"], "server_cores": found.get("server_cores")}
    return values | {name: found[name] for name in same}


def _processor_ms(served: Mapping[str, Any]) -> dict[str, float]:
    """What a video takes of gateway and Triton, where that was measured."""
    by_kind = (served.get("cpu_ms_per_video") or {}).get("served")
    if not by_kind:
        return {}
    gateway = sum(by_kind.get(kind, 0.0) for kind in _OF_GATEWAY)
    others = sum(took_ms for kind, took_ms in by_kind.items() if kind not in (*_OF_GATEWAY, "load generator"))
    return {"gateway_cpu_ms": gateway, "triton_cpu_ms": others}


def profile_of_load_test(folder: Path) -> Profile:
    """The profile in the summaries of `make perf`; raises `CapacityError` where there is no step, which has the peak.

    Videos come as they do there, by URI and as content, at one peak. Its soak is a measured load where callers came
    independently (`--arrivals poisson`).
    """
    step = _summary(folder, "step")
    if not step:
        raise CapacityError(f"{folder}: has no step_summary.json; `make perf` writes it")
    try:
        peak = max(phase["answered_per_s"] for phase in step["phases"].values())
        fields: dict[str, Any] = {"cores": step["machine"]["cores"], "peak_per_s": {"uri": peak, "content": peak}}
        alone = step["phases"].get("1 user")
        fields["unloaded_ms"] = alone and alone["p50_ms"]
        soak = _summary(folder, "soak")
        if soak.get("arrivals") == "poisson":
            held = soak["phases"]["held"]
            same = {name: held[name] for name in ("answered_per_s", "p50_ms", "p99_ms")}
            fields["points"] = [{"offered_per_s": held["asked_per_s"], "arrivals": "poisson", **same}]
        return Profile.model_validate(fields)
    except (KeyError, TypeError, ValueError) as cause:
        raise CapacityError(f"{folder}: not results of `make perf`: {type(cause).__name__}: {cause}") from cause


def _summary(folder: Path, shape: str) -> dict[str, Any]:
    try:
        return read(folder / f"{shape}_summary.json")
    except (OSError, ValueError) as error:
        raise CapacityError(f"{folder}: cannot be read: {error}") from error
