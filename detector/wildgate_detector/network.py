"""The whole network: frozen bodies, the classifier that knows live animals, and the head for products."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from wildgate_detector.animals import AnimalMaps
from wildgate_detector.bodies import Bodies
from wildgate_detector.head import ProductHead
from wildgate_detector.labels import ANIMALS
from wildgate_detector.lite import TAPS

SIDE: Final = 320


@dataclass(frozen=True)
class Trained:
    """What training leaves: the head, and the labels of its columns."""

    head: ProductHead
    labels: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"head": self.head.state_dict(), "labels": list(self.labels)}, path)

    @classmethod
    def read(cls, path: Path) -> "Trained":
        """Read what `write` wrote."""
        stored = torch.load(path, weights_only=True)
        labels = tuple(stored["labels"])
        head = ProductHead(labels)
        head.load_state_dict(stored["head"])
        return cls(head.eval(), labels)


class Network(nn.Module):
    """RGB float [b, 3, SIDE, SIDE], 0 to 255, to boxes [b, n, 4] in pixels and scores [b, n, labels].

    Each live animal has a place of its own, whose scores are 0 but for its label; the places for products follow. The
    labels are `ANIMALS`, then those that were trained.
    """

    def __init__(self, bodies: Bodies, head: ProductHead) -> None:
        super().__init__()
        self.bodies, self.head = bodies, head
        self.animals = AnimalMaps(bodies.lite)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        seen = self.bodies(pictures)
        extents, known = self.animals(pictures, self.bodies.lite.features(seen[len(TAPS) - 1]))
        logits, boxes = self.head(seen)
        own = known.unsqueeze(2) * torch.eye(len(ANIMALS))
        scores = torch.cat(
            (nn.functional.pad(own, (0, logits.shape[2])), nn.functional.pad(logits.sigmoid(), (len(ANIMALS), 0))), 1
        )
        return torch.cat((extents, boxes), 1), scores
