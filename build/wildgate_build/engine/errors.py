"""What can go wrong with engines.

BuildError
 └─ EngineError
     ├─ TensorRtMissingError      the Python package of the target is not installed
     ├─ CudaMissingError          no GPU, no driver or no pycuda, where one is needed
     ├─ ArchitectureError         a GPU architecture that the target cannot build for
     ├─ UnparsableError           TensorRT cannot read the ONNX file; every complaint of its parser
     ├─ NetworkNotStandardError   the parsed network has other inputs or outputs than the standard contract
     ├─ TimingCacheError          the timing cache cannot be used
     ├─ BuildFailedError          the builder gave no engine; what it logged
     ├─ EngineUnusableError       an engine that cannot be loaded or run here
     └─ FramesError               frames of another shape or type than the engine takes
"""

from __future__ import annotations

from wildgate_build.failures import BuildError

__all__ = [
    "ArchitectureError",
    "BuildFailedError",
    "CudaMissingError",
    "EngineError",
    "EngineUnusableError",
    "FramesError",
    "NetworkNotStandardError",
    "TensorRtMissingError",
    "TimingCacheError",
    "UnparsableError",
]


class EngineError(BuildError):
    """An engine cannot be built, written or run; the text names what was wrong."""


class TensorRtMissingError(EngineError):
    """The Python package of the target is not installed; names the one that brings it."""


class CudaMissingError(EngineError):
    """What needs a GPU found none, or no driver, or no pycuda; says which."""


class ArchitectureError(EngineError):
    """A GPU architecture that the target cannot build for; names it and those it can."""


class UnparsableError(EngineError):
    """TensorRT's parser cannot read the ONNX file; lists every complaint."""


class NetworkNotStandardError(EngineError):
    """The parsed network has other inputs or outputs than the standard contract; names both."""


class TimingCacheError(EngineError):
    """The timing cache cannot be read, does not fit this GPU, or is not for this target."""


class BuildFailedError(EngineError):
    """The builder gave no engine; quotes what it logged."""


class EngineUnusableError(EngineError):
    """The engine cannot be loaded or run on this machine; says why."""


class FramesError(EngineError):
    """Frames of another shape or type than the engine takes; names both."""
