"""What an embedded Triton is started with: its ports, its copy of the model repository, its command line."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from wildgate_server.cores import available_cores
from wildgate_server.manifest import MANIFEST_NAME, ManifestError, load_manifest
from wildgate_server.model_configs import write_configs
from wildgate_server.triton_runtime import TritonRuntime, TritonStartError

__all__ = ["EmbeddedTritonConfig", "TritonEndpoints", "free_endpoints", "lay_out", "server_command"]

_LOOPBACK = "127.0.0.1"
_DEFAULT_PROFILE = "cpu"
_MODELS, _BACKENDS = "models", "backends"


@dataclass(frozen=True)
class EmbeddedTritonConfig:
    """How the embedded Triton runs.

    `instances` is of each model; None means as many as this process may use cores. `state_directory` keeps
    the logs of this start and of the one before.
    """

    model_repository: Path
    state_directory: Path
    instances: int | None = None
    profile: str = _DEFAULT_PROFILE
    startup_timeout_s: float = 120.0
    stop_timeout_s: float = 10.0


@dataclass(frozen=True)
class TritonEndpoints:
    """Where a Triton listens, each as `host:port`."""

    grpc: str
    http: str
    metrics: str


def free_endpoints() -> TritonEndpoints:
    """Three loopback ports that are free now; held together for a moment, so that they differ."""
    sockets = [socket.create_server((_LOOPBACK, 0)) for _ in range(3)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return TritonEndpoints(*(f"{_LOOPBACK}:{port}" for port in ports))


def lay_out(scratch: Path, config: EmbeddedTritonConfig, runtime: TritonRuntime) -> None:
    """Fills `scratch` with the backends and a copy of the model repository.

    The copy's configs are rendered for this machine, its versions (and the configs of other profiles) are
    links. Raises TritonStartError when the repository's manifest is broken.
    """
    source, models = config.model_repository.resolve(), scratch / _MODELS
    try:
        manifest = load_manifest(source)
    except ManifestError as error:
        raise TritonStartError(str(error)) from error
    write_configs(manifest.with_instances(config.instances or available_cores()), models)
    for model in models.iterdir():
        for entry in (source / model.name).iterdir():
            if entry.is_dir():
                (model / entry.name).symlink_to(entry)
    (models / MANIFEST_NAME).symlink_to(source / MANIFEST_NAME)
    runtime.assemble_backends(scratch / _BACKENDS)


def server_command(
    scratch: Path, config: EmbeddedTritonConfig, runtime: TritonRuntime, server_id: str, endpoints: TritonEndpoints
) -> list[str]:
    """The command line of the server that is laid out in `scratch`; `server_id` is its name wherever it shows."""
    # The gateway asks by gRPC; HTTP is for health and metrics. What neither needs, loading models above all (a Python
    # model is code), wants a header that nobody is told. It keeps out what can connect, not who can read /proc.
    secret = f"wildgate={secrets.token_hex(16)}"
    not_by_http = "inference,shared-memory,model-config,model-repository,statistics,trace,logging"
    command = [
        str(runtime.server),
        f"--id={server_id}",
        f"--model-repository={scratch / _MODELS}",
        f"--backend-directory={scratch / _BACKENDS}",
        f"--backend-config=python,shm-region-prefix-name={server_id}",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--disable-auto-complete-config",  # Completing complete configs would start every stub twice.
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--log-verbose=0",
        "--http-thread-count=2",
        f"--http-restricted-api={not_by_http}:{secret}",
        f"--grpc-restricted-protocol=shared-memory,model-repository,trace,logging:{secret}",
        f"--exit-timeout-secs={max(1, round(config.stop_timeout_s))}",
    ]
    for kind, endpoint in vars(endpoints).items():
        host, _, port = endpoint.rpartition(":")
        command += [f"--{kind}-address={host}", f"--{kind}-port={port}"]
    if config.profile == _DEFAULT_PROFILE:
        command.append("--allow-gpu-metrics=false")
    else:
        command.append(f"--model-config-name={config.profile}")
    return command
