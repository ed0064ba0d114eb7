"""What a server under attack takes and says: memory of its processes, and health as a probe hears it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from wildgate_perf.cpu_time import kind_of
from wildgate_perf.server_process import ServerProcess

__all__ = ["Watched", "watching"]

_PERIOD_S = 0.2
_PROBES_EVERY_S = 1.0
HEALTH_TIMEOUT_S = 2.0
"""A probe that is not answered by then is a failure."""


@dataclass
class Watched:
    """Peaks in MiB of resident memory, and how probes went; `slowest_s` of those that were answered."""

    gateway_mb: int = 0
    all_mb: int = 0
    probes: int = 0
    failed: int = 0
    slowest_s: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)

    def weigh(self, server: ServerProcess) -> None:
        """Looks at the memory until the end."""
        while not self._ended.wait(_PERIOD_S):
            by_kind = {"gateway": 0}
            for process in server.processes():
                try:
                    kind, size = kind_of(process), process.memory_info().rss
                except psutil.Error:
                    continue
                by_kind[kind] = by_kind.get(kind, 0) + size
            self.gateway_mb = max(self.gateway_mb, by_kind["gateway"] >> 20)
            self.all_mb = max(self.all_mb, sum(by_kind.values()) >> 20)

    def probe(self, target: str) -> None:
        """Asks for health over a new connection each time, as probes of orchestrators do."""
        while not self._ended.wait(_PROBES_EVERY_S):
            began = time.monotonic()
            with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                try:
                    stub = health_pb2_grpc.HealthStub(channel)
                    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT_S)
                    healthy = answer.status == health_pb2.HealthCheckResponse.SERVING
                except grpc.RpcError:
                    healthy = False
            self.probes += 1
            self.failed += not healthy
            if healthy:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def end(self) -> None:
        """No more of both."""
        self._ended.set()


@contextmanager
def watching(server: ServerProcess) -> Iterator[Watched]:
    """Watches the server as long as the context lasts."""
    watched = Watched()
    threads = [
        threading.Thread(target=watched.weigh, args=(server,)),
        threading.Thread(target=watched.probe, args=(server.target,)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield watched
    finally:
        watched.end()
        for thread in threads:
            thread.join()
