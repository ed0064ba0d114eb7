"""A real PostgreSQL of the tests' own, run by an ordinary user: it refuses root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

import pytest
from redis_under_test import free_port

PATIENCE_S = 60.0
ORDINARY_USER = "nobody"


@dataclass
class RealPostgres:
    """A cluster on a free loopback port; it can be killed and started anew."""

    binaries: Path
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+asyncpg://wildgate@127.0.0.1:{self.port}/{database}"

    @property
    def _user(self) -> str | None:
        return ORDINARY_USER if os.getuid() == 0 else None

    def create(self) -> None:
        self.directory.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self.directory, self._user)
        subprocess.run(
            [str(self.binaries / "initdb"), "-D", str(self.directory), "-U", "wildgate", "-A", "trust", "-E", "UTF8"],
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
            user=self._user,
            cwd="/",
        )

    def start(self) -> None:
        options = ("-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
        self.process = subprocess.Popen(
            [str(self.binaries / "postgres"), "-D", str(self.directory), *options, "-c", "max_connections=60"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd="/",
        )
        asked = [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        give_up = time.monotonic() + PATIENCE_S
        while subprocess.run(asked, check=False).returncode:
            assert self.process.poll() is None, "postgres ended"
            assert time.monotonic() < give_up, "postgres does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_S)
            self.process = None


def real_postgres(directory: Path) -> RealPostgres:
    """Created and not started; skips the test where PostgreSQL is not installed."""
    found = sorted(glob("/usr/lib/postgresql/*/bin/initdb")) or [shutil.which("initdb") or ""]
    if not found[-1]:
        pytest.skip("postgres is not installed (Debian: apt-get install postgresql)")
    postgres = RealPostgres(Path(found[-1]).parent, directory, free_port())
    postgres.create()
    return postgres
