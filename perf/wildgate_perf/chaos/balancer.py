"""HAProxy in front of gateways that it asks for their health, and between them and Tritons at fixed ports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h2.config
import h2.connection

from wildgate_perf.chaos.neighbour import Neighbour

__all__ = ["balancing"]

_HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
_SERVING = "00000000020801"  # a message of two bytes: status, SERVING


@contextmanager
def balancing(
    folder: Path, listen: str, gateways: Sequence[tuple[str, str]], tritons: Sequence[tuple[str, Path]]
) -> Iterator[None]:
    """Balances the calls to `listen` over gateways, each given by its address and where it tells its health.

    Each of `tritons` is a port of its own, by which a socket is reached.
    """
    config = folder / "haproxy.cfg"
    config.write_text(_config(listen, gateways, tritons), encoding="ascii")
    haproxy = Neighbour(folder / "haproxy.log", (_HAPROXY, "-db", "-f", str(config)), listen)
    try:
        haproxy.start()
        yield
    finally:
        haproxy.kill()


def _config(listen: str, gateways: Sequence[tuple[str, str]], tritons: Sequence[tuple[str, Path]]) -> str:
    lines = [
        "defaults",
        "  timeout connect 1s",
        "  timeout client 10m",
        "  timeout server 10m",
        "listen gateways",
        "  mode http",
        f"  bind {listen} proto h2",
        "  balance leastconn",
        "  option redispatch",
        "  option tcp-check",
        f"  tcp-check send-binary {_question()}",
        f"  tcp-check expect binary {_SERVING}",
    ]
    for number, (address, health) in enumerate(gateways):
        check = f"check addr {health.rpartition(':')[0]} port {health.rpartition(':')[2]} inter 250ms fall 1 rise 1"
        lines.append(f"  server gateway{number} {address} proto h2 {check}")
    for number, (address, socket) in enumerate(tritons):
        lines += [f"listen triton{number}", "  mode tcp", f"  bind {address}", f"  server triton unix@{socket}"]
    return "\n".join([*lines, ""])


def _question() -> str:
    """grpc.health.v1.Health/Check for the server as a whole, as the bytes of a new HTTP/2 connection."""
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    wire.initiate_connection()
    headers = [(":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check")]
    wire.send_headers(
        1, [*headers, (":authority", "haproxy"), ("te", "trailers"), ("content-type", "application/grpc")]
    )
    wire.send_data(1, bytes(5), end_stream=True)
    return wire.data_to_send().hex()


if __name__ == "__main__":
    print(_question())
