"""Decided cases as a data set in COCO's format, for training a detector on what people saw."""

from __future__ import annotations

import io
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2

__all__ = ["DataSet"]


@dataclass
class DataSet:
    """Collects pictures in `folder`; `labels` are those that are wanted, all where there are none.

    What a case shows is what the last decision on it says, not what the detector said:

    - confirmed: boxes of the decided label are marked; others are marked as crowds, neither asked for nor held against
      a detector. A picture without a box of that label tells nothing of where it is, and is left out.
    - harmless: nothing is marked, and whatever was detected was wrong. One that was given a label shows it lawfully,
      and is left out.
    """

    folder: Path
    labels: Collection[str] = ()
    left_out: int = 0
    _images: list[dict[str, Any]] = field(default_factory=list)
    _annotations: list[dict[str, Any]] = field(default_factory=list)
    _categories: dict[str, int] = field(default_factory=dict)

    @property
    def pictures(self) -> int:
        """How many there are."""
        return len(self._images)

    def shows(self, case: pb.Case) -> str | None:
        """The label that a case's pictures show, "" for none; None where they are not to be used."""
        decision = next((each for each in reversed(case.decisions) if not each.withdrawn), None)
        if decision is None:
            return None
        if case.state == pb.CASE_STATE_HARMLESS:
            return None if decision.label else ""
        wanted = case.state == pb.CASE_STATE_CONFIRMED and (not self.labels or decision.label in self.labels)
        return decision.label if wanted else None

    def add(self, case: pb.Case, index: int, frame: scoring_pb2.EvidenceFrame) -> None:
        """Adds a picture of a case that shows something, or nothing. Raises OSError."""
        label = self.shows(case)
        boxes = [found for found in case.verdict.detections if found.time_s == frame.time_s]
        try:
            with Image.open(io.BytesIO(frame.jpeg)) as picture:
                width, height = picture.size
        except UnidentifiedImageError:
            label = None
        if label is None or (label and not any(found.label == label for found in boxes)):
            self.left_out += 1
            return
        number = len(self._images) + 1
        name = f"{case.id}_{index:02d}.jpg"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(frame.jpeg)
        self._images.append({"id": number, "file_name": name, "width": width, "height": height})
        if not label:
            return
        category = self._categories.setdefault(label, len(self._categories) + 1)
        for found in boxes:
            left, top = max(found.box.x1, 0.0) * width, max(found.box.y1, 0.0) * height
            across, down = min(found.box.x2, 1.0) * width - left, min(found.box.y2, 1.0) * height - top
            if across <= 0 or down <= 0:
                continue
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "bbox": [round(side, 2) for side in (left, top, across, down)],
                    "area": round(across * down, 2),
                    "iscrowd": int(found.label != label),
                }
            )

    def write(self) -> Path:
        """The data set's file beside its pictures. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "coco.json"
        categories = [{"id": number, "name": label} for label, number in self._categories.items()]
        content = {"images": self._images, "annotations": self._annotations, "categories": categories}
        file.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return file
