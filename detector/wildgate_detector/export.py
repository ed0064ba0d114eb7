"""From a checkpoint to the standard ONNX graph, checked against the network it came from."""

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from wildgate_build.durable_files import write_files
from wildgate_build.onnx_session import run
from wildgate_build.standard_file import Properties, file_digest, write_properties
from wildgate_build.standard_graph import IR_VERSION, OPSET, GraphShape, standard_graph
from wildgate_detector.labels import LABELS
from wildgate_detector.network import Detector, places

SIDE = 320
NAME = "reference"
"""What the detector and its architecture are called."""
NOTE = (
    "A demonstrator of wildgate's pipeline, trained on composed pictures; "
    "not a model to be trusted with real moderation."
)


MATERIAL = "tuxpaint-stamps-default (GPL-2) and pictures rendered by the recipe"


class ExportMismatchError(RuntimeError):
    """The exported graph computes something else than the network."""


class _Core(nn.Module):
    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = self.network(pictures)
        return boxes, logits.sigmoid()


def export(checkpoint: Path, target: Path) -> None:
    """Write the network of `checkpoint` as a standard graph to `target`, batch normalisation folded in.

    Raises:
        ExportMismatchError: scores differ by more than 1e-3 or boxes by more than 0.1 pixel.
    """
    network = Detector()
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    core = _Core(network.eval()).eval()
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
    exported = onnx.load_model_from_string(data.getvalue())
    exported.ir_version = IR_VERSION
    _compare(core, exported)
    shape = GraphShape(places=places(SIDE)[0].shape[0], labels=len(LABELS), side=SIDE)
    model = standard_graph(exported, shape, {"note": NOTE, "material": MATERIAL})
    write_properties(model, Properties(NAME, LABELS, NAME, file_digest(checkpoint), "fp32"))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_files({target: model.SerializeToString()})


def _compare(core: nn.Module, exported: onnx.ModelProto) -> None:
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 3, SIDE, SIDE)).astype(np.float32)
    (got,) = run(exported, {"pictures": pictures})
    with torch.inference_mode():
        wanted_boxes, wanted_scores = core(torch.from_numpy(pictures))
    score_gap = float(np.abs(got["scores"] - wanted_scores.numpy()).max())
    box_gap = float(np.abs(got["boxes"] - wanted_boxes.numpy()).max())
    if score_gap > 1e-3 or box_gap > 0.1:
        raise ExportMismatchError(f"scores differ by {score_gap:.2g}, boxes by {box_gap:.2g} pixels")
