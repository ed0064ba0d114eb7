"""What the network is trained towards: which place answers for which object, and how wrong it is."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wildgate_detector.labels import UNSURE

CENTRE_RADIUS = 1.25
"""Places within so many strides of an object's middle answer for it (centre sampling, arXiv:1904.01355)."""
FINE_UP_TO = 8.0
"""The finest level takes objects whose longer side is at most so many of its strides."""
COARSE_FROM = 3.0
"""The coarsest level takes objects whose longer side is at least so many of its strides."""


LEAST_QUALITY = 0.4
"""What a score is to tell of an object whose box is missed altogether; 1 for a perfect box. A verdict rests on
what is seen more than on where: a curved tusk is hard to box, not hard to know."""
BOX_WEIGHT = 0.75


@dataclass(frozen=True)
class Losses:
    """The loss to minimise, and parts for the log."""

    total: Tensor
    parts: dict[str, float]


@dataclass(frozen=True)
class Truth:
    """Objects of a batch, padded: `boxes` [b, m, 4] in pixels and `labels` [b, m] (int64)."""

    boxes: Tensor
    labels: Tensor


def assign(truth: Truth, centres: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Choose an object for every place.

    Returns the object's index [b, n], -1 where none, and whether a place is to be left out [b, n].
    """
    middle = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    size = truth.boxes[..., 2:] - truth.boxes[..., :2]
    longer = size.amax(-1)[:, None, :]
    offset = (centres[None, :, None, :] - middle[:, None]).abs().amax(-1)
    near = offset < CENTRE_RADIUS * strides[None, :, None]
    is_fine = (strides == strides.min())[None, :, None]
    fits = torch.where(
        is_fine,
        longer <= FINE_UP_TO * strides[None, :, None],
        longer >= COARSE_FROM * strides[None, :, None],
    )
    wanted = near & fits & (truth.labels >= 0)[:, None, :]
    area = (size[..., 0] * size[..., 1])[:, None, :].expand_as(wanted)
    cost = torch.where(wanted, area, torch.inf)
    smallest, index = cost.min(-1)
    index = torch.where(smallest.isfinite(), index, -1)
    inside = (centres[None, :, None, :] > truth.boxes[:, None, :, :2]) & (
        centres[None, :, None, :] < truth.boxes[:, None, :, 2:]
    )
    unsure = (inside.all(-1) & (truth.labels == UNSURE)[:, None, :]).any(-1)
    return index, unsure & (index < 0)


def generalised_iou(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (arXiv:1902.09630) of boxes [..., 4], pair by pair."""
    overlap = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    shared = overlap.clamp(min=0).prod(-1)
    areas = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1)
    union = (areas - shared).clamp(min=1e-6)
    hull = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    hull_area = hull.prod(-1).clamp(min=1e-6)
    iou = shared / union
    return iou, iou - (hull_area - union) / hull_area


def detection_loss(logits: Tensor, boxes: Tensor, truth: Truth, centres: Tensor, strides: Tensor) -> Losses:
    """Quality focal loss on the scores (arXiv:2006.04388) and generalised IoU on the boxes.

    `logits` [b, n, labels] and `boxes` [b, n, 4] come from the network.
    """
    index, left_out = assign(truth, centres, strides)
    positive = index >= 0
    picked = index.clamp(min=0)
    wanted = truth.boxes.gather(1, picked[..., None].expand(-1, -1, 4))[positive]
    labels = truth.labels.gather(1, picked)[positive]
    iou, giou = generalised_iou(boxes[positive], wanted)
    quality = torch.zeros_like(logits)
    rows = positive.nonzero(as_tuple=True)
    quality[rows[0], rows[1], labels] = LEAST_QUALITY + (1 - LEAST_QUALITY) * iou.detach()
    surprise = (logits.sigmoid() - quality).abs() ** 2
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    count = max(1.0, float(positive.sum()))
    scores = (surprise * entropy * (~left_out)[..., None]).sum()
    misfit = (1 - giou).sum()
    return Losses(
        total=(scores + BOX_WEIGHT * misfit) / count,
        parts={
            "score": float(scores.detach()) / count,
            "box": float(misfit.detach()) / count,
            "iou": float(iou.detach().mean()) if count > 1 else 0.0,
        },
    )
