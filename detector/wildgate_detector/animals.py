"""Live animals: what ImageNet's classifier makes of the body's features of a frame, by label, and where.

A label's score is the probability of its ImageNet classes against all the others, over the mean of the features. Cells
weigh as much as the square of their features' norm: where there is something the body knows, features are large, and an
animal that fills little of the frame is not averaged away (cut-outs before natural backdrops at 1 % false alarms: 0.50
found instead of 0.25). Bars take no part: with them most of a wide frame's probability goes elsewhere.
A label's box is the extent of its class map (Zhou et al. 2015, arXiv:1512.04150) around the map's peak.
"""

from typing import Final

import torch
from torch import Tensor, nn

from wildgate_detector.labels import ANIMALS
from wildgate_detector.lite import CLASSES, STRIDE, Lite0
from wildgate_detector.scenes import LETTERBOX

DARK: Final = 24.0
"""Black bars, which a video may bring along, hold nothing brighter than this (0 to 255)."""
LEAST_COVER: Final = 0.25
"""A cell counts when at least so much of it is picture."""
SHARE: Final = 0.35
"""A box reaches over the cells around the peak that have this share of its evidence. Of 30 cut-outs before nature 19
had an IoU of more than a half so."""


class AnimalMaps(nn.Module):
    """The classifier of `body`, by label.

    Takes RGB float [b, 3, h, w], 0 to 255, and its features [b, 1280, h / 32, w / 32]; gives boxes [b, labels, 4] in
    pixels and scores [b, labels].
    """

    def __init__(self, body: Lite0) -> None:
        super().__init__()
        listed = [at for classes in ANIMALS.values() for at in classes]
        order = [*listed, *sorted(set(range(CLASSES)) - set(listed))]
        self.classes = body.classifier(order)
        self.listed = body.classifier(listed)
        self.sizes = [*map(len, ANIMALS.values()), CLASSES - len(listed)]

    def forward(self, pictures: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        cover = _cover(pictures)
        cells = features.flatten(2).transpose(1, 2)  # [b, cells, 1280]
        weights = cover.flatten(1).unsqueeze(2) * (cells * cells).mean(2, keepdim=True)
        mean = (cells * weights).sum(1) / weights.sum(1).clamp(min=1e-3)
        scores = _sums(self.classes(mean).softmax(-1), self.sizes)
        maps = _sums(self.listed(cells).relu(), self.sizes[:-1])
        square = torch.unflatten((maps * (weights > 0)).transpose(1, 2), 2, cover.shape[1:])
        return _extents(square), scores * (weights.sum(1) > 0)


def _sums(classes: Tensor, sizes: list[int]) -> Tensor:
    """The sums over each label's classes, which come one after the other, each label's `sizes` of them.

    Not as a product with a matrix of ones: INT8 would take its operands down to 256 values.
    """
    parts = torch.split(classes, sizes, -1)[: len(ANIMALS)]
    return torch.cat([part.sum(-1, keepdim=True) for part in parts], -1)


def _cover(pictures: Tensor) -> Tensor:
    """How much of each cell is picture, and no bar: [b, rows, columns], 0 where it is too little.

    A row or column is a bar where it holds nothing but the letterbox value and black.
    """
    grey = (pictures - float(LETTERBOX)).abs().amax(1)
    shown = torch.minimum(grey, pictures.amax(1) - DARK)
    rows, columns = (
        nn.functional.avg_pool1d((shown.amax(axis) > 0).float().unsqueeze(1), STRIDE).squeeze(1) for axis in (2, 1)
    )
    cover = rows.unsqueeze(2) * columns.unsqueeze(1)
    return cover * (cover >= LEAST_COVER)


def _extents(maps: Tensor) -> Tensor:
    """Boxes [b, labels, 4] in pixels around the cells connected with the peak of each map [b, labels, cells, cells]."""
    cells = max(maps.shape[-2:])
    peak = maps.amax((2, 3), keepdim=True)
    strong = (maps >= SHARE * peak).float()
    reached = (maps >= peak).float()
    for _ in range(cells):
        reached = nn.functional.max_pool2d(reached, 3, stride=1, padding=1) * strong
    ticks = torch.arange(cells, dtype=torch.float32)
    across, down = reached.amax(2), reached.amax(3)
    low = [cells - (line * (cells - ticks)).amax(2) for line in (across, down)]
    high = [(line * (ticks + 1)).amax(2) for line in (across, down)]
    return torch.stack((*low, *high), 2) * float(STRIDE)
