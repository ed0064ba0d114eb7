"""What can be wrong with an import. Every text names what was found and, where there is one, the way out.

BuildError
└── ImportRefusedError
    ├── SourceError        the file is not there, is no ONNX file, or lacks a part
    ├── OperatorError      operators or versions that not every runtime takes
    ├── InputError         the network takes something else than one picture
    ├── LayoutError        the outputs fit no family, or several
    ├── LabelsError        labels.txt cannot be read, or does not fit the network
    ├── BatchError         the network works on a fixed number of pictures only
    ├── RunError           ONNX Runtime cannot load or run the graph
    └── SelfCheckError     the network or the finished graph gives values that no detector gives
"""

from wildgate_build.failures import BuildError

__all__ = [
    "BatchError",
    "ImportRefusedError",
    "InputError",
    "LabelsError",
    "LayoutError",
    "OperatorError",
    "RunError",
    "SelfCheckError",
    "SourceError",
]


class ImportRefusedError(BuildError):
    """Base of what makes an import fail; nothing was written."""


class SourceError(ImportRefusedError):
    """The file is not there, is no ONNX file, or lacks a part."""


class OperatorError(ImportRefusedError):
    """The network uses operators or versions that not every runtime takes."""


class InputError(ImportRefusedError):
    """The network takes something else than one square colour picture."""


class LayoutError(ImportRefusedError):
    """The outputs fit no family, or more than one."""


class LabelsError(ImportRefusedError):
    """labels.txt cannot be read, or does not fit the network."""


class BatchError(ImportRefusedError):
    """The network works on a fixed number of pictures only."""


class RunError(ImportRefusedError):
    """ONNX Runtime cannot load or run the graph."""


class SelfCheckError(ImportRefusedError):
    """The network or the finished graph gives values that no detector gives."""
