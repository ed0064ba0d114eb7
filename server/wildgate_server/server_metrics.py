"""What every server tells Prometheus: its calls, its process, and what it is."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["TIME_BUCKETS_S", "Readings", "ServerMetrics"]

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads

_E24 = (10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91)
TIME_BUCKETS_S = (
    *(0.001, 0.002, 0.005),
    *(round(step * decade, 6) for decade in (1e-3, 1e-2, 1e-1) for step in _E24),
    *(10.0, 15.0, 20.0, 30.0, 60.0),
)
"""Upper edges, about 10 % apart where objectives lie (IEC 60063, E24): what PromQL interpolates is near the truth."""

Readings: TypeAlias = Mapping[tuple[str, ...], float]
"""Values by the values of their labels."""


class ServerMetrics:
    """Counters and gauges of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        runs = (version("wildgate"), platform.python_version())
        self.gauges("wildgate_build_info", "What runs.", ["version", "python"], lambda: {runs: 1})
        called = ["grpc_type", "grpc_service", "grpc_method"]
        self._started = self._counter("grpc_server_started", "Calls that began.", called)
        self._handled = self._counter("grpc_server_handled", "Calls that ended, by status.", [*called, "grpc_code"])
        self._handling = self._times("grpc_server_handling_seconds", "Time from a call to its end.", called)
        about = "Time a call took to be refused for want of room, its message unread."
        self._refusals = self._times("wildgate_refusal_seconds", about, [])

    def call_began(self, kind: str, service: str, method: str) -> None:
        """Counts a call; `kind` is unary, client_stream, server_stream or bidi_stream."""
        self._started.labels(kind, service, method).inc()

    def call_ended(self, kind: str, service: str, method: str, code: str, took_s: float) -> None:
        """Counts the end of a call; `code` is the status's name, such as RESOURCE_EXHAUSTED."""
        self._handled.labels(kind, service, method, code).inc()
        self._handling.labels(kind, service, method).observe(took_s)

    def refused(self, seconds: float) -> None:
        """Counts one call that was refused for want of room."""
        self._refusals.observe(seconds)

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Adds a gauge that is read when it is scraped."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def gauges(self, name: str, help_text: str, labels: Sequence[str], read: Callable[[], Readings]) -> None:
        """Adds gauges with `labels` that are read when they are scraped."""
        self.registry.register(_Read(lambda: GaugeMetricFamily(name, help_text, labels=labels), read))

    def counters(self, name: str, help_text: str, labels: Sequence[str], read: Callable[[], Readings]) -> None:
        """Adds counters with `labels` that somebody else counts, read when they are scraped."""
        self.registry.register(_Read(lambda: CounterMetricFamily(name, help_text, labels=labels), read))

    def _counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _times(self, name: str, help_text: str, labels: Sequence[str]) -> Histogram:
        return Histogram(name, help_text, labels, buckets=TIME_BUCKETS_S, registry=self.registry)


class _Read(Collector):
    """Collects a family from what is read when it is scraped."""

    def __init__(
        self, family: Callable[[], GaugeMetricFamily | CounterMetricFamily], read: Callable[[], Readings]
    ) -> None:
        self._family = family
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """The family's name, without reading."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        """The family, with what it is now."""
        family = self._family()
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        return [family]
