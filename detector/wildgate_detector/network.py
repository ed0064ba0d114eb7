"""The whole network: one frozen body, the classifier that knows live animals, and what was trained to know products."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from wildgate_detector.animals import AnimalMaps
from wildgate_detector.head import ProductHead, ProductNetwork
from wildgate_detector.labels import ANIMALS
from wildgate_detector.lite import Lite0

SIDE: Final = 320
HEADS_SHARE: Final = 0.35
"""The weight of the head's opinion where there is a network beside it."""


@dataclass(frozen=True)
class Trained:
    """What training leaves: the head, the labels of its columns, and a network that was trained alone, if there is one.

    Such a network knows composed pictures better, and takes more real things for products: an owl for pangolin scales.
    """

    head: ProductHead
    labels: tuple[str, ...]
    beside: ProductNetwork | None = None

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.beside.state_dict() if self.beside else None
        torch.save({"head": self.head.state_dict(), "beside": beside, "labels": list(self.labels)}, path)

    @classmethod
    def read(cls, path: Path) -> "Trained":
        """Read what `write` wrote."""
        stored = torch.load(path, weights_only=True)
        head, beside = ProductHead(len(stored["labels"])), None
        head.load_state_dict(stored["head"])
        if stored.get("beside"):
            beside = ProductNetwork(len(stored["labels"]))
            beside.load_state_dict(stored["beside"])
        return cls(head.eval(), tuple(stored["labels"]), beside.eval() if beside else None)


class Network(nn.Module):
    """RGB float [b, 3, SIDE, SIDE], 0 to 255, to boxes [b, n, 4] in pixels and scores [b, n, labels].

    Each live animal has a place of its own, whose scores are 0 but for its label; the places for products follow. The
    labels are `ANIMALS`, then those that were trained.
    """

    def __init__(self, body: Lite0, trained: Trained) -> None:
        super().__init__()
        self.body, self.head, self.beside = body, trained.head, trained.beside
        self.animals = AnimalMaps(body)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        taps: Sequence[Tensor] = self.body(pictures)
        extents, known = self.animals(pictures, self.body.features(taps[-1]))
        logits, boxes = self.head(taps)
        if self.beside is not None:
            others, boxes = self.beside(pictures)
            logits = HEADS_SHARE * logits + (1 - HEADS_SHARE) * others
        own = known.unsqueeze(2) * torch.eye(len(ANIMALS))
        scores = torch.cat(
            (nn.functional.pad(own, (0, logits.shape[2])), nn.functional.pad(logits.sigmoid(), (len(ANIMALS), 0))), 1
        )
        return torch.cat((extents, boxes), 1), scores
