"""Traces by OpenTelemetry: one for a video, from its caller through sampling and batching into Triton.

Off, which is the default, a span costs a comparison. OpenTelemetry is imported only where it is on (extra `tracing`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from time import time_ns
from typing import TYPE_CHECKING, Any

from pydantic import Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.errors import StartError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["Handed", "TracingSettings", "handed", "headers", "serving", "span", "spans_of_batch", "trace_id", "tracing"]

_HEADERS = frozenset({"traceparent", "tracestate"})
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, version 00
_OFF: AbstractContextManager[None] = nullcontext()


class TracingSettings(ConfigSection):
    """Where spans go, and of which requests."""

    endpoint: str | None = None
    """OTLP over HTTP, such as `http://collector:4318/v1/traces`; without it nothing is traced."""
    share: float = Field(0.01, ge=0, le=1)
    """Share of requests that is traced; where the caller has decided (`traceparent`), that counts."""


@dataclass(frozen=True, eq=False, slots=True)
class Handed:
    """A request's trace where its work goes to another task, and when that was, in nanoseconds since 1970."""

    context: Any
    at_ns: int


@dataclass(frozen=True, slots=True)
class _Tracing:
    """What is needed of OpenTelemetry, imported once: its modules `trace` and `context`, tracer and propagator."""

    trace: Any
    context: Any
    tracer: Tracer
    propagator: Any

    @property
    def is_recording(self) -> bool:
        """Whether the present request is traced."""
        return bool(self.trace.get_current_span().is_recording())


_on: _Tracing | None = None


@asynccontextmanager
async def tracing(settings: TracingSettings, service: str) -> AsyncIterator[None]:
    """Has spans of this process sent as those of `service` while the context lasts.

    They are sent in batches by a thread; where the collector is away they are dropped. Raises StartError where
    OpenTelemetry is not installed.
    """
    global _on
    if settings.endpoint is None:
        yield
        return
    try:
        from opentelemetry import context, trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ModuleNotFoundError as missing:
        raise StartError(f"tracing.endpoint: needs {missing.name}; pip install 'wildgate[tracing]'") from None
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.share)),
        resource=Resource.create({"service.name": service, "service.version": version("wildgate")}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.endpoint)))
    _on = _Tracing(trace, context, provider.get_tracer("wildgate"), TraceContextTextMapPropagator())
    try:
        yield
    finally:
        _on = None
        await asyncio.to_thread(provider.shutdown)


def serving(call: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> AbstractContextManager[Any]:
    """The span of one request: a child of the caller's, whose context (W3C) is in the call's metadata."""
    if _on is None:
        return _OFF
    carrier = {key: value for key, value in metadata or () if key in _HEADERS and isinstance(value, str)}
    kind, about = _on.trace.SpanKind.SERVER, {"rpc.system": "grpc"}
    return _on.tracer.start_as_current_span(call, _on.propagator.extract(carrier), kind, about)


def span(name: str, **attributes: str | int | float) -> AbstractContextManager[Any]:
    """A step of the request that is being served."""
    if _on is None or not _on.is_recording:
        return _OFF
    return _on.tracer.start_as_current_span(name, attributes=attributes)


def handed() -> Handed | None:
    """The present request's trace, for work that another task does for it; None where it is not traced."""
    return Handed(_on.context.get_current(), time_ns()) if _on and _on.is_recording else None


def spans_of_batch(
    name: str, requests: Sequence[Handed | None], **attributes: str | int
) -> AbstractContextManager[Any]:
    """The span of work for several requests at once, and one for each that says how long it waited for that.

    It belongs to the first that is traced, and is linked with the others.
    """
    traced = [*dict.fromkeys(request for request in requests if request)]
    if _on is None or not traced:
        return _OFF
    for request in traced:
        _on.tracer.start_span("queue", request.context, start_time=request.at_ns).end()
    trace = _on.trace
    links = [trace.Link(trace.get_current_span(request.context).get_span_context()) for request in traced[1:]]
    about = {**attributes, "wildgate.traced": len(traced)}
    return _on.tracer.start_as_current_span(name, traced[0].context, trace.SpanKind.CLIENT, about, links)


def headers() -> dict[str, str] | None:
    """What tells another server of the present span (W3C); None where there is none."""
    if _on is None or not _on.is_recording:
        return None
    carrier: dict[str, str] = {}
    _on.propagator.inject(carrier)
    return carrier


def trace_id(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The trace that a request belongs to, by its own span or its caller's word: 32 hexadecimal digits, or none."""
    if _on is not None:
        return f"{_on.trace.get_current_span().get_span_context().trace_id:032x}"
    for key, value in metadata or ():
        if key == "traceparent" and isinstance(value, str) and (parent := _TRACEPARENT.fullmatch(value)):
            return parent[1]
    return ""
