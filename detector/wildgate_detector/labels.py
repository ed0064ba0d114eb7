"""The reference detector's labels, in the order of their class index."""

from typing import Final

LIVE_STAMPS: Final[dict[str, tuple[str, ...]]] = {
    "live_elephant": ("animals/mammals/elephant",),
    "live_rhinoceros": ("animals/mammals/rhino_black",),
    "live_tiger": ("animals/mammals/cats/tiger", "animals/mammals/cats/tiger_sumatran"),
    "live_lion": ("animals/mammals/cats/lion", "animals/mammals/cats/lion-2"),
    "live_great_ape": ("animals/mammals/apes/chimp", "animals/mammals/apes/gorilla"),
    "live_bear": ("animals/mammals/bears/bear", "animals/mammals/bears/european-bear"),
    "live_otter": ("animals/mammals/aquatic/otter",),
    "live_parrot": ("animals/birds/adelaide-rosella", "animals/birds/rainbow-lorikeet"),
    "live_owl": ("animals/birds/owl",),
    "live_iguana": ("animals/lizards/iguana",),
    "live_hippopotamus": ("animals/mammals/hippopotamus",),
    "live_seahorse": ("animals/fish/seahorse",),
}
"""Live-animal label to the photographic stamps that show it, as paths below the stamps folder, no suffix."""

PRODUCTS: Final[tuple[str, ...]] = (
    "elephant_tusk",
    "carved_ivory",
    "rhino_horn",
    "pangolin_scales",
    "striped_pelt",
)
"""Labels of wildlife products; their pictures are rendered, see ``products``."""

LABELS: Final[tuple[str, ...]] = (*LIVE_STAMPS, *PRODUCTS)
"""All labels; a detection's class index points into this tuple."""

NOTHING: Final = -1
"""Label index of padding in a training example."""
UNSURE: Final = -2
"""Label index of an object too hidden to ask for: it is neither rewarded nor punished."""
