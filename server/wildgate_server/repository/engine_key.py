"""The key of a compiled engine: what it was built from, and which machine it fits.

An engine runs only on the GPU architecture and with the TensorRT it was built for, and only for the batches and
shapes of its profile. The key lies beside the engine as `<engine>.json`; it is read before the engine is loaded,
so that a wrong one is refused with the command that builds the right one, and not with a crash of the model.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wildgate_server.repository.machine import Gpu, Machine, Target
from wildgate_server.repository.manifest import ModelManifest, load_manifest
from wildgate_server.repository.releases import file_digest, version_directory
from wildgate_server.repository.yaml_document import faults

__all__ = [
    "ENGINE_NAMES",
    "ENGINE_SOURCE",
    "PORTABLE_ARCHITECTURES",
    "RUNTIME_NAMES",
    "EngineDoesNotFit",
    "EngineKey",
    "EngineKeyError",
    "check_engine",
    "check_repository_engines",
    "engine_digest",
    "engine_source",
    "key_path",
]

RUNTIME_NAMES: Mapping[Target, str] = {"tensorrt": "TensorRT", "rtx": "TensorRT-RTX"}
ENGINE_NAMES: Mapping[Target, str] = {"tensorrt": "model.plan", "rtx": "model.rtx"}
PORTABLE_ARCHITECTURES = ("8.0+",)
"""What a TensorRT-RTX engine is built for unless told otherwise: its documentation names 8.0, 8.6, 8.9, 12.0 "and
later". An architecture between them (9.0) passes here; TensorRT-RTX itself decides when it loads."""

ENGINE_SOURCE = "engine.onnx"
"""Beside `model.onnx` where engines are built from another file: TensorRT takes another INT8 than CPUs do."""

_ONNX_NAME = "model.onnx"
_PROFILE_TARGETS: Mapping[str, Target] = {"gpu": "tensorrt", "rtx": "rtx"}


class EngineKeyError(ValueError):
    """The key of an engine is missing, cannot be read or breaks a rule; the text names file, field and value."""


class EngineDoesNotFit(Exception):
    """The engine cannot be used here; the text names what differs and the command that builds the right one."""


_Blake3 = Annotated[str, Field(pattern=r"^blake3:[0-9a-f]{64}$")]
_Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
_Architecture = Annotated[str, Field(pattern=r"^[1-9]\d*\.\d\+?$")]
_Count = Annotated[int, Field(ge=1)]


