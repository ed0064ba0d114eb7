"""Writes the graphs of `frame_fingerprint`: `python -m wildgate_build.fingerprint [REPOSITORY]`."""

import sys
from pathlib import Path

from wildgate_build.fingerprint.graph import fingerprint_graph
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.model_configs import FRAME_FINGERPRINT


def main(repository: Path) -> None:
    """Writes `model.onnx`, for CPUs, and `gpu.onnx`. Raises ManifestError, OSError."""
    manifest = load_manifest(repository)
    directory = repository / FRAME_FINGERPRINT / "1"
    for name, frames in (("model.onnx", None), ("gpu.onnx", manifest.frames_per_window)):
        graph = fingerprint_graph(frames, manifest.frame_side_px)
        (directory / name).write_bytes(graph.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["model_repository"]))
