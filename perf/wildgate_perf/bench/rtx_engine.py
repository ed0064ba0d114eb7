"""The engine that the `rtx` profile is measured with: the one module of perf that uses wildgate-build."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from wildgate_build.engine.architectures import CURRENT
from wildgate_build.engine.artifacts import write_engine
from wildgate_build.engine.builder import EnginePlan, build_engine
from wildgate_build.engine.errors import BuildFailedError
from wildgate_build.failures import BuildError
from wildgate_build.publish.publishing import Publication, publish
from wildgate_build.publish.repository import Repository
from wildgate_build.publish.rollout_change import change_rollout
from wildgate_build.publish.rollout_steps import promote
from wildgate_build.standard_file import StandardFile
from wildgate_perf.server_parts import load_policy
from wildgate_server.repository.engine_key import ENGINE_NAMES, EngineKey, engine_source
from wildgate_server.repository.machine import Machine
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.releases import load_rollout, version_directory

__all__ = ["BuildError", "EngineDiffers", "build", "check", "lay_out_repository"]

_SAMPLES = Path(__file__).resolve().parents[3] / "samples"


class EngineDiffers(Exception):
    """The engine does not detect what its ONNX file does."""


def lay_out_repository(source: Path, repository: Path, onnx: Path | None) -> Path:
    """Copies the model repository, publishes the file `onnx` in it where one is given; returns what to build from.

    Raises BuildError for a file that cannot be published.
    """
    shutil.rmtree(repository, ignore_errors=True)
    shutil.copytree(source, repository)
    version = load_rollout(repository).serving
    if onnx:
        target, policy = Repository(repository), load_policy()
        version = publish(target, Publication(StandardFile.read(onnx), policy, code_from=version)).version
        change_rollout(target, lambda rollout: promote(rollout, version), policy)
    return engine_source(version_directory(repository, version))


def build(onnx: Path, repository: Path, machine: Machine) -> tuple[EngineKey, float]:
    """Builds the engine beside `onnx`: for the GPU at hand, or the portable one where TensorRT-RTX refuses to.

    Returns its key and how many seconds it took. Raises BuildError.
    """
    max_batch = load_manifest(repository).serving.max_batch_size
    try:
        built = build_engine(EnginePlan(onnx, "rtx", max_batch, CURRENT), machine)
    except BuildFailedError as error:
        print(f"not for this GPU alone, so portably: {error}", file=sys.stderr)
        built = build_engine(EnginePlan(onnx, "rtx", max_batch), machine)
    write_engine(onnx.with_name(ENGINE_NAMES["rtx"]), built.engine, built.key)
    return built.key, built.seconds


def check(onnx: Path, repository: Path, report: Path) -> Any:
    """What `wildgate-build check` finds on the sample clips. Raises EngineDiffers when it is past its tolerance."""
    engine = onnx.with_name(ENGINE_NAMES["rtx"])
    command = [sys.executable, "-c", "from wildgate_build.cli import main; main()", "check", str(onnx), str(engine)]
    command += ["--videos", str(_SAMPLES), "--report", str(report), "--repository", str(repository)]
    if status := subprocess.run(command).returncode:
        raise EngineDiffers(f"the engine did not pass wildgate-build check (exit {status})")
    return json.loads(report.read_text(encoding="utf-8"))
