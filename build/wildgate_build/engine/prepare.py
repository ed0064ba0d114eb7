"""The command `wildgate-build prepare`: a model repository as one Triton on one GPU loads it.

What runs before a Triton starts, such as an init container, on the GPU that Triton gets. The shared repository is only
read, so that nodes with different GPUs can share it. Engines come from a cache, which may be shared as well: an entry
is named by all that an engine depends on, and is used only while it is whole.
"""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from wildgate_build.console import fail, failures, say
from wildgate_build.engine.artifacts import write_engine
from wildgate_build.engine.builder import EnginePlan, build_engine
from wildgate_build.errors import EngineError, OutputError
from wildgate_server.repository.engine_key import (
    ENGINE_NAMES,
    EngineKey,
    EngineKeyError,
    engine_digest,
    engine_source,
    key_path,
)
from wildgate_server.repository.machine import Machine, Target, probe_machine
from wildgate_server.repository.manifest import ManifestError, load_manifest
from wildgate_server.repository.model_configs import models_to_load, write_configs
from wildgate_server.repository.releases import DETECTOR, file_digest, load_releases, verify_files, version_directory

__all__ = ["cached_engine", "prepare"]

_BLAKE3: Final = "blake3:"


class GpuProfile(StrEnum):
    """The profiles that run engines."""

    GPU = "gpu"
    RTX = "rtx"


_TARGETS: dict[GpuProfile, Target] = {GpuProfile.GPU: "tensorrt", GpuProfile.RTX: "rtx"}


def prepare(
    repository: Annotated[Path, typer.Argument(metavar="REPOSITORY", help="The model repository; it is only read.")],
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Gets `models` and `arguments`.")],
    profile: Annotated[GpuProfile, typer.Option(help="Which of the models' configs will run.")],
    cache: Annotated[Path, typer.Option(help="Where engines are kept; several machines may share it.")],
) -> None:
    """Lay out what the rollout asks for, for one Triton on this GPU; build the engines that the cache lacks.

    `DIRECTORY/models` is what Triton is to load, `DIRECTORY/arguments` the options that tell it which models.
    """
    models, target = directory / "models", _TARGETS[profile]
    with failures(ManifestError):
        manifest = load_manifest(repository)
        releases = load_releases(repository, manifest)
        for release in releases.by_version.values():
            verify_files(repository, release)
        try:
            _copy(repository, models, releases.rollout.versions)
            write_configs(manifest, releases.rollout, models)
            machine = probe_machine()
            for version in releases.rollout.versions:
                home = version_directory(models, version)
                plan = EnginePlan(engine_source(home), target, manifest.serving.max_batch_size)
                found = cached_engine(plan, machine, cache)
                for file in (found, key_path(found)):
                    shutil.copyfile(file, home / file.name)
            options = [f"--load-model={model}" for model in models_to_load(releases.rollout)]
            (directory / "arguments").write_text("\n".join(options) + "\n")
        except OSError as error:
            fail(f"{error.filename or directory}: {error.strerror or error}")
    say(f"{models}: {releases.rollout.summary}")


def cached_engine(plan: EnginePlan, machine: Machine, cache: Path) -> Path:
    """The engine of `plan` in `cache`, its key beside it; built where there is none, or none that is whole.

    Raises EngineError, NotStandardError, OutputError, OSError.
    """
    version = machine.tensorrt.get(plan.target)
    if version is None:
        raise EngineError(f"{plan.target}: no such runtime is installed here")
    digest = file_digest(plan.onnx)
    # TensorRT-RTX's are portable, TensorRT's are of one architecture.
    built_for = "portable" if plan.target == "rtx" else machine.gpu.architecture if machine.gpu else "none"
    name = "-".join((digest.removeprefix(_BLAKE3)[:32], plan.target, version, built_for, f"b{plan.max_batch}"))
    engine = cache / name / ENGINE_NAMES[plan.target]
    if _is_whole(engine, digest):
        say(f"{engine}: from the cache")
        return engine
    try:
        engine.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{engine.parent}: cannot be made: {error.strerror}") from error
    built = build_engine(plan, machine)
    write_engine(engine, built.engine, built.key)
    say(f"{engine}: built in {built.seconds:.1f} s")
    return engine


def _is_whole(engine: Path, onnx_digest: str) -> bool:
    try:
        key = EngineKey.read(engine)
        return key.onnx_digest == onnx_digest and key.engine_digest == engine_digest(engine.read_bytes())
    except (EngineKeyError, OSError):
        return False


def _copy(repository: Path, models: Path, versions: tuple[int, ...]) -> None:
    """Everything but the detector's versions that do not answer, and engines that lie there."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        versions_here = Path(folder) == repository / DETECTOR
        unasked = {name for name in names if versions_here and name.isdecimal() and int(name) not in versions}
        engines = {name for name in names for engine in ENGINE_NAMES.values() if name.startswith(engine)}
        return unasked | engines | {name for name in names if name.startswith((".", "__")) and name != ".gitkeep"}

    if models.exists():
        shutil.rmtree(models)  # an earlier attempt of the same pod
    shutil.copytree(repository, models, ignore=left_out)
