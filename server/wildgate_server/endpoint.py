"""Where the gateway is reached: the gRPC server with health and reflection, and the metrics over HTTP."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import make_wsgi_app
from pydantic import Field

from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceServicer, add_BlockServiceServicer_to_server
from wildgate_server.access.access_interceptor import AccessInterceptor
from wildgate_server.admission import AdmissionSettings
from wildgate_server.arrivals import Arrivals
from wildgate_server.blocks.block_service import BLOCK_SERVICE
from wildgate_server.config_section import ConfigSection, HostPort
from wildgate_server.errors import StartError
from wildgate_server.interceptor import CallInterceptor, ErrorInterceptor
from wildgate_server.metrics import Metrics
from wildgate_server.readiness import Readiness
from wildgate_server.service import SERVICE_NAME, ScoringService

__all__ = ["EndpointSettings", "connections_within", "grpc_server", "health_server", "metrics_server"]

_log = structlog.get_logger()

_BESIDES_BYTES = 64 << 10  # besides the video; one that is larger by less is refused in our own words
_FEWEST_ARRIVALS = 4
_HEALTH_ARRIVALS = 8
_MAX_CONNECTIONS = 4096
_SCRAPES_AT_ONCE = 8
_OTHER_DESCRIPTORS = 512  # workers, Triton, files, the cache
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_OPTIONS = [
    ("grpc.so_reuseport", 0),
    # A compressed message is taken as it comes, and refused as no request: 127 KB may be 128 MB.
    ("grpc.per_message_decompression", 0),
    ("grpc.http2.bdp_probe", 0),  # what nobody has asked for yet comes in by 64 KB, whatever the network could take
    ("grpc.max_concurrent_streams", 128),  # of one connection
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),  # the client pings a quiet connection every minute
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.server_handshake_timeout_ms", 10_000),  # also for HTTP/2's first frame
    ("grpc.max_connection_idle_ms", 300_000),
]


class EndpointSettings(ConfigSection):
    """Where the gateway can be reached."""

    address: HostPort = "127.0.0.1:8100"
    """gRPC address; port 0 takes a free one."""
    metrics: HostPort | None = None
    """Where Prometheus metrics are served over HTTP; nowhere by default."""
    health: HostPort | None = None
    """Where health is answered as well, and nothing else: for probes, with connections of its own."""
    max_connections: int = Field(_MAX_CONNECTIONS, ge=1)
    """Connections at once; one more is closed at once."""
    max_connection_age_s: float = Field(300.0, gt=0)
    """After about how long callers are asked to connect anew, so that a replica that was added gets its share; calls
    under way, streams too, go on."""
    drain_pause_s: float = Field(2.0, ge=0)
    """How long calls are still taken after SIGTERM, with health NOT_SERVING: until balancers have noticed."""
    drain_s: float = Field(18.0, gt=0)
    """How long work under way may take to finish after that; stopping Triton takes up to 6 s more."""


def grpc_server(
    service: ScoringService | None,
    readiness: Readiness,
    *,
    access: AccessInterceptor | None = None,
    blocks: BlockServiceServicer | None = None,
    limits: AdmissionSettings,
    max_video_bytes: int,
    metrics: Metrics | None = None,
    max_connections: int = _MAX_CONNECTIONS,
    max_connection_age_s: float | None = None,
) -> grpc.aio.Server:
    """The server with all its services, not listening yet; those of scoring and of the list of blocks if given.

    With `access`, calls need a token. `metrics` are told how long refusals take.
    """
    largest = max_video_bytes + _BESIDES_BYTES
    calls = CallInterceptor(
        Arrivals(max(_FEWEST_ARRIVALS, (limits.max_arriving_mb << 20) // largest)),
        arrival_timeout_s=limits.arrival_timeout_s,
        answer_timeout_s=limits.answer_timeout_s,
        aside=(_HEALTH,),
        room_aside=Arrivals(_HEALTH_ARRIVALS),
    )
    server = grpc.aio.server(
        interceptors=[
            *([access] if access else []),
            ErrorInterceptor(
                SERVICE_NAME, BLOCK_SERVICE, _HEALTH, reflection.SERVICE_NAME, refused=(metrics or Metrics()).refused
            ),
            calls,
        ],
        options=[
            *_OPTIONS,
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_allowed_incoming_connections", connections_within(max_connections)),
            *([("grpc.max_connection_age_ms", int(max_connection_age_s * 1e3))] if max_connection_age_s else []),
        ],
    )
    names = [_HEALTH, reflection.SERVICE_NAME]
    if service is not None:
        service.join(server)
        names.append(SERVICE_NAME)
    if blocks is not None:
        add_BlockServiceServicer_to_server(blocks, server)  # type: ignore[no-untyped-call]
        names.append(BLOCK_SERVICE)
    health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
    reflection.enable_server_reflection(names, server)
    return server


def health_server(readiness: Readiness) -> grpc.aio.Server:
    """A server that tells health alone, in small messages over few connections, not listening yet."""
    options = [*_OPTIONS, ("grpc.max_receive_message_length", 4096), ("grpc.max_allowed_incoming_connections", 64)]
    server = grpc.aio.server(options=options)
    health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
    return server


def connections_within(wanted: int) -> int:
    """Has the process open as many files as it may, and returns how many connections of `wanted` that allows.

    1,024, which is usual, are spent by as many callers that say nothing.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_DESCRIPTORS
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < needed:
        _log.warning("connections_bounded_by_descriptors", wanted=wanted, limit=soft)
    return max(1, min(wanted, soft - _OTHER_DESCRIPTORS))


class _MetricsHandler(WSGIRequestHandler):
    timeout = 5.0  # without a byte

    def log_message(self, format: str, *args: object) -> None:
        """Each scrape would be a line."""


class _MetricsServer(ThreadingMixIn, WSGIServer):
    """Answers few at once, and closes what is more."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._free = threading.BoundedSemaphore(_SCRAPES_AT_ONCE)
        super().__init__((host, port), _MetricsHandler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer would ask the DNS for this host's name
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


@contextmanager
def metrics_server(address: str, metrics: Metrics) -> Iterator[None]:
    """Serves the metrics as long as the context lasts. Raises StartError."""
    host, _, port = address.rpartition(":")
    try:
        http = _MetricsServer(host.strip("[]"), int(port))
    except OSError as error:
        raise StartError(f"cannot serve metrics at {address}: {error}") from error
    http.set_app(make_wsgi_app(metrics.registry))
    thread = threading.Thread(target=http.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
