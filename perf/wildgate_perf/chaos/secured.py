"""A gateway that is reached by TLS, whose certificate is renewed under load."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from wildgate_client import tls_credentials
from wildgate_perf.chaos.fault import Fault
from wildgate_perf.server_process import serving

__all__ = ["FAULTS", "Secured", "secured"]

_AGE_S = 2.0  # of a connection: callers connect anew all the time


@dataclass
class Secured:
    """Where it is reached, by whom it is trusted, and the pairs of certificate and key: in use, and the next one."""

    target: str
    credentials: grpc.ChannelCredentials | None
    used: tuple[Path, Path]
    following: tuple[Path, Path]


@asynccontextmanager
async def secured(folder: Path) -> AsyncIterator[Secured]:
    """Runs it as long as the context lasts."""
    used, following = _pair(folder, "used"), _pair(folder, "following")
    trusted = folder / "trusted.pem"
    trusted.write_bytes(used[0].read_bytes() + following[0].read_bytes())
    settings = {"tls__cert": used[0], "tls__key": used[1], "endpoint__max_connection_age_s": _AGE_S}
    running = serving(log_folder=folder, cache__max_entries=0, **settings)
    server = await asyncio.to_thread(running.__enter__)
    try:
        yield Secured(server.target, tls_credentials(trusted), used, following)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def _pair(folder: Path, name: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subject = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert))
    subprocess.run([*command.split(), *subject], check=True, capture_output=True)
    return cert, key


async def _renew(server: Secured) -> None:
    """The key first, then the certificate: for a moment they do not belong together."""
    for ours, new in ((server.used[1], server.following[1]), (server.used[0], server.following[0])):
        ours.write_bytes(new.read_bytes())
        await asyncio.sleep(_AGE_S)
    host, _, port = server.target.rpartition(":")
    shown = await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))
    if ssl.PEM_cert_to_DER_cert(shown) != ssl.PEM_cert_to_DER_cert(server.following[0].read_text()):
        raise RuntimeError("the renewed certificate is not in use")


FAULTS = (Fault("a certificate renewed", _renew, None),)
"""Played on Secured."""
