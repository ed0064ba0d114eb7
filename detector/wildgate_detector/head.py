"""The head that finds products: a small residual convolutional detector without anchors, on the body's features."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from wildgate_detector.lite import TAPS

STRIDES: Final[tuple[int, ...]] = (16, 32)
"""Pixels between neighbouring places of each output level."""


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

    def __init__(self, channels: int, labels: int, box_channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, labels, 1)
        nn.init.constant_(last.bias, -4.6)  # type: ignore[arg-type]  # a prior of 0.01, arXiv:1708.02002
        self.scores = nn.Sequential(Conv(channels, channels), last)
        self.boxes = nn.Sequential(Conv(channels, box_channels), nn.Conv2d(box_channels, 4, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[b, channels, h, w] to score logits [b, h*w, labels] and raw boxes [b, h*w, 4]."""
        return (
            self.scores(x).flatten(2).transpose(1, 2),
            self.boxes(x).flatten(2).transpose(1, 2),
        )


class ProductHead(nn.Module):
    """Two levels, strides 16 and 32, on the frozen body's features, joined by one top-down merge.

    Takes the features at `lite.TAPS` of a square frame.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        (fine, _), (middle, _), (late, _) = TAPS
        self.texture = Conv(fine, 48, 3, 2)
        self.middle = nn.Sequential(Conv(middle + 48, 96, 1), Bottleneck(96))
        self.late = nn.Sequential(Conv(late, 160, 1), Bottleneck(160), Context(160))
        self.down = Conv(160, 96, 1)
        self.merge = Bottleneck(96)
        self.coarse = Conv(160, 96, 1)
        self.head = Head(96, labels, 64)

    def forward(self, taps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return score logits [b, n, labels] and boxes [b, n, 4] (x1, y1, x2, y2 in pixels).

        Places run row by row, the finer level first, in the order of `places`. A box is an offset of its
        middle from the place and the logarithm of its size, as in YOLOX (arXiv:2107.08430).
        """
        texture, middle, late = taps
        late = self.late(late)
        middle = self.middle(torch.cat((self.texture(texture), middle), 1))
        middle = self.merge(middle + nn.functional.interpolate(self.down(late), scale_factor=2.0))
        outputs = [self.head(middle), self.head(self.coarse(late))]
        return _decoded(outputs, int(taps[0].shape[-1]) * TAPS[0][1])


class ProductNetwork(nn.Module):
    """Backbone, one top-down merge and a head shared by two levels, strides 16 and 32.

    Input is RGB float [b, 3, side, side], 0 to 255, side a multiple of 32.
    """

    def __init__(self, labels: int) -> None:
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
        self.head = Head(96, labels, 96)

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
        return _decoded(outputs, int(frames.shape[-1]))


def _decoded(outputs: Sequence[tuple[Tensor, Tensor]], side: int) -> tuple[Tensor, Tensor]:
    """The levels' outputs, joined, with boxes in pixels of a frame of `side`."""
    logits = torch.cat([scores for scores, _ in outputs], 1)
    raw = torch.cat([boxes for _, boxes in outputs], 1)
    centres, strides = places(side)
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
