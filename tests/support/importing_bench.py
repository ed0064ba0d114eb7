"""Imports networks into a folder of the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import onnx

from wildgate_build.importer.importing import ImportPlan, import_detector
from wildgate_build.standard_file import StandardFile
from wildgate_build.standard_graph import GraphShape

SHAPE = GraphShape(places=0, labels=0, frames=2, side=64, detections=16, candidates=256, overlap=0.5, rounds=16)


@dataclass
class Bench:
    """Imports networks into one folder and keeps what was told."""

    folder: Path
    told: list[str] = field(default_factory=list)

    def labels(self, lines: int | str) -> Path:
        """labels.txt: these lines, or as many labels of their own names."""
        path = self.folder / "labels.txt"
        path.write_text(lines if isinstance(lines, str) else "\n".join(f"thing_{i}" for i in range(lines)))
        return path

    def plan(
        self, model: onnx.ModelProto | Path, labels: int | str, shape: GraphShape = SHAPE, **told: str
    ) -> ImportPlan:
        path = self.folder / "network.onnx"
        if isinstance(model, Path):
            path = model
        else:
            onnx.save_model(model, path)
        output = self.folder / "out" / "standard.onnx"
        if output == path:
            output = output.with_stem("again")
        output.parent.mkdir(exist_ok=True)
        return ImportPlan(path, self.labels(labels), "thing", output, shape, **told)

    def imported(
        self, model: onnx.ModelProto | Path, labels: int | str, shape: GraphShape = SHAPE, **told: str
    ) -> StandardFile:
        return import_detector(self.plan(model, labels, shape, **told), self.told.append)
