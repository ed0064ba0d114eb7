"""Recognises the family of a network from the outputs of a run."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from wildgate_build.errors import ImportRefusedError
from wildgate_build.importer.families import detr, yolo_end2end, yolov5, yolov8, yolox
from wildgate_build.importer.families.layout import Family, Layout, TrialRun

__all__ = ["FAMILIES", "recognise"]

FAMILIES: Final[dict[str, ModuleType]] = {
    Family.YOLOV5: yolov5,
    Family.YOLOV8: yolov8,
    Family.YOLOX: yolox,
    Family.YOLO_END2END: yolo_end2end,
    Family.DETR: detr,
}


def recognise(trial: TrialRun, family: str | None) -> Layout:
    """The layout of the network's outputs; `family` is what the user says it is, None to find out.

    Raises ImportRefusedError, naming the outputs and what families expect, when no family fits, the one named does not,
    or several do.
    """
    seen = ", ".join(map(str, trial.outputs))
    if family is not None:
        layout: Layout | None = FAMILIES[family].layout(trial)
        if layout is None:
            raise ImportRefusedError(
                f"the network gives {seen} at {trial.side} pixels; {family} expects {FAMILIES[family].EXPECTS}"
            )
        return layout
    recognised = [name for name, module in FAMILIES.items() if module.recognised(trial)]
    if len(recognised) == 1:
        return recognise(trial, recognised[0])
    possible = recognised or [name for name, module in FAMILIES.items() if module.layout(trial) is not None]
    if len(possible) > 0:
        hint = "; YOLOv6 reads as yolov5" if "yolox" in possible and "yolov5" in possible else ""
        raise ImportRefusedError(
            f"the network gives {seen} at {trial.side} pixels, which may be {' or '.join(possible)}; "
            f"say which with --family{hint}"
        )
    expected = "".join(f"\n  {name}: {module.EXPECTS}" for name, module in FAMILIES.items())
    raise ImportRefusedError(
        f"the network gives {seen} at {trial.side} pixels, which fits no family; expected is one of{expected}"
        "\n  standard: FRAMES uint8 [b,F,S,S,3] -> DETECTIONS float [b,F,K,6]"
    )
