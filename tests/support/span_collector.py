"""An OTLP collector in this process: takes spans over HTTP and keeps them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class TakenSpan:
    """One span; identifiers are hexadecimal, the parent's is empty for a root."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str


@dataclass
class SpanCollector:
    url: str
    spans: list[TakenSpan] = field(default_factory=list)

    def of_trace(self, trace_id: str) -> list[TakenSpan]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def take(self, kind: str, message: bytes) -> None:
        """Keeps the spans of a request: Triton sends them as JSON, with identifiers in hexadecimal digits."""
        if kind == "application/json":
            self._take(json.loads(message)["resourceSpans"], str)
        else:
            request = MessageToDict(ExportTraceServiceRequest.FromString(message))
            self._take(request["resourceSpans"], lambda told: base64.b64decode(told).hex())

    def _take(self, resources: list[dict[str, Any]], identifier: Callable[[str], str]) -> None:
        for resource in resources:
            about = {each["key"]: each["value"] for each in resource["resource"]["attributes"]}
            self.spans += [
                TakenSpan(
                    about["service.name"]["stringValue"],
                    span["name"],
                    *(identifier(span.get(key, "")) for key in ("traceId", "spanId", "parentSpanId")),
                )
                for scope in resource["scopeSpans"]
                for span in scope["spans"]
            ]


@contextmanager
def span_collector() -> Iterator[SpanCollector]:
    """A collector at a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(self.headers["Content-Type"], body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = SpanCollector(f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield collector
        server.shutdown()
        thread.join()
