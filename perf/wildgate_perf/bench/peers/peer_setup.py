"""What a peer is, what its processes are told, and what its failures are called."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
_VARIABLE = "WILDGATE_PEER_SETUP"


class PeerAbsent(Exception):
    """The peer cannot take part on this machine; the text says why."""


class PeerFailed(Exception):
    """The peer gave no answer, or a wrong one; the text says what."""


@dataclass(frozen=True)
class PeerSetup:
    """The ONNX file and its letterbox value, a free port on loopback, a folder for its own files, worker processes."""

    graph: Path
    letterbox_value: int
    port: int
    scratch: Path
    workers: int

    @property
    def address(self) -> str:
        """Where the peer must listen, `host:port`."""
        return f"{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        """This setup, for `from_environment` in the peer's processes; one thread for each of them."""
        return {_VARIABLE: json.dumps(asdict(self), default=os.fspath), "OMP_NUM_THREADS": "1"}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> PeerSetup:
        """What this process was told. Raises PeerFailed where it was told nothing."""
        if _VARIABLE not in environment:
            raise PeerFailed("a peer is started by `make bench-peers`, not by hand")
        told = json.loads(environment[_VARIABLE])
        return cls(**told | {name: Path(told[name]) for name in ("graph", "scratch")})


@dataclass(frozen=True)
class Peer:
    """One peer; `name` is its key in the results, `packages` are the distributions that it is made of.

    `command` starts it in the foreground, `client` asks it at its address. `tried` says which settings were tried, and
    what came of them.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    command: Callable[[PeerSetup], list[str]]
    client: Callable[[str], Any]
    tried: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def python_module(name: str) -> Callable[[PeerSetup], list[str]]:
    """The command that runs a module of this package with this interpreter."""
    return lambda setup: [sys.executable, "-m", f"{__package__}.{name}"]


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of `packages`. Raises PeerAbsent naming the first that is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            raise PeerAbsent(f"{package} is not installed: make bench-peers installs it") from None
    return found
