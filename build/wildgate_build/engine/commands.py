"""The command `wildgate-build engine`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wildgate_build.console import fail, failures, print_facts
from wildgate_build.durable_files import check_writable
from wildgate_build.engine.artifacts import write_engine
from wildgate_build.engine.builder import EnginePlan, build_engine
from wildgate_server.repository.engine_key import ENGINE_NAMES, RUNTIME_NAMES, engine_source, key_path
from wildgate_server.repository.manifest import MANIFEST_NAME, ManifestError, load_manifest
from wildgate_server.repository.releases import load_rollout, version_directory

__all__ = ["engine"]

_MIB = 1 << 20
_REPOSITORY = Path("model_repository")


class TargetName(StrEnum):
    """What runs the engine."""

    TENSORRT = "tensorrt"
    RTX = "rtx"


def engine(
    target: Annotated[TargetName, typer.Option(help="TensorRT (a plan for this GPU) or TensorRT-RTX (portable).")],
    detector: Annotated[
        Path | None,
        typer.Argument(metavar="[DETECTOR.onnx]", help="A standard detector file; a published version by default."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The engine to write; a published version's goes where Triton looks for it.")
    ] = None,
    repository: Annotated[Path, typer.Option(help="The model repository.")] = _REPOSITORY,
    version: Annotated[
        int | None, typer.Option(help="The published version to build for; the serving one by default.", min=1)
    ] = None,
    max_batch: Annotated[
        int | None, typer.Option(help="Largest batch; by default the manifest's serving.max_batch_size.", min=1)
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help="rtx: `current`, or compute capabilities such as 8.9,12.0; portable (8.0 on) by default."),
    ] = None,
    workspace_mb: Annotated[int | None, typer.Option(help="Scratch memory the engine may use.", min=1)] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(help="tensorrt: a file that keeps what was measured on this GPU.")
    ] = None,
) -> None:
    """Compile a detector; its key goes beside the engine, as <engine>.json."""
    if detector is not None and version is not None:
        fail("give DETECTOR.onnx or --version, not both")
    with failures(ManifestError):
        if detector is None:
            home = version_directory(repository, version or load_rollout(repository).serving)
            source, file = engine_source(home), output or home / ENGINE_NAMES[target.value]
        else:
            source, file = detector, output or detector.with_suffix(Path(ENGINE_NAMES[target.value]).suffix)
        batch = max_batch or load_manifest(repository / MANIFEST_NAME).serving.max_batch_size
        check_writable(file, inputs=[source])
        plan = EnginePlan(source, target.value, batch, architecture, workspace_mb, timing_cache)
        built = build_engine(plan)
        write_engine(file, built.engine, built.key)
    key = built.key
    facts = {
        "engine": f"{file} ({key.engine_bytes / _MIB:.1f} MiB), its key {key_path(file).name}",
        "built from": f"{source}, {key.onnx_digest}",
        "built with": f"{RUNTIME_NAMES[key.target]} {key.tensorrt_version} in {built.seconds:.1f} s",
        "runs on": ", ".join(name.replace("+", " and later") for name in key.architectures),
        "precision": key.precision,
        "batches": f"{key.min_batch} to {key.max_batch}, tuned for {key.opt_batch}",
    }
    print_facts(facts)
