"""What a peer's processes are told, and how its failures are called."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["LOOPBACK", "PeerAbsent", "PeerFailed", "PeerSetup", "Tuning"]

LOOPBACK = "127.0.0.1"
_VARIABLE = "WILDGATE_PEER_SETUP"


class PeerAbsent(Exception):
    """The peer cannot take part on this machine; the text says why."""


class PeerFailed(Exception):
    """The peer gave no answer, or a wrong one; the text says what."""


@dataclass(frozen=True)
class Tuning:
    """What was tuned: worker processes, ONNX Runtime's threads in each, the framework's own batching and front ends.

    `switches` are options of one framework alone, as its peer calls them.
    """

    workers: int
    intra_threads: int = 1
    max_batch: int = 1
    batch_wait_ms: int = 0
    front_ends: int = 1
    switches: tuple[str, ...] = ()


@dataclass(frozen=True)
class PeerSetup:
    """The ONNX file and its letterbox value, a free port on loopback, a folder for the peer's own files."""

    graph: Path
    letterbox_value: int
    port: int
    scratch: Path
    tuning: Tuning

    @property
    def address(self) -> str:
        """Where the peer is to listen, `host:port`."""
        return f"{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        """This setup, for `from_environment` in the peer's processes; other libraries' threads are bounded along."""
        return {
            _VARIABLE: json.dumps(asdict(self), default=os.fspath),
            "OMP_NUM_THREADS": str(self.tuning.intra_threads),
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> PeerSetup:
        """What this process was told. Raises PeerFailed where it was told nothing."""
        if _VARIABLE not in environment:
            raise PeerFailed("a peer is started by `python -m wildgate_perf.peers`, not by hand")
        told = json.loads(environment[_VARIABLE])
        tuning = Tuning(**{**told["tuning"], "switches": tuple(told["tuning"]["switches"])})
        paths = {name: Path(told[name]) for name in ("graph", "scratch")}
        return cls(**{**told, **paths, "tuning": tuning})
