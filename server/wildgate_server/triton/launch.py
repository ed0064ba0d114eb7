"""What an embedded Triton is started with: its ports, its copy of the model repository, its command line."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from wildgate_server.cores import available_cores
from wildgate_server.repository.manifest import ModelManifest, load_manifest
from wildgate_server.repository.model_configs import CPU_PROFILE, ensembles, models_to_load, write_configs
from wildgate_server.repository.releases import Canary, Rollout
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.runtime import TritonRuntime

__all__ = [
    "STOP_TIMEOUT_S",
    "Launch",
    "TritonEndpoints",
    "free_endpoints",
    "lay_out_models",
    "server_command",
    "touch_model",
]

STOP_TIMEOUT_S = 10
"""How long requests under way may take when the server is told to stop."""

_LOOPBACK = "127.0.0.1"
_FIRST_GPU = 0
# Rows of FRAMES lie on the GPU from the decoder's answer to the detector's; what the pool cuts up needs room to spare.
_POOL_MARGIN = 2


@dataclass(frozen=True)
class TritonEndpoints:
    """Where a Triton listens, each as `host:port`."""

    grpc: str
    http: str
    metrics: str


@dataclass(frozen=True)
class Launch:
    """One start of a server, with `rollout` in force.

    `server_id` is its name wherever it shows, `secret` opens its model control. `rows_in_flight` is how many rows one
    ensemble may be asked for at once.
    """

    scratch: Path
    server_id: str
    endpoints: TritonEndpoints
    rollout: Rollout
    rows_in_flight: int
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    @property
    def models(self) -> Path:
        """Its copy of the model repository."""
        return self.scratch / "models"

    @property
    def backends(self) -> Path:
        """Its directory of backends."""
        return self.scratch / "backends"


def free_endpoints() -> TritonEndpoints:
    """Three loopback ports that are free now; held together for a moment, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server((_LOOPBACK, 0))) for _ in range(3)]
        return TritonEndpoints(*(f"{_LOOPBACK}:{each.getsockname()[1]}" for each in sockets))


def lay_out_models(models: Path, settings: BackendSettings, rollout: Rollout) -> None:
    """Makes `models` a copy of the model repository: configs rendered for this machine, files of versions as links.

    Made again over an earlier copy, it follows the repository. `rollout` decides, not the repository's own.
    The directories are the copy's own, so that what Python caches beside a model stays out of the repository, and a
    version can be made to look changed (`touch_model`). Raises ManifestError when the repository's is broken.
    """
    source = settings.model_repository.resolve()
    manifest = load_manifest(source).with_instances(settings.instances or available_cores())
    write_configs(manifest, rollout, models)
    for model in models.iterdir():
        for entry in (source / model.name).glob("*/"):
            if entry.name.isdecimal():
                _link_files(entry, model / entry.name)


def _link_files(source: Path, version: Path) -> None:
    """Fills `version` with links to all that `source` holds, and drops those to what is gone from there."""
    version.mkdir(exist_ok=True)
    for link in version.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink()
    for entry in source.iterdir():
        if not (entry.name.startswith("__") or (version / entry.name).exists()):
            (version / entry.name).symlink_to(entry)


def touch_model(models: Path, model: str) -> None:
    """Makes every version of `model` look changed, so that loading it restarts its processes."""
    for version in (models / model).iterdir():
        if version.is_dir():
            os.utime(version)


def server_command(launch: Launch, settings: BackendSettings, runtime: TritonRuntime) -> list[str]:
    """The command line of the server that is laid out in the launch's scratch directory."""
    # The gateway asks by gRPC; HTTP is for health and metrics. What neither needs, and loading models (a Python model
    # is code), wants a header that only this process knows. It stops whoever can connect, but not a reader of /proc.
    secret = f"wildgate={launch.secret}"
    not_by_http = "inference,shared-memory,model-config,model-repository,statistics,trace,logging"
    command = [
        str(runtime.server),
        f"--id={launch.server_id}",
        f"--model-repository={launch.models}",
        f"--backend-directory={launch.backends}",
        f"--backend-config=python,shm-region-prefix-name={launch.server_id}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models_to_load(settings.profile, launch.rollout)),
        "--disable-auto-complete-config",  # Completing complete configs would start every stub twice.
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--log-verbose=0",
        "--http-thread-count=2",
        f"--http-restricted-api={not_by_http}:{secret}",
        f"--grpc-restricted-protocol=shared-memory,model-repository,trace,logging:{secret}",
        f"--exit-timeout-secs={STOP_TIMEOUT_S}",
    ]
    for kind, endpoint in vars(launch.endpoints).items():
        host, _, port = endpoint.rpartition(":")
        command += [f"--{kind}-address={host}", f"--{kind}-port={port}"]
    if settings.profile == CPU_PROFILE:
        command.append("--allow-gpu-metrics=false")
    else:
        command.append(f"--model-config-name={settings.profile}")
    if settings.profile == "rtx":
        pool = _frames_pool_bytes(load_manifest(settings.model_repository), launch.rows_in_flight)
        command.append(f"--cuda-memory-pool-byte-size={_FIRST_GPU}:{pool}")
    return command


def _frames_pool_bytes(manifest: ModelManifest, rows_in_flight: int) -> int:
    """Bytes of GPU memory for the FRAMES, UINT8 [F, S, S, 3], of `rows_in_flight` rows in every ensemble at once.

    Where Triton's pool (64 MB unless told otherwise) is full, an ensemble's tensors go to pinned memory instead, with
    which this Triton's Python backend is known to fail (triton-inference-server/server issues 7148 and 8177). An
    ensemble of the version on trial may come later, so every possible one is counted. This has not run on a GPU yet.
    """
    trial = Rollout(serving=1, canary=Canary(version=2, share=1))
    row = manifest.frames_per_window * manifest.frame_side_px**2 * 3
    return _POOL_MARGIN * rows_in_flight * len(ensembles(trial)) * row