class EngineKey(BaseModel):
    """What an engine was built from and for.

    `architectures` are compute capabilities; a trailing `+` means that one and later ones. `min_batch`, `opt_batch`
    and `max_batch` are the optimisation profile for b; `frames`, `side` and `detections` are F, S and K.
    `engine_digest` ties the key to its engine: a pair of which only one half was replaced is refused. It is SHA-256
    because a stock Triton's model has to check it with Python's standard library alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    onnx_digest: _Blake3
    target: Target
    tensorrt_version: Annotated[str, Field(min_length=1)]
    architectures: Annotated[tuple[_Architecture, ...], Field(min_length=1)]
    precision: Literal["fp32", "fp16", "int8"]
    min_batch: _Count
    opt_batch: _Count
    max_batch: _Count
    frames: _Count
    side: _Count
    detections: _Count
    engine_digest: _Sha256
    engine_bytes: _Count

    @classmethod
    def read(cls, engine: Path) -> EngineKey:
        """The key beside the engine file `engine`. Raises EngineKeyError."""
        file = key_path(engine)
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            raise EngineKeyError(f"{file}: there is no such file, so nothing says what {engine.name} is") from None
        except OSError as error:
            raise EngineKeyError(f"{file}: cannot be read: {error}") from error
        except ValidationError as error:
            raise EngineKeyError("\n".join(f"{file}: {fault}" for fault in faults(error))) from error

    def differences(self, machine: Machine) -> Iterable[str]:
        """One line for each field in which `machine` is not what the engine was built for, with both values."""
        runtime = RUNTIME_NAMES[self.target]
        installed = machine.tensorrt.get(self.target)
        if installed != self.tensorrt_version:
            yield f"{runtime} version: the engine's is {self.tensorrt_version}, this machine's {installed or 'none'}"
        if machine.gpu is None or not _runs_on(self.architectures, machine.gpu.architecture):
            wanted = ", ".join(architecture.replace("+", " and later") for architecture in self.architectures)
            yield f"GPU architecture: the engine's is {wanted}, this machine's {_described(machine.gpu)}"


def key_path(engine: Path) -> Path:
    """Where the key of the engine file `engine` lies."""
    return engine.with_name(f"{engine.name}.json")


def engine_source(version_directory: Path) -> Path:
    """The ONNX file that the engines of a version are built from."""
    own = version_directory / ENGINE_SOURCE
    return own if own.exists() else version_directory / _ONNX_NAME


def engine_digest(engine: bytes) -> str:
    """The digest that ties a key to its engine, as `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(engine).hexdigest()}"


def check_engine(engine: Path, onnx: Path, machine: Machine, manifest: ModelManifest) -> None:
    """Checks that `engine` was built from the file `onnx`, runs on `machine` and does what `manifest` asks of it.

    The target comes from the key, or from the engine's name where the key cannot be read. Raises EngineDoesNotFit.
    """
    target: Target = "tensorrt" if engine.name == ENGINE_NAMES["tensorrt"] else "rtx"
    try:
        key = EngineKey.read(engine)
    except EngineKeyError as error:
        complaints = [str(error) if engine.exists() else "there is no such file"]
    else:
        target = key.target
        complaints = [*_tie_complaints(key, engine, onnx), *_shape_complaints(key, manifest), *key.differences(machine)]
    if complaints:
        command = _build_command(onnx, engine, target, manifest.serving.max_batch_size, machine)
        remedy = f"build the right one with: {command}"
        raise EngineDoesNotFit("\n  ".join([f"{engine} does not fit:", *complaints, remedy]))


def check_repository_engines(repository: Path, profile: str, versions: Iterable[int], machine: Machine) -> None:
    """Checks the detector's engine of each of `versions` that the profile runs; `cpu` runs none.

    Raises EngineDoesNotFit for the first one that does not fit, ManifestError when the manifest is broken.
    """
    target = _PROFILE_TARGETS.get(profile)
    if target is None:
        return
    manifest = load_manifest(repository)
    for version in versions:
        folder = version_directory(repository, version)
        check_engine(folder / ENGINE_NAMES[target], engine_source(folder), machine, manifest)


def _build_command(onnx: Path, engine: Path, target: Target, max_batch: int, machine: Machine) -> str:
    """The command line that builds the engine which fits `machine`."""
    words = ["wildgate-build", "engine", str(onnx), "--target", target, "--output", str(engine)]
    words += ["--max-batch", str(max_batch)]
    if target == "rtx" and machine.gpu and not _runs_on(PORTABLE_ARCHITECTURES, machine.gpu.architecture):
        words += ["--architecture", "current"]
    return shlex.join(words)


def _tie_complaints(key: EngineKey, engine: Path, onnx: Path) -> Iterable[str]:
    try:
        found = engine_digest(engine.read_bytes())
    except OSError as error:
        yield f"engine: cannot be read: {error}"
    else:
        if found != key.engine_digest:
            yield f"engine digest: the key's is {key.engine_digest}, the file's {found}"
    try:
        source = file_digest(onnx)
    except OSError as error:
        yield f"ONNX file: cannot be read: {error}"
    else:
        if source != key.onnx_digest:
            yield f"ONNX digest: the engine's is {key.onnx_digest}, that of {onnx} {source}"


def _shape_complaints(key: EngineKey, manifest: ModelManifest) -> Iterable[str]:
    wanted = {
        "frames": manifest.frames_per_window,
        "side": manifest.frame_side_px,
        "detections": manifest.detections_per_frame,
    }
    for name, value in wanted.items():
        if getattr(key, name) != value:
            yield f"{name}: the engine's are {getattr(key, name)}, the manifest's {value}"
    if key.max_batch < manifest.serving.max_batch_size:
        yield f"largest batch: the engine's is {key.max_batch}, the manifest's {manifest.serving.max_batch_size}"


def _runs_on(built_for: Iterable[str], architecture: str) -> bool:
    present = _order(architecture)
    return any(
        present >= _order(wanted[:-1]) if wanted.endswith("+") else present == _order(wanted) for wanted in built_for
    )


def _order(architecture: str) -> tuple[int, int]:
    major, _, minor = architecture.partition(".")
    return int(major), int(minor)


def _described(gpu: Gpu | None) -> str:
    return f"{gpu.architecture} ({gpu.name})" if gpu else "none, it has no GPU"
