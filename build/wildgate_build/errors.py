"""What a user of `wildgate-build` can put right. Every text names what was wrong and, where there is one, the way out.

BuildError
├── OutputError            a result, or the model repository, cannot be written
├── NotStandardError       a file is not a standard detector
├── CannotRunError         ONNX Runtime cannot load or run a graph
├── ImportRefusedError     a network, or its labels.txt, cannot be imported
├── FramesError            no frames to look at: videos, decoder or manifest cannot be read, or they hold too few
├── ComparisonError        two detectors, or a detector and a policy, cannot be compared; or there is nothing to compare
├── PrecisionError         a detector cannot be written in fewer bits
├── EngineError            an engine cannot be built or run
│   └── BuildFailedError   the builder failed; quotes its log
└── PublishError           the repository, a version or a step of the rollout is refused; nothing has been changed
"""

__all__ = [
    "BuildError",
    "BuildFailedError",
    "CannotRunError",
    "ComparisonError",
    "EngineError",
    "FramesError",
    "ImportRefusedError",
    "NotStandardError",
    "OutputError",
    "PrecisionError",
    "PublishError",
]


class BuildError(Exception):
    """Base of all of them."""


class OutputError(BuildError):
    """A result, or the model repository, cannot be written."""


class NotStandardError(BuildError):
    """A file is not a standard detector; says what is missing or different."""


class CannotRunError(BuildError):
    """ONNX Runtime cannot load or run a graph; quotes it."""


class ImportRefusedError(BuildError):
    """A network, or its labels.txt, cannot be imported."""


class FramesError(BuildError):
    """There are no frames, or too few, to calibrate or to compare on."""


class ComparisonError(BuildError):
    """Two detectors, or a detector and a policy, cannot be compared; or there is nothing to compare."""


class PrecisionError(BuildError):
    """A detector cannot be written in fewer bits."""


class EngineError(BuildError):
    """An engine cannot be built, or cannot be run on this machine."""


class BuildFailedError(EngineError):
    """TensorRT's builder failed; quotes its log."""


class PublishError(BuildError):
    """The repository, a version or a step of the rollout is refused; nothing has been changed."""
