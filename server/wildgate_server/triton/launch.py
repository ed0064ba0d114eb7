"""What an embedded Triton is started with: its ports, its copy of the model repository, its command line."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
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
    "free_address",
    "lay_out_models",
    "server_command",
    "touch_model",
]

STOP_TIMEOUT_S = 6
"""How long requests under way may take when the server is told to stop."""

_LOOPBACK = "127.0.0.1"
_SOCKET_NUMBER = 1
_FIRST_GPU = 0
# Rows of FRAMES lie on the GPU from the decoder's answer to the detector's; what the pool cuts up needs room to spare.
_POOL_MARGIN = 2


@dataclass(frozen=True)
class TritonEndpoints:
    """Where a Triton listens: `grpc` is a gRPC target, `metrics` is `host:port`."""

    grpc: str
    metrics: str


@dataclass(frozen=True)
class Launch:
    """One start of a server, with `rollout` in force.

    `server_id` is its name wherever it shows, `metrics` is where it is to tell them. `rows_in_flight` is how many rows
    one ensemble may be asked for at once. It sends spans to `spans_to`. Nobody but its user may enter `scratch`.
    """

    scratch: Path
    server_id: str
    metrics: str
    rollout: Rollout
    rows_in_flight: int
    spans_to: str | None = None

    @property
    def socket(self) -> Path:
        """Its gRPC socket. Whoever can connect may have it load a model, which is code: nobody else can, in scratch."""
        return self.scratch / f"grpc:{_SOCKET_NUMBER}"

    @property
    def endpoints(self) -> TritonEndpoints:
        """Where it listens."""
        return TritonEndpoints(f"unix:{self.socket}", self.metrics)

    @property
    def models(self) -> Path:
        """Its copy of the model repository."""
        return self.scratch / "models"

    @property
    def backends(self) -> Path:
        """Its directory of backends."""
        return self.scratch / "backends"


def free_address() -> str:
    """A loopback port that is free now, as `host:port`."""
    with socket.create_server((_LOOPBACK, 0)) as held:
        return f"{_LOOPBACK}:{held.getsockname()[1]}"


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
    command = [
        str(runtime.server),
        f"--id={launch.server_id}",
        f"--model-repository={launch.models}",
        f"--backend-directory={launch.backends}",
        f"--backend-config=python,shm-region-prefix-name={launch.server_id}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models_to_load(launch.rollout)),
        "--disable-auto-complete-config",  # Completing complete configs would start every stub twice.
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--log-verbose=0",
        # Triton puts address and port together with a colon, and hands both on to gRPC, which knows `unix:`.
        f"--grpc-address=unix:{launch.scratch}/grpc",
        f"--grpc-port={_SOCKET_NUMBER}",
        "--allow-http=false",
        f"--exit-timeout-secs={STOP_TIMEOUT_S}",
    ]
    host, _, port = launch.metrics.rpartition(":")
    command += [f"--metrics-address={host}", f"--metrics-port={port}"]
    if launch.spans_to:
        # With rate 0 those requests are traced that bring a context along, which the gateway gives to sampled ones.
        traces = ("mode=opentelemetry", "rate=0", "level=TIMESTAMPS")
        otel = (f"opentelemetry,url={launch.spans_to}", "opentelemetry,resource=service.name=triton")
        command += [f"--trace-config={each}" for each in (*traces, *otel)]
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
