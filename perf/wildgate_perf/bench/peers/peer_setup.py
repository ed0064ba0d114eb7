"""What the processes of a peer are told."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from wildgate_perf.bench.peers.scorer import Scorer

LOOPBACK = "127.0.0.1"
_VARIABLE = "WILDGATE_PEER_SETUP"


@dataclass(frozen=True)
class PeerSetup:
    """The ONNX file and its letterbox value, a free port on loopback, a folder for its own files, worker processes."""

    graph: Path
    letterbox_value: int
    port: int
    scratch: Path
    workers: int

    def scorer(self) -> Scorer:
        """A scorer, for one worker."""
        return Scorer(self.graph, self.letterbox_value)

    def environment(self) -> dict[str, str]:
        """This setup, for `from_environment` in the peer's processes; one thread for each of them."""
        return {_VARIABLE: json.dumps(asdict(self), default=os.fspath), "OMP_NUM_THREADS": "1"}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> PeerSetup:
        """What this process was told. Exits where it was told nothing."""
        if _VARIABLE not in environment:
            raise SystemExit("a peer is started by `make bench-peers`, not by hand")
        told = json.loads(environment[_VARIABLE])
        return cls(**told | {name: Path(told[name]) for name in ("graph", "scratch")})
