"""A service beside the gateways, which can be killed and started anew."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["Neighbour"]


class Neighbour:
    """Runs `command`, which listens at `address`, always the same; what it writes is added to `log`."""

    def __init__(self, log: Path, command: tuple[str, ...], address: str) -> None:
        self._log = log
        self._command = command
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it takes connections. Raises RuntimeError when it ends instead."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        host, _, port = self._address.rpartition(":")
        while self._process.poll() is None:
            with suppress(OSError), socket.create_connection((host, int(port))):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self._command} ended: {self._log.read_text()}")

    def kill(self) -> None:
        """As `kill -9` does."""
        if self._process:
            self._process.kill()
            self._process.wait()
