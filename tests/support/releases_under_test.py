"""Manifests, releases and rollouts for tests, in memory and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from blake3 import blake3

from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.repository.releases import Canary, Release, Releases, Rollout

LABELS = ("live_bear", "rhino_horn")
SHAPES = {"frames_per_window": 4, "frame_side_px": 320, "detections_per_frame": 2}


def manifest() -> ModelManifest:
    """F 4, S 320, K 2."""
    serving = {"max_batch_size": 8, "max_queue_delay_us": 0, "instances": 1}
    return ModelManifest.model_validate(
        {**SHAPES, "letterbox_value": 114, "max_frame_pixels": 1 << 20, "serving": serving}
    )


def release_fields(version: int, /, **changes: Any) -> dict[str, Any]:
    """What release.yaml says of a version `m/<version>`, whose only file is `model.onnx` with its number in it."""
    return {
        "name": "m",
        "version": version,
        "precision": "fp32",
        "labels": list(LABELS),
        **SHAPES,
        "files": {"model.onnx": f"blake3:{blake3(str(version).encode()).hexdigest()}"},
        "origin": {
            "family": "rule",
            "source_digest": "blake3:" + "0" * 64,
            "published": "2026-01-01T00:00:00Z",
            "tool": "tests",
        },
        **changes,
    }


def releases(serving: int = 1, canary: int | None = None, share: float = 0.5, **changes: Any) -> Releases:
    """Releases with the fields of `release_fields`; `changes` apply to the one on trial, or else to the only one."""
    rollout = Rollout(serving=serving, canary=Canary(version=canary, share=share) if canary else None)
    special = rollout.versions[-1]
    return Releases(
        rollout,
        {
            version: Release.model_validate(release_fields(version, **(changes if version == special else {})))
            for version in rollout.versions
        },
    )


def write_repository(directory: Path, rollout: dict[str, Any], *versions: int, **changes: Any) -> Path:
    """A repository with manifest, rollout and releases, without configs; `changes` apply to the last version."""
    (directory / "manifest.yaml").write_text(yaml.safe_dump(manifest().model_dump()))
    (directory / "rollout.yaml").write_text(yaml.safe_dump(rollout))
    for version in versions:
        home = directory / "wildlife_detector" / str(version)
        home.mkdir(parents=True)
        (home / "model.onnx").write_text(str(version))
        fields = release_fields(version, **(changes if version == versions[-1] else {}))
        (home / "release.yaml").write_text(yaml.safe_dump(fields))
    return directory
