"""Bare Triton: the whole file goes to a Python model, one instance per core, which decodes and detects.

The `tritonserver` is the one that wildgate embeds. It has no ONNX backend, so the model runs ONNX Runtime itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from wildgate_perf.bench.peers.peer_setup import LOOPBACK, PeerSetup
from wildgate_perf.server_parts import find_triton_runtime

# One input of variable size may be sent raw, as the body of a POST.
_CONFIG = """
name: "whole_video"
backend: "python"
max_batch_size: 0
input [ {{ name: "VIDEO" data_type: TYPE_UINT8 dims: [ -1 ] }} ]
output [ {{ name: "ANSWER" data_type: TYPE_STRING dims: [ 1 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
"""


def main(setup: PeerSetup) -> None:
    """Lays out a model repository, and becomes the server."""
    runtime = find_triton_runtime()
    models, backends = setup.scratch / "models", setup.scratch / "backends"
    version = models / "whole_video" / "1"
    version.mkdir(parents=True)
    version.with_name("config.pbtxt").write_text(_CONFIG.format(instances=setup.workers), encoding="utf-8")
    here = Path(__file__).resolve().parent
    (version / "model.py").symlink_to(here / "whole_video_model.py")
    (version / "wildgate_perf").symlink_to(here.parents[1])  # the stub's Python heeds no PYTHONPATH
    runtime.assemble_backends(backends)
    options = {
        "model-repository": models,
        "backend-directory": backends,
        "backend-config": f"python,shm-region-prefix-name=wildgate-peer-{setup.port}",
        "allow-metrics": "false",
        "allow-grpc": "false",
        "http-address": LOOPBACK,
        "http-port": setup.port,
        "log-info": "false",
    }
    flags = ["--disable-auto-complete-config", *(f"--{name}={value}" for name, value in options.items())]
    os.execve(runtime.server, [os.fspath(runtime.server), *flags], runtime.environment())


if __name__ == "__main__":
    main(PeerSetup.from_environment())
