"""Which family a network belongs to, from its outputs as they came out of a run."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from wildgate_build.importer.errors import LayoutError
from wildgate_build.importer.families import detr, yolo_end2end, yolov5, yolov8, yolox
from wildgate_build.importer.families.layout import Layout, Sighting
from wildgate_build.importer.family import Family

__all__ = ["FAMILIES", "recognise"]

FAMILIES: Final[dict[str, ModuleType]] = {
    Family.YOLOV5: yolov5,
    Family.YOLOV8: yolov8,
    Family.YOLOX: yolox,
    Family.YOLO_END2END: yolo_end2end,
    Family.DETR: detr,
}


def recognise(sighting: Sighting, family: str | None) -> Layout:
    """The layout of the network's outputs; `family` is what the user says it is, None to find out.

    Raises LayoutError, naming the outputs and what families expect, when none fits, the family named does not, or
    more than one does.
    """
    seen = ", ".join(map(str, sighting.outputs))
    if family is not None:
        layout: Layout | None = FAMILIES[family].layout(sighting)
        if layout is None:
            raise LayoutError(
                f"the network gives {seen} at {sighting.side} pixels; {family} expects {FAMILIES[family].EXPECTS}"
            )
        return layout
    recognised = [name for name, module in FAMILIES.items() if module.recognised(sighting)]
    if len(recognised) == 1:
        return recognise(sighting, recognised[0])
    possible = recognised or [name for name, module in FAMILIES.items() if module.layout(sighting) is not None]
    if len(possible) > 0:
        hint = "; YOLOv6 reads as yolov5" if "yolox" in possible and "yolov5" in possible else ""
        raise LayoutError(
            f"the network gives {seen} at {sighting.side} pixels, which may be {' or '.join(possible)}; "
            f"say which with --family{hint}"
        )
    expected = "".join(f"\n  {name}: {module.EXPECTS}" for name, module in FAMILIES.items())
    raise LayoutError(
        f"the network gives {seen} at {sighting.side} pixels, which fits no family; expected is one of{expected}"
        "\n  standard: FRAMES uint8 [b,F,S,S,3] -> DETECTIONS float [b,F,K,6]"
    )
