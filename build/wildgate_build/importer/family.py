"""The families by their names, as the command line and the standard file spell them."""

from enum import StrEnum

__all__ = ["Family"]


class Family(StrEnum):
    """What lays out its outputs in which way; `auto` finds out, `standard` is a standard graph already."""

    AUTO = "auto"
    YOLOV5 = "yolov5"
    YOLOV8 = "yolov8"
    YOLOX = "yolox"
    YOLO_END2END = "yolo-end2end"
    DETR = "detr"
    STANDARD = "standard"
