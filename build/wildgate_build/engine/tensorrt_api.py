"""TensorRT and TensorRT-RTX behind one door: the only module that imports either.

Both have the same Python API under different names, so everything else here is written once, against `TensorRt`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wildgate_build.errors import EngineError
from wildgate_server.repository.engine_key import RUNTIME_NAMES
from wildgate_server.repository.machine import Target

__all__ = ["TensorRt", "load_tensorrt"]

_MODULES: Mapping[Target, str] = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
_EXTRAS: Mapping[Target, str] = {"tensorrt": "wildgate[gpu]", "rtx": "wildgate[rtx]"}


@dataclass(frozen=True)
class TensorRt:
    """One of the two runtimes: its module, and a logger that keeps errors and warnings."""

    target: Target
    api: Any
    logger: Any

    @property
    def version(self) -> str:
        """Its version, such as `1.7.1.116`."""
        return str(self.api.__version__)

    def complaints(self) -> str:
        """The errors it logged, or its warnings if there were none."""
        logged = self.logger.errors or self.logger.warnings or ["it gave no reason"]
        return "; ".join(logged)


def load_tensorrt(target: Target) -> TensorRt:
    """The runtime of `target`. Raises EngineError naming what to install."""
    name = _MODULES[target]
    try:
        api = importlib.import_module(name)
    except ImportError as error:
        raise EngineError(
            f"{RUNTIME_NAMES[target]} is not installed ({error}); install it with: pip install '{_EXTRAS[target]}'"
        ) from error
    return TensorRt(target, api, _logger(api))


def _logger(api: Any) -> Any:
    severity = api.ILogger.Severity

    class KeepingLogger(api.ILogger):  # type: ignore[misc]  # the base is known at run time only
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, level: Any, message: str) -> None:
            if level in (severity.ERROR, severity.INTERNAL_ERROR):
                self.errors.append(message.strip())
            elif level == severity.WARNING:
                self.warnings.append(message.strip())

    return KeepingLogger()
