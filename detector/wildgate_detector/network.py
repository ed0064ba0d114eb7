"""The reference network: a small residual convolutional detector without anchors."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from wildgate_detector.labels import PRODUCTS

STRIDES: Final[tuple[int, ...]] = (16, 32)
"""Pixels between neighbouring places of each output level."""
QUIET: Final = 0.1
"""The scale at which a new residual layer joins trained ones."""


class Conv(nn.Sequential):
    """Convolution, batch normalisation and ReLU; `stride` 2 halves height and width."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class Bottleneck(nn.Module):
    """A residual block: 1x1 to half the channels, 3x3 back (He et al. 2015, arXiv:1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = Conv(channels, channels // 2, 1)
        self.wide = Conv(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, h, w] to the same."""
        widened: Tensor = self.wide(self.narrow(x))
        return x + widened


class Context(nn.Module):
    """What the whole frame holds, told to every place: maxima over ever wider windows, added.

    Spatial pyramid pooling (He et al. 2014, arXiv:1406.4729), its windows nested. Without it an object that
    fills the frame is seen in parts.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = Conv(channels, channels // 2, 1)
        self.wider = nn.MaxPool2d(5, stride=1, padding=2)
        self.join = Conv(channels // 2 * 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, h, w] to the same."""
        windows = [self.narrow(x)]
        for _ in range(3):
            windows.append(self.wider(windows[-1]))
        joined: Tensor = self.join(torch.cat(windows, 1))
        return x + joined


class Head(nn.Module):
    """Scores and a raw box for every place of a level, in two separate branches."""

    def __init__(self, channels: int, labels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, labels, 1)
        nn.init.constant_(last.bias, -4.6)  # type: ignore[arg-type]  # a prior of 0.01, arXiv:1708.02002
        self.scores = nn.Sequential(Conv(channels, channels), last)
        self.boxes = nn.Sequential(Conv(channels, channels), nn.Conv2d(channels, 4, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[b, channels, h, w] to score logits [b, h*w, labels] and raw boxes [b, h*w, 4]."""
        return (
            self.scores(x).flatten(2).transpose(1, 2),
            self.boxes(x).flatten(2).transpose(1, 2),
        )


class Detector(nn.Module):
    """Backbone, one top-down merge and a head shared by two levels, strides 16 and 32.

    Input is RGB float [b, 3, side, side], 0 to 255, side a multiple of 32.
    """

    def __init__(self, labels: int = len(PRODUCTS)) -> None:
        super().__init__()
        self.early = nn.Sequential(
            Conv(3, 16, 3, 2),
            Conv(16, 32, 3, 2),
            Conv(32, 64, 3, 2),
            Bottleneck(64),
            Bottleneck(64),
        )
        self.middle = nn.Sequential(Conv(64, 128, 3, 2), Bottleneck(128), Bottleneck(128), Bottleneck(128))
        self.late = nn.Sequential(
            Conv(128, 192, 3, 2),
            Bottleneck(192),
            Bottleneck(192),
            Bottleneck(192),
            Bottleneck(192),
            Context(192),
        )
        self.lateral_middle = Conv(128, 96, 1)
        self.lateral_late = Conv(192, 96, 1)
        self.merge = Conv(96, 96)
        self.head = Head(96, labels)

    def load_grown(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights of this network, or of it before it grew: residual layers they lack join quietly.

        Raises:
            ValueError: they are of another network.
        """
        try:
            missing, unexpected = self.load_state_dict(weights, strict=False)
        except RuntimeError as error:  # the same names with other shapes
            raise ValueError(f"weights of another network: {error}") from error
        if unexpected:
            raise ValueError(f"weights of another network, which has {', '.join(unexpected[:3])}")
        grown = {f"late.{at}" for at, layer in enumerate(self.late) if isinstance(layer, Bottleneck | Context)}
        for name in missing:
            if not name.startswith(tuple(grown)):
                raise ValueError(f"weights of another network, which lacks {name}")
        with torch.no_grad():
            for name, value in self.named_parameters():
                if name in missing and name.endswith(("wide.1.weight", "join.1.weight")):
                    value.fill_(QUIET)

    def rest_early(self, rests: bool) -> None:
        """Let the layers up to stride 8 learn no more (weights and running statistics), or learn again."""
        self.early.train(self.training and not rests).requires_grad_(not rests)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return score logits [b, n, labels] and boxes [b, n, 4] (x1, y1, x2, y2 in pixels).

        Places run row by row, the finer level first, in the order of `places`. A box is an offset of its
        middle from the place and the logarithm of its size, as in YOLOX (arXiv:2107.08430).
        """
        middle = self.middle(self.early((frames - 114.0) * (1 / 64)))
        late = self.late(middle)
        fine = self.lateral_middle(middle)
        coarse = self.lateral_late(late)
        fine = self.merge(fine + nn.functional.interpolate(coarse, scale_factor=2.0))
        outputs = [self.head(fine), self.head(coarse)]
        logits = torch.cat([scores for scores, _ in outputs], 1)
        raw = torch.cat([boxes for _, boxes in outputs], 1)
        centres, strides = places(int(frames.shape[-1]))
        middles = centres + raw[..., :2] * strides[:, None]
        halves = raw[..., 2:].clamp(-4, 4).exp() * (strides[:, None] * 1.5)
        return logits, torch.cat((middles - halves, middles + halves), 2)


def places(side: int) -> tuple[Tensor, Tensor]:
    """The centres [n, 2] (x, y in pixels) and strides [n] of all places for a frame of `side` pixels."""
    centres, strides = [], []
    for stride in STRIDES:
        ticks = (torch.arange(side // stride) + 0.5) * stride
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        centres.append(torch.stack((x.flatten(), y.flatten()), 1))
        strides.append(torch.full((x.numel(),), float(stride)))
    return torch.cat(centres), torch.cat(strides)
