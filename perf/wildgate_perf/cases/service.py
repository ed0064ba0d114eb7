"""`wildgate enforce` in a process of its own, on SQLite or on a PostgreSQL that runs as an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import jwt
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wildgate_perf.server_parts import free_address, free_port

__all__ = ["CaseService", "case_service", "postgresql"]

_ENFORCE = (sys.executable, "-m", "wildgate_client.cli", "enforce")
_ISSUER = "https://measured.example"
_TOKENS_HOLD_S = 3600
_START_S = 60.0


@dataclass(frozen=True)
class CaseService:
    """A service that answers at `address`, and who may sign tokens for it."""

    address: str
    process: psutil.Process
    key: Ed25519PrivateKey

    def metadata(self, who: str, role: str) -> tuple[tuple[str, str], ...]:
        """What a person or process of that role sends along."""
        claims = {"iss": _ISSUER, "aud": "wildgate", "sub": who, "roles": [role]}
        token = jwt.encode(claims | {"exp": int(time.time()) + _TOKENS_HOLD_S}, self.key, "EdDSA")
        return (("authorization", f"Bearer {token}"),)

    def cpu_s(self) -> float:
        """Processor time that it has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def case_service(directory: Path, database_url: str | None) -> Iterator[CaseService]:
    """The service; what it is told to tell goes nowhere. Raises RuntimeError where it does not start."""
    key, keys, address = Ed25519PrivateKey.generate(), directory / "keys.pem", free_address()
    keys.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    options = (
        *("--directory", str(directory / "enforcement"), "--listen", address, "--log-level", "warning"),
        *("--access.keys", str(keys), "--access.issuer", _ISSUER, "--policy.second-share", "0"),
        *(("--database", database_url) if database_url else ()),
    )
    with subprocess.Popen([*_ENFORCE, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            if not process.stdout.readline():
                raise RuntimeError(f"wildgate enforce ended with status {process.wait()}")
            yield CaseService(address, psutil.Process(process.pid), key)
        finally:
            process.terminate()


@contextmanager
def postgresql(directory: Path, *, wanted: bool) -> Iterator[str | None]:
    """The URL of a new PostgreSQL with its usual settings, None where none is wanted. Raises RuntimeError."""
    if not wanted:
        yield None
        return
    if not (found := sorted(glob("/usr/lib/postgresql/*/bin"))):
        raise RuntimeError("postgres is not installed (Debian: apt-get install postgresql)")
    data, port = directory / "postgres", free_port()
    data.mkdir(mode=0o700)
    user = "nobody" if os.getuid() == 0 else None  # it refuses root
    if user:
        directory.chmod(0o711)
        shutil.chown(data, user)
    initdb = (f"{found[-1]}/initdb", "-D", data, "-U", "wildgate", "-A", "trust", "-E", "UTF8")
    subprocess.run(initdb, check=True, capture_output=True, user=user, cwd="/")
    settings = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
    with subprocess.Popen(
        (f"{found[-1]}/postgres", "-D", data, "-p", str(port), *settings), stderr=subprocess.DEVNULL, user=user, cwd="/"
    ) as process:
        try:
            give_up = time.monotonic() + _START_S
            while subprocess.run((f"{found[-1]}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))).returncode:
                if process.poll() is not None or time.monotonic() > give_up:
                    raise RuntimeError("postgres did not start")
                time.sleep(0.05)
            yield f"postgresql+asyncpg://wildgate@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()
