"""Live animals: what the frozen body makes of a frame, by label, and where.

A label's score is the probability of its ImageNet classes against all the others, over the mean of the features, as the
classifier was trained. Bars take no part in that mean: with them most of a wide frame's probability goes elsewhere.
A label's box is the extent of its class map (Zhou et al. 2015, arXiv:1512.04150) around the map's peak.
"""

from typing import Final

import torch
from torch import Tensor, nn

from wildgate_detector.labels import ANIMALS
from wildgate_detector.lite import CLASSES, STRIDE, Lite0
from wildgate_detector.scenes import LETTERBOX

SIDE: Final = 192
"""The square in pixels that the body sees."""
CELLS: Final = SIDE // STRIDE
DARK: Final = 24.0
"""Black bars, which a video may bring along, hold nothing brighter than this (0 to 255)."""
LEAST_COVER: Final = 0.25
"""A cell counts when at least so much of it is picture."""
SHARE: Final = 0.35
"""A box reaches over the cells around the peak that have this share of its evidence (0.2 in the paper, for objects
that the class map is sure of; these cells are larger)."""


class AnimalMaps(nn.Module):
    """RGB float [b, 3, side, side], 0 to 255, to boxes [b, labels, 4] in pixels and scores [b, labels]."""

    def __init__(self, body: Lite0) -> None:
        super().__init__()
        self.body = body
        listed = [at for classes in ANIMALS.values() for at in classes]
        order = [*listed, *sorted(set(range(CLASSES)) - set(listed))]
        body.order_classes(order)
        self.sizes = [*map(len, ANIMALS.values()), CLASSES - len(listed)]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        side = float(pictures.shape[-1])
        cover = _cover(pictures)
        small = nn.functional.interpolate(pictures, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        features = self.body(small).flatten(2).transpose(1, 2)  # [b, cells, 1280]
        weights = cover.flatten(1).unsqueeze(2)
        mean = (features * weights).sum(1) / weights.sum(1).clamp(min=1e-3)
        scores, maps = self._probabilities(torch.cat((mean.unsqueeze(1), features), 1)).split((1, CELLS**2), 1)
        boxes = _extents((maps * (weights > 0)).transpose(1, 2), side / CELLS)
        return boxes, scores.squeeze(1) * (weights.sum(1) > 0)

    def _probabilities(self, features: Tensor) -> Tensor:
        # Not as a product with a matrix of ones: INT8 would take its operands down to 256 values.
        *labels, _ = self.body.classes(features).softmax(-1).split(self.sizes, -1)
        return torch.cat([classes.sum(-1, keepdim=True) for classes in labels], -1)


def _cover(pictures: Tensor) -> Tensor:
    """How much of each cell is picture, and no bar: [b, CELLS, CELLS], 0 where it is too little.

    A row or column is a bar where it holds nothing but the letterbox value and black.
    """
    grey = (pictures - float(LETTERBOX)).abs().amax(1)
    bright = pictures.amax(1) - DARK
    shown = torch.minimum(grey, bright.clamp(min=0.0)).clamp(max=1.0)
    step = pictures.shape[-1] / CELLS
    rows, columns = (_cells(shown.amax(axis), step) for axis in (2, 1))
    cover = rows.unsqueeze(2) * columns.unsqueeze(1)
    return cover * (cover >= LEAST_COVER)


def _cells(line: Tensor, step: float) -> Tensor:
    """Means over the cells along `line` [b, pixels]; pixels that a border cuts count where more of them lies."""
    owner = ((torch.arange(line.shape[1]) + 0.5) / step).long()
    membership = nn.functional.one_hot(owner, CELLS).float()
    return (line.unsqueeze(1) * (membership / membership.sum(0)).T).sum(2)


def _extents(maps: Tensor, cell_px: float) -> Tensor:
    """Boxes [b, labels, 4] in pixels around the cells connected with the peak of each map [b, labels, cells]."""
    square = maps.unflatten(2, (CELLS, CELLS))
    peak = square.amax((2, 3), keepdim=True)
    strong = (square >= SHARE * peak).float()
    reached = (square >= peak).float()
    for _ in range(CELLS):
        reached = nn.functional.max_pool2d(reached, 3, stride=1, padding=1) * strong
    ticks = torch.arange(CELLS, dtype=torch.float32)
    across, down = reached.amax(2), reached.amax(3)
    low = [((line * (CELLS - ticks)).amax(2) - CELLS).neg() for line in (across, down)]
    high = [(line * (ticks + 1)).amax(2) for line in (across, down)]
    return torch.stack((*low, *high), 2) * cell_px
