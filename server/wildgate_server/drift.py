"""Whether verdicts are as they used to be: the newest ones' distribution, held against a reference.

What drifts may be the videos, the model, a decoder, or somebody who tries things out; a person has to look.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from math import log
from pathlib import Path

import yaml
from pydantic import Field, model_validator

from wildgate_server.config_section import ConfigSection
from wildgate_server.errors import SettingsConflict
from wildgate_server.repository.yaml_document import StrictSection, read_document
from wildgate_server.server_metrics import Readings, ServerMetrics

__all__ = ["Drift", "DriftSettings"]

_FEWEST = 500  # videos; with fewer, chance alone moves the index by more than 0.02
_STEPS = 10
_UNSEEN = 0.5  # videos that a bin without any counts as: the index would be infinite
_SUM_TOLERANCE = 0.01
_BINS = {
    "top_score": tuple(str((step + 1) / _STEPS) for step in range(_STEPS)),  # by upper edge
    "action": ("allow", "review", "block"),
}


class DriftSettings(ConfigSection):
    """How verdicts are held against a reference."""

    reference: Path | None = None
    """Distribution of verdicts when all was well, as a gateway's metrics address says it at `/drift`."""
    window: int = Field(5000, ge=_FEWEST)
    """How many of the newest scored videos are held against it."""


class _Distribution(StrictSection):
    """Shares of videos by bin, of each signal."""

    videos: int = Field(ge=1)
    top_score: dict[str, float]
    action: dict[str, float]

    @model_validator(mode="after")
    def _is_whole(self) -> _Distribution:
        for signal, bins in _BINS.items():
            shares: dict[str, float] = getattr(self, signal)
            if set(shares) != set(bins):
                raise ValueError(f"{signal} must have the bins {', '.join(bins)}")
            if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > _SUM_TOLERANCE:
                raise ValueError(f"the shares of {signal} add up to {sum(shares.values()):g}, not to 1")
        return self


class Drift:
    """The newest scored videos' best scores and actions. Raises SettingsConflict for a reference of no use.

    One thread adds, any may read.
    """

    def __init__(self, settings: DriftSettings | None = None) -> None:
        settings = settings or DriftSettings()
        self._window: deque[tuple[str, str]] = deque()
        self._most = settings.window
        self._counts = {signal: Counter(dict.fromkeys(bins, 0)) for signal, bins in _BINS.items()}
        self._reference: _Distribution | None = None
        if settings.reference:
            self._reference = read_document(settings.reference, _Distribution, SettingsConflict)

    def add(self, top_score: float, action: str) -> None:
        """One more scored video: its best score, 0 to 1, and its action's name."""
        scores = _BINS["top_score"]
        seen = (scores[min(int(top_score * _STEPS), _STEPS - 1)], action.lower())
        self._window.append(seen)
        self._count(seen, 1)
        if len(self._window) > self._most:
            self._count(self._window.popleft(), -1)

    def tell(self, metrics: ServerMetrics) -> None:
        """Adds what Prometheus is told."""
        both = ["signal", "bin"]
        metrics.gauge("wildgate_drift_window_videos", "Scored videos in the window.", lambda: len(self._window))
        metrics.gauges("wildgate_drift_share", "Their shares.", both, lambda: _flat(self._shares()))
        if reference := self._reference:
            expected = _flat({signal: getattr(reference, signal) for signal in _BINS})
            metrics.gauges("wildgate_drift_reference_share", "The reference's shares.", both, lambda: expected)
            about = "Population stability index of the window against the reference."
            metrics.gauges("wildgate_drift_psi", about, ["signal"], self._indices)

    def page(self) -> bytes:
        """The distribution as YAML, such as a later start takes for its reference; of no use before the first video."""
        distribution = {"videos": len(self._window), **self._shares()}
        return yaml.safe_dump(distribution, sort_keys=False).encode()

    def _count(self, seen: tuple[str, str], by: int) -> None:
        for signal, name in zip(_BINS, seen, strict=True):
            self._counts[signal][name] += by

    def _shares(self) -> dict[str, dict[str, float]]:
        videos = max(len(self._window), 1)
        return {
            signal: {name: count / videos for name, count in counts.items()} for signal, counts in self._counts.items()
        }

    def _indices(self) -> Readings:
        """Population stability index by signal: the sum of (p - q) ln(p / q) over the bins; none of too few videos."""
        videos = len(self._window)
        if not self._reference or videos < _FEWEST:
            return {}
        shares = self._shares()
        return {
            (signal,): _index(shares[signal], getattr(self._reference, signal), _UNSEEN / videos) for signal in _BINS
        }


def _index(shares: Mapping[str, float], expected: Mapping[str, float], least: float) -> float:
    pairs = ((max(share, least), max(expected[name], least)) for name, share in shares.items())
    return sum((share - usual) * log(share / usual) for share, usual in pairs)


def _flat(shares: Mapping[str, Mapping[str, float]]) -> Readings:
    return {(signal, name): share for signal, bins in shares.items() for name, share in bins.items()}
