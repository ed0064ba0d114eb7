"""The training pictures of products: composed scenes, retouched by chance, some before real photographs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wildgate_detector.material import Item, retouched, training_item
from wildgate_detector.photographs import Folders, harmless
from wildgate_detector.props import PropRoom
from wildgate_detector.seeds import Purpose, stream
from wildgate_detector.stamps import load_stamps

PROPS_KEPT: Final = 48
CROWDED: Final = 0.5
RETOUCHED: Final = 0.5


@dataclass(frozen=True)
class ComposedPictures:
    """Composes the pictures of the run `seed` by number, `side` pixels large."""

    seed: int
    side: int
    folders: Folders

    def __call__(self, first: int, last: int) -> Iterator[Item]:
        """The pictures `first` to before `last`."""
        stamps = load_stamps()
        photographs = harmless(self.folders)
        props = PropRoom(stamps, side=224, kept=PROPS_KEPT)
        for index in range(first, last):
            rng = stream(Purpose.TRAIN, self.seed, index)
            item = training_item(rng, props, self.side, crowded=rng.random() < CROWDED, photographs=photographs)
            yield retouched(rng, item) if rng.random() < RETOUCHED else item
