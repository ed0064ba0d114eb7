"""From a standard detector file to an engine: one way, for TensorRT and TensorRT-RTX.

    read and check the file -> parse -> check the network against the contract -> profile for b -> build

The network is strongly typed: precision is what the ONNX file says, and the builder changes none of it (a float
product may still run as TF32, which both runtimes allow by default).
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from wildgate_build.engine.architectures import choose_architectures, set_architectures
from wildgate_build.engine.contract import check_contract, check_quantisation
from wildgate_build.engine.tensorrt_api import TensorRt, load_tensorrt
from wildgate_build.engine.timing_cache import attach_timing_cache, save_timing_cache
from wildgate_build.errors import BuildFailedError, EngineError
from wildgate_build.standard_file import INPUT, StandardFile
from wildgate_server.repository.engine_key import RUNTIME_NAMES, EngineKey, engine_digest
from wildgate_server.repository.machine import Machine, Target, probe_machine

__all__ = ["BuiltEngine", "EnginePlan", "build_engine"]

_MIB = 1 << 20
_CHANNELS = 3


@dataclass(frozen=True)
class EnginePlan:
    """What to build.

    `architecture` is `current` or compute capabilities with commas between; None leaves it to the target.
    `max_batch` is the largest b, and the one to tune for; b is at least 1. `workspace_mb` bounds the memory that
    the builder may plan for scratch. `timing_cache` is for TensorRT only.
    """

    onnx: Path
    target: Target
    max_batch: int
    architecture: str | None = None
    workspace_mb: int | None = None
    timing_cache: Path | None = None


@dataclass(frozen=True)
class BuiltEngine:
    """A serialised engine, its key, and how long parsing and building took in seconds."""

    engine: bytes
    key: EngineKey
    seconds: float


def build_engine(plan: EnginePlan, machine: Machine | None = None) -> BuiltEngine:
    """Builds the engine of `plan`; writes nothing but the timing cache, where one is named.

    `machine` is the one to build on, by default this one. Raises NotStandardError and EngineError.
    """
    standard = StandardFile.read(plan.onnx)
    check_quantisation(standard)
    tensorrt = load_tensorrt(plan.target)
    machine = machine or probe_machine()
    architectures = choose_architectures(plan.architecture, tensorrt, machine)
    if plan.target == "tensorrt" and machine.gpu is None:
        raise EngineError("TensorRT times kernels on the GPU when it builds, and this machine has no NVIDIA GPU")
    started = perf_counter()
    # A builder is made, and goes, under one lock of TensorRT's. It logs while it is made, and Python, which then runs,
    # may find an older one to be garbage: that would wait for ever.
    gc.collect()
    builder = tensorrt.api.Builder(tensorrt.logger)
    network = _parse(builder, tensorrt, standard)
    check_contract(network, standard)
    config = _configure(builder, tensorrt, standard, plan)
    set_architectures(plan.architecture, architectures, config, tensorrt)
    serialised = builder.build_serialized_network(network, config)
    if serialised is None:
        runtime = f"{RUNTIME_NAMES[plan.target]} {tensorrt.version}"
        raise BuildFailedError(
            f"{plan.onnx}: {runtime} gave no engine for {', '.join(architectures)}: {tensorrt.complaints()}"
        )
    engine = bytes(serialised)
    seconds = perf_counter() - started
    if plan.timing_cache:
        save_timing_cache(plan.timing_cache, config)
    return BuiltEngine(engine, _key(plan, standard, tensorrt, architectures, engine), seconds)


def _parse(builder: Any, tensorrt: TensorRt, standard: StandardFile) -> Any:
    api = tensorrt.api
    network = builder.create_network(1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = api.OnnxParser(network, tensorrt.logger)
    if not parser.parse(standard.path.read_bytes(), str(standard.path)):
        errors = "; ".join(str(parser.get_error(place)) for place in range(parser.num_errors))
        raise EngineError(f"{standard.path}: {RUNTIME_NAMES[tensorrt.target]} cannot read it: {errors}")
    if network.num_inputs and network.get_input(0).shape[1] == -1:
        network.get_input(0).shape = (-1, *_window(standard))
    return network


def _configure(builder: Any, tensorrt: TensorRt, standard: StandardFile, plan: EnginePlan) -> Any:
    config = builder.create_builder_config()
    if plan.workspace_mb is not None:
        config.set_memory_pool_limit(tensorrt.api.MemoryPoolType.WORKSPACE, plan.workspace_mb * _MIB)
    if plan.timing_cache:
        attach_timing_cache(plan.timing_cache, config, tensorrt)
    profile = builder.create_optimization_profile()
    window = _window(standard)
    profile.set_shape(INPUT, (1, *window), (plan.max_batch, *window), (plan.max_batch, *window))
    if config.add_optimization_profile(profile) < 0:
        raise BuildFailedError(f"{plan.onnx}: batches of 1 to {plan.max_batch}: {tensorrt.complaints()}")
    return config


def _window(standard: StandardFile) -> tuple[int, int, int, int]:
    return standard.frames, standard.side, standard.side, _CHANNELS


def _key(
    plan: EnginePlan, standard: StandardFile, tensorrt: TensorRt, architectures: tuple[str, ...], engine: bytes
) -> EngineKey:
    return EngineKey.model_validate(
        {
            "onnx_digest": standard.digest,
            "target": plan.target,
            "tensorrt_version": tensorrt.version,
            "architectures": architectures,
            "precision": standard.properties.precision,
            "min_batch": 1,
            "opt_batch": plan.max_batch,
            "max_batch": plan.max_batch,
            "frames": standard.frames,
            "side": standard.side,
            "detections": standard.detections,
            "engine_digest": engine_digest(engine),
            "engine_bytes": len(engine),
        }
    )
