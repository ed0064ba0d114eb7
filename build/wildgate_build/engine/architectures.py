"""The GPU architectures (compute capabilities such as `8.9`) that an engine is built for.

TensorRT builds on the GPU at hand and for its architecture alone. TensorRT-RTX builds without a GPU: portably by
default, for named architectures on request, or for the GPU at hand.
"""

from __future__ import annotations

import re
from typing import Any, Final

from wildgate_build.engine.tensorrt_api import TensorRt
from wildgate_build.errors import EngineError
from wildgate_server.repository.engine_key import PORTABLE_ARCHITECTURES
from wildgate_server.repository.machine import Machine

__all__ = ["CURRENT", "choose_architectures", "set_architectures"]

CURRENT: Final = "current"

_MEMBER = re.compile(r"SM(\d+)(\d)")


def choose_architectures(request: str | None, tensorrt: TensorRt, machine: Machine) -> tuple[str, ...]:
    """What the engine's key will say: the architectures of `request`.

    `request` is None, `current`, or names with commas between. Raises EngineError for one that cannot be built for.
    """
    if tensorrt.target == "tensorrt" and request not in (None, CURRENT):
        raise EngineError(
            f"--architecture {request}: TensorRT builds for the GPU at hand alone; leave it out, or take --target rtx"
        )
    if tensorrt.target == "tensorrt" or request == CURRENT:
        if machine.gpu is None:
            raise EngineError("building for the GPU at hand takes one, and this machine has no NVIDIA GPU")
        return (machine.gpu.architecture,)
    if request is None:
        return PORTABLE_ARCHITECTURES
    known = _nameable(tensorrt)
    wanted = tuple(dict.fromkeys(name.strip() for name in request.split(",")))
    if unknown := [name for name in wanted if name not in known]:
        raise EngineError(
            f"--architecture {request}: TensorRT-RTX {tensorrt.version} names {', '.join(known)}, not "
            f"{', '.join(map(repr, unknown))}; `current` builds for the GPU at hand"
        )
    return wanted


def set_architectures(request: str | None, architectures: tuple[str, ...], config: Any, tensorrt: TensorRt) -> None:
    """Configures the builder, unless that is its default anyway.

    Raises EngineError when the builder does not take them.
    """
    if tensorrt.target == "tensorrt" or request is None:
        return
    named = _nameable(tensorrt)
    current = [tensorrt.api.ComputeCapability.CURRENT]
    constants = current if request == CURRENT else [named[name] for name in architectures]
    config.num_compute_capabilities = len(constants)
    if not all(config.set_compute_capability(constant, place) for place, constant in enumerate(constants)):
        raise EngineError(f"--architecture {request}: {tensorrt.complaints()}")


def _nameable(tensorrt: TensorRt) -> dict[str, Any]:
    """The architectures this TensorRT-RTX can build for ahead of time, with its constants for them."""
    members = tensorrt.api.ComputeCapability.__members__.items()
    found = {f"{match[1]}.{match[2]}": constant for name, constant in members if (match := _MEMBER.fullmatch(name))}
    return dict(sorted(found.items(), key=lambda item: tuple(map(int, item[0].split(".")))))
