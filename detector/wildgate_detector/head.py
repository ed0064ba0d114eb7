"""The head that finds products: small, residual, convolutional and without anchors, on what `bodies` see."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from wildgate_detector.labels import PRODUCTS
from wildgate_detector.lite import TAPS

SHARED: Final = 96
"""Channels of what heads look at, on each output level."""
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
    """Scores and a raw box for every place of a level, in two separate branches.

    Raw boxes begin at 0. So do scores that are to correct others; else they begin at 0.01 (arXiv:1708.02002).
    """

    def __init__(self, labels: int, *, corrects: bool) -> None:
        super().__init__()
        scores, boxes = nn.Conv2d(SHARED, labels, 1), nn.Conv2d(SHARED, 4, 1)
        nn.init.zeros_(boxes.weight)
        nn.init.zeros_(boxes.bias)  # type: ignore[arg-type]
        if corrects:
            nn.init.zeros_(scores.weight)
        nn.init.constant_(scores.bias, 0.0 if corrects else -4.6)  # type: ignore[arg-type]
        self.scores = nn.Sequential(Conv(SHARED, SHARED), scores)
        self.boxes = nn.Sequential(Conv(SHARED, SHARED), boxes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[b, SHARED, h, w] to score logits [b, h*w, labels] and raw boxes [b, h*w, 4]."""
        return (
            self.scores(x).flatten(2).transpose(1, 2),
            self.boxes(x).flatten(2).transpose(1, 2),
        )


class ProductHead(nn.Module):
    """Two levels, strides 16 and 32, on what the frozen bodies see of a square frame, joined by one top-down merge.

    It begins with the product network's boxes and, where its `labels` are that network's, with its scores, and learns
    what to add to them: residual learning (He et al. 2015, arXiv:1512.03385). Other labels get the head's scores alone.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        (fine, _), (middle, _), (late, _) = TAPS
        self.corrects = tuple(labels) == PRODUCTS
        self.texture = Conv(fine, 48, 3, 2)
        self.middle = nn.Sequential(Conv(middle + 48 + SHARED, SHARED, 1), Bottleneck(SHARED))
        self.late = nn.Sequential(Conv(late + SHARED, 160, 1), Bottleneck(160), Context(160))
        self.down = Conv(160, SHARED, 1)
        self.merge = Bottleneck(SHARED)
        self.coarse = Conv(160, SHARED, 1)
        self.head = Head(len(labels), corrects=self.corrects)

    def forward(self, seen: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """From what `Bodies` give to score logits [b, n, labels] and boxes [b, n, 4] (x1, y1, x2, y2 in pixels).

        Places run row by row, the finer level first, in the order of `places`. A box is an offset of its
        middle from the place and the logarithm of its size, as in YOLOX (arXiv:2107.08430).
        """
        texture, middle, late, known_fine, known_coarse, known_logits, known_boxes = seen
        coarse = self.late(torch.cat((late, known_coarse), 1))
        fine = self.middle(torch.cat((self.texture(texture), middle, known_fine), 1))
        fine = self.merge(fine + nn.functional.interpolate(self.down(coarse), scale_factor=2.0))
        logits, raw = levels_joined(self.head, fine, self.coarse(coarse))
        if self.corrects:
            logits = logits + known_logits
        return logits, boxes_at(raw + known_boxes, int(texture.shape[-1]) * TAPS[0][1])


def levels_joined(head: Head, *levels: Tensor) -> tuple[Tensor, Tensor]:
    """What `head` makes of the levels, the finer first: score logits [b, n, labels] and raw boxes [b, n, 4]."""
    outputs = [head(level) for level in levels]
    return torch.cat([scores for scores, _ in outputs], 1), torch.cat([boxes for _, boxes in outputs], 1)


def boxes_at(raw: Tensor, side: int) -> Tensor:
    """Raw boxes [b, n, 4] in pixels of a frame of `side`."""
    centres, strides = places(side)
    middles = centres + raw[..., :2] * strides[:, None]
    halves = raw[..., 2:].clamp(-4, 4).exp() * (strides[:, None] * 1.5)
    return torch.cat((middles - halves, middles + halves), 2)


def places(side: int) -> tuple[Tensor, Tensor]:
    """The centres [n, 2] (x, y in pixels) and strides [n] of all places for a frame of `side` pixels."""
    centres, strides = [], []
    for stride in STRIDES:
        ticks = (torch.arange(side // stride) + 0.5) * stride
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        centres.append(torch.stack((x.flatten(), y.flatten()), 1))
        strides.append(torch.full((x.numel(),), float(stride)))
    return torch.cat(centres), torch.cat(strides)
