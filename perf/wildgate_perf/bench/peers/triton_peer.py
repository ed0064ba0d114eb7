"""Bare Triton: the whole file goes to a Python model, one instance per core, which decodes and detects.

The `tritonserver` is the one that wildgate embeds. It has no ONNX backend, so the model runs ONNX Runtime itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from wildgate_perf.bench.peers.peer_setup import PeerSetup
from wildgate_perf.server_parts import TritonRuntime, find_triton_runtime, free_endpoints

_CONFIG = """
name: "whole_video"
backend: "python"
max_batch_size: 0
input [ {{ name: "VIDEO" data_type: TYPE_UINT8 dims: [ -1 ] }} ]
output [
  {{ name: "DETECTIONS" data_type: TYPE_FP32 dims: [ -1, -1, -1, 6 ] }},
  {{ name: "TIMES_S" data_type: TYPE_FP64 dims: [ -1 ] }}
]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
"""


def lay_out(setup: PeerSetup, runtime: TritonRuntime) -> tuple[Path, Path]:
    """Writes the model repository and the backend directory that Triton is started with."""
    model = setup.scratch / "models" / "whole_video"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(_CONFIG.format(instances=setup.workers), encoding="utf-8")
    here = Path(__file__).resolve().parent
    (model / "1" / "model.py").symlink_to(here / "whole_video_model.py")
    # The stub's Python heeds no PYTHONPATH.
    (model / "1" / "wildgate_perf").symlink_to(here.parents[1])
    backends = setup.scratch / "backends"
    runtime.assemble_backends(backends)
    return model.parent, backends


def command(setup: PeerSetup, runtime: TritonRuntime, models: Path, backends: Path) -> list[str]:
    """The command line of the server."""
    unused = free_endpoints().http
    http_host, _, http_port = unused.rpartition(":")
    host, _, port = setup.address.rpartition(":")
    return [
        str(runtime.server),
        f"--model-repository={models}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name=wildgate-peer-{setup.port}",
        "--disable-auto-complete-config",
        "--allow-metrics=false",
        f"--grpc-address={host}",
        f"--grpc-port={port}",
        f"--http-address={http_host}",
        f"--http-port={http_port}",
        "--log-info=false",
    ]


def main(setup: PeerSetup) -> None:
    """Becomes the server."""
    runtime = find_triton_runtime()
    models, backends = lay_out(setup, runtime)
    os.execve(runtime.server, command(setup, runtime, models, backends), runtime.environment())


if __name__ == "__main__":
    main(PeerSetup.from_environment())
