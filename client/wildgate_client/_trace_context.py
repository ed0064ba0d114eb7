"""The caller's trace, passed on to the server.

With each call's metadata, not by an interceptor of the channel: OpenTelemetry's for asyncio loses the CancelledError
of a caller that leaves, and there is nothing here that could.
"""

from __future__ import annotations

import sys

__all__ = ["trace_context"]


def trace_context() -> tuple[tuple[str, str], ...]:
    """The present span as W3C Trace Context; nothing where the process does not use OpenTelemetry, or has no span."""
    if "opentelemetry.trace" not in sys.modules:
        return ()
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return tuple(carrier.items())
