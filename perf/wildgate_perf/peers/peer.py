"""What a peer is: processes that are started, asked over the network, and stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from wildgate_perf.peers.detector import Answer
from wildgate_perf.peers.peer_setup import PeerAbsent, PeerSetup, Tuning

__all__ = ["Asker", "Peer", "python_module", "versions"]


class Asker(Protocol):
    """Asks a running peer; the context is that of its connections. Crosses into the load generator's process."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def question(self, video: Path) -> Any:
        """`video` as it is asked about: made once, so that copying it costs nobody anything later."""

    async def ask(self, question: Any) -> Answer:
        """The answer. Raises PeerFailed for none or a bad one."""


@dataclass(frozen=True)
class Peer:
    """One peer; `name` is its key in the results, `packages` are the distributions that it is made of.

    `command` starts it in the foreground, `asker` asks it at its address. `tuning` is the best found for a number of
    cores; `tried` says what else was, and what came of it.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    command: Callable[[PeerSetup], list[str]]
    asker: Callable[[str], Asker]
    tuning: Callable[[int], Tuning]
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
            raise PeerAbsent(f"{package} is not installed: pip install 'wildgate[peers]'") from None
    return found
