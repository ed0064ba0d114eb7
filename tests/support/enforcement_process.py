"""`wildgate enforce`, a block service and `wildgate cases` as real processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from checkout import ROOT
from gateway_under_test import PATIENCE_S

WILDGATE = (sys.executable, "-m", "wildgate_client.cli")


@dataclass
class Process:
    """A command that says that it is ready with its first line; it can be killed and started anew."""

    command: tuple[str, ...]
    first_line: str = ""
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        self._process = subprocess.Popen([*WILDGATE, *self.command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout
        self.first_line = self._process.stdout.readline()
        assert self.first_line, f"{self.command} ended with {self._process.wait(PATIENCE_S)}"

    def kill(self) -> None:
        """As `kill -9` does."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def stop(self) -> int:
        """As an operator does; returns the exit status."""
        assert self._process
        self._process.terminate()
        status = self._process.wait(PATIENCE_S)
        self._process.communicate()
        self._process = None
        return status


def cases(*arguments: str, server: str, token_file: Path) -> str:
    """What `wildgate cases` prints; fails with what it says instead."""
    done = subprocess.run(
        [*WILDGATE, "cases", *arguments, "--server", server, "--token-file", str(token_file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
