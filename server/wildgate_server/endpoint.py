"""Where the gateway is reached: the gRPC server with health and reflection, and the metrics over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server
from pydantic import Field

from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceServicer, add_BlockServiceServicer_to_server
from wildgate_server.access.access_interceptor import AccessInterceptor
from wildgate_server.blocks.block_service import BLOCK_SERVICE
from wildgate_server.config_section import ConfigSection, HostPort
from wildgate_server.errors import StartError
from wildgate_server.interceptor import ErrorInterceptor
from wildgate_server.metrics import Metrics
from wildgate_server.readiness import Readiness
from wildgate_server.service import SERVICE_NAME, ScoringService

__all__ = ["EndpointSettings", "grpc_server", "listen", "metrics_server"]

_MESSAGE_SLACK_BYTES = 1 << 20  # what a request holds besides the video
_CONTROL_CALLS = 64  # health checks, reflection and idle streams
_MIN_PING_INTERVAL_MS = 30_000  # the client pings a quiet connection every minute


class EndpointSettings(ConfigSection):
    """Where the gateway can be reached."""

    address: HostPort = "127.0.0.1:8100"
    """gRPC address; port 0 takes a free one."""
    metrics: HostPort | None = None
    """Where Prometheus metrics are served over HTTP; nowhere by default."""
    drain_s: float = Field(20.0, gt=0)
    """How long work under way may take to finish after SIGTERM."""


def grpc_server(
    service: ScoringService | None,
    readiness: Readiness,
    *,
    access: AccessInterceptor | None = None,
    blocks: BlockServiceServicer | None = None,
    max_in_flight: int,
    max_video_bytes: int,
) -> grpc.aio.Server:
    """The server with all its services, not listening yet; those of scoring and of the list of blocks if given.

    With `access`, calls need a token.
    """
    server = grpc.aio.server(
        interceptors=[*([access] if access else []), ErrorInterceptor(SERVICE_NAME, BLOCK_SERVICE)],
        # A message is in memory before admission can refuse it politely: past this many, gRPC refuses it unread.
        maximum_concurrent_rpcs=2 * max_in_flight + _CONTROL_CALLS,
        options=[
            # Twice, so that a video that is too large is refused in our own words; only past that by gRPC's.
            ("grpc.max_receive_message_length", 2 * max_video_bytes + _MESSAGE_SLACK_BYTES),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
        ],
    )
    names = [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
    if service is not None:
        service.join(server)
        names.append(SERVICE_NAME)
    if blocks is not None:
        add_BlockServiceServicer_to_server(blocks, server)  # type: ignore[no-untyped-call]
        names.append(BLOCK_SERVICE)
    health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
    reflection.enable_server_reflection(names, server)
    return server


def listen(server: grpc.aio.Server, address: str) -> str:
    """Makes the server listen; returns the address with the port that it got. Raises StartError."""
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartError(f"cannot listen at {address}: {error}") from error
    return f"{address.rpartition(':')[0]}:{port}"


@contextmanager
def metrics_server(address: str, metrics: Metrics) -> Iterator[None]:
    """Serves the metrics as long as the context lasts. Raises StartError."""
    host, _, port = address.rpartition(":")
    try:
        http, thread = start_http_server(int(port), host.strip("[]"), metrics.registry)
    except OSError as error:
        raise StartError(f"cannot serve metrics at {address}: {error}") from error
    try:
        yield
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
