"""Where the gateway is reached: the gRPC server with health and reflection."""

from __future__ import annotations

import resource

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import Field

from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceServicer, add_BlockServiceServicer_to_server
from wildgate_server.access.access_interceptor import AccessInterceptor
from wildgate_server.admission import AdmissionSettings
from wildgate_server.arrivals import Arrivals
from wildgate_server.blocks.block_service import BLOCK_SERVICE
from wildgate_server.call_metrics import CallMetrics
from wildgate_server.config_section import ConfigSection, HostPort
from wildgate_server.interceptor import CallInterceptor, ErrorInterceptor
from wildgate_server.readiness import Readiness
from wildgate_server.server_metrics import ServerMetrics
from wildgate_server.service import SERVICE_NAME, ScoringService

__all__ = ["EndpointSettings", "connections_within", "grpc_server", "health_server"]

_log = structlog.get_logger()

_BESIDES_BYTES = 64 << 10  # besides the video; one that is larger by less is refused in our own words
_FEWEST_ARRIVALS = 4
_HEALTH_ARRIVALS = 8
_MAX_CONNECTIONS = 4096
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
    """Where metrics, liveness and readiness are served over HTTP; nowhere by default."""
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
    metrics: ServerMetrics,
    access: AccessInterceptor | None = None,
    blocks: BlockServiceServicer | None = None,
    limits: AdmissionSettings,
    max_video_bytes: int,
    max_connections: int = _MAX_CONNECTIONS,
    max_connection_age_s: float | None = None,
) -> grpc.aio.Server:
    """The server with all its services, not listening yet; those of scoring and of the list of blocks if given.

    With `access`, calls need a token.
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
            CallMetrics(metrics),
            *([access] if access else []),
            ErrorInterceptor(SERVICE_NAME, BLOCK_SERVICE, _HEALTH, reflection.SERVICE_NAME, refused=metrics.refused),
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
