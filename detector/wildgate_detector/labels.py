"""The reference detector's labels, in the order of their class index."""

from typing import Final

ANIMALS: Final[dict[str, tuple[int, ...]]] = {
    "live_elephant": (101, 385, 386),
    "live_hippopotamus": (344,),
    "live_tiger": (292,),
    "live_lion": (291,),
    "live_spotted_cat": (288, 289, 290, 293),
    "live_lynx_or_cougar": (286, 287),
    "live_ape": tuple(range(365, 370)),
    "live_monkey": tuple(range(370, 383)),
    "live_lemur": (383, 384),
    "live_bear": tuple(range(294, 298)),
    "live_panda": (387, 388),
    "live_otter": (360,),
    "live_sloth": (364,),
    "live_sea_mammal": (147, 148, 149),
    "live_parrot": tuple(range(87, 91)),
    "live_raptor": (21, 22, 23),
    "live_owl": (24,),
    "live_hornbill_or_toucan": (93, 96),
    "live_flamingo": (130,),
    "live_crane": (134,),
    "live_turtle": tuple(range(33, 38)),
    "live_crocodile": (49, 50),
    "live_lizard": (39, 45, 47, 48),
    "live_snake": (61, 62, 63),
    "live_axolotl": (29,),
    "live_shark": (2, 3, 4),
    "live_sturgeon": (394,),
    "live_coral": (109,),
}
"""Live-animal label to the ImageNet-1k classes (index in the usual order, 0 to 999) that stand for it.

Only classes whose species are all, or nearly all, listed by CITES: of lizards iguana, Gila monster, chameleon and
Komodo dragon, of snakes boa, python and cobra, of rays none. Plains zebras, peafowl, most tarantulas and most penguins
are not listed, and ImageNet has no rhinoceros, pangolin or seahorse.
"""

LIVE_STAMPS: Final[dict[str, tuple[str, ...]]] = {
    "live_elephant": ("animals/mammals/elephant",),
    "live_hippopotamus": ("animals/mammals/hippopotamus",),
    "live_tiger": ("animals/mammals/cats/tiger", "animals/mammals/cats/tiger_sumatran"),
    "live_lion": ("animals/mammals/cats/lion", "animals/mammals/cats/lion-2"),
    "live_ape": ("animals/mammals/apes/chimp", "animals/mammals/apes/gorilla"),
    "live_monkey": ("animals/mammals/apes/tamarin_emperor",),
    "live_bear": ("animals/mammals/bears/bear", "animals/mammals/bears/european-bear"),
    "live_otter": ("animals/mammals/aquatic/otter",),
    "live_sea_mammal": (
        "animals/mammals/aquatic/orca",
        "animals/mammals/aquatic/whale",
        "animals/mammals/aquatic/dolphin",
    ),
    "live_parrot": ("animals/birds/adelaide-rosella", "animals/birds/rainbow-lorikeet"),
    "live_raptor": ("animals/birds/vulture",),
    "live_owl": ("animals/birds/owl",),
    "live_hornbill_or_toucan": ("animals/birds/tucan",),
    "live_flamingo": ("animals/birds/pink_flamingo",),
    "live_crane": ("animals/birds/crowned_crane",),
    "live_lizard": ("animals/lizards/iguana",),
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

LABELS: Final[tuple[str, ...]] = (*ANIMALS, *PRODUCTS)
"""All labels; a detection's class index points into this tuple."""

STAGED: Final[tuple[str, ...]] = (*LIVE_STAMPS, *PRODUCTS)
"""The labels that composed pictures can show: cut-outs of animals, and rendered products."""

NOTHING: Final = -1
"""Label index of padding in a training example."""
UNSURE: Final = -2
"""Label index of an object too hidden to ask for: it is neither rewarded nor punished."""
