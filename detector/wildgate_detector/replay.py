"""Pictures kept to be learned from again, the hard ones more often: composing costs as much as learning.

Prioritised replay (Schaul et al. 2015, arXiv:1511.05952), for a detector's examples: the priority of a
picture is the loss it had when it was last seen.
"""

import numpy as np
from numpy.typing import NDArray

from wildgate_detector.material import MOST_OBJECTS, Item

EAGERNESS = 0.6
"""The power of the loss with which a picture comes again: 0 all alike, 1 as hard as it is."""


class Replay:
    """A ring of the last `room` new pictures of `side` pixels."""

    def __init__(self, room: int, side: int) -> None:
        if room < 1:
            raise ValueError(f"a replay needs room for at least one picture, got {room}")
        self._pictures = np.zeros((room, side, side, 3), np.uint8)
        self._boxes = np.zeros((room, MOST_OBJECTS, 4), np.float32)
        self._labels = np.zeros((room, MOST_OBJECTS), np.int64)
        self._losses = np.zeros(room)
        self._next = 0
        self.filled = 0

    def keep(self, item: Item, loss: float) -> None:
        """Keep a new picture with the loss it had; the oldest one goes."""
        at = self._next
        self._pictures[at], self._boxes[at], self._labels[at] = item
        self._losses[at] = loss
        self._next = (at + 1) % len(self._losses)
        self.filled = max(self.filled, at + 1)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.intp], list[Item]]:
        """Choose `count` pictures, all different, by chance and hardness: their places and the pictures.

        Raises:
            ValueError: fewer than `count` pictures are kept.
        """
        if count > self.filled:
            raise ValueError(f"{count} pictures are wanted, {self.filled} are kept")
        weights = (self._losses[: self.filled] + 1e-3) ** EAGERNESS
        chosen = rng.choice(self.filled, count, replace=False, p=weights / weights.sum())
        return chosen, [(self._pictures[at], self._boxes[at], self._labels[at]) for at in chosen]

    def judge(self, places: NDArray[np.intp], losses: NDArray[np.float64]) -> None:
        """Note the losses that the pictures at `places` have now."""
        self._losses[places] = losses
