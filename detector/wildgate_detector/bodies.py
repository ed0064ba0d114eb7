"""The two frozen networks that heads stand on: one knows photographs, the other composed pictures of products."""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from wildgate_detector.head import SHARED, STRIDES, Bottleneck, Context, Conv, Head, levels_joined
from wildgate_detector.labels import PRODUCTS
from wildgate_detector.lite import TAPS, Lite0

SEEN: Final = len(TAPS) + len(STRIDES) + 2
"""How many things `Bodies` give."""
WEIGHTS: Final = Path(__file__).with_name("product_network.pt")


class ProductNetwork(nn.Module):
    """Backbone, one top-down merge and a head shared by two levels, strides 16 and 32; trained by itself.

    An older recipe, which is gone, trained it for hours on composed pictures; its weights are in WEIGHTS, FP16, with
    batch normalisation folded into the convolutions, whose layers are left as identities. Input is RGB float
    [b, 3, side, side], 0 to 255, side a multiple of 32.
    """

    def __init__(self) -> None:
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
        self.lateral_middle = Conv(128, SHARED, 1)
        self.lateral_late = Conv(192, SHARED, 1)
        self.merge = Conv(SHARED, SHARED)
        self.head = Head(len(PRODUCTS), corrects=False)

    @classmethod
    def pretrained(cls) -> "ProductNetwork":
        """The network with its weights, for inference.

        Raises:
            ValueError: PRODUCTS are not, or not in this order, the labels that it was trained on.
        """
        network, stored = cls(), torch.load(WEIGHTS, weights_only=True)
        if tuple(stored["labels"]) != PRODUCTS:
            raise ValueError(f"{WEIGHTS.name} knows {', '.join(stored['labels'])}, and not {', '.join(PRODUCTS)}")
        network.load_state_dict(stored["weights"])
        return network.eval()

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What its head looks at, at strides 16 and 32, and its score logits and raw boxes, as of `levels_joined`."""
        middle = self.middle(self.early((frames - 114.0) * (1 / 64)))
        coarse = self.lateral_late(self.late(middle))
        fine = self.merge(self.lateral_middle(middle) + nn.functional.interpolate(coarse, scale_factor=2.0))
        return fine, coarse, *levels_joined(self.head, fine, coarse)


class Bodies(nn.Module):
    """RGB float [b, 3, side, side], 0 to 255, side a multiple of 32, to what heads stand on, as `shapes` lists it."""

    def __init__(self) -> None:
        super().__init__()
        self.lite, self.products = Lite0.pretrained(), ProductNetwork.pretrained()

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        return (*self.lite(pictures), *self.products(pictures))


def shapes(side: int) -> tuple[tuple[int, ...], ...]:
    """The shapes of what `Bodies` give for one picture of `side` pixels."""
    count = sum((side // stride) ** 2 for stride in STRIDES)
    return (
        *((channels, side // stride, side // stride) for channels, stride in TAPS),
        *((SHARED, side // stride, side // stride) for stride in STRIDES),
        (count, len(PRODUCTS)),
        (count, 4),
    )
