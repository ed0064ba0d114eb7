"""The model manifest: the one home of the shapes that decoder, detector and gateway agree on.

`model_repository/manifest.yaml` is read here and nowhere else; Triton's configs are rendered from it and from the
releases (`releases.py`), which say what each version of the detector is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from wildgate_server.repository.yaml_document import StrictSection, read_document

__all__ = ["HASHES_PER_FRAME", "MANIFEST_NAME", "ManifestError", "ModelManifest", "Serving", "load_manifest"]

MANIFEST_NAME = "manifest.yaml"

HASHES_PER_FRAME = 27
"""What `frame_fingerprint` makes of a picture: nine hashes (of all of it and of regions) without its borders; where it
has any, nine with them; where it lies in a blur, nine without that. Its graph is written so."""


class ManifestError(ValueError):
    """The manifest cannot be read or breaks a rule; the text names file, field and value."""


class Serving(StrictSection):
    """How Triton batches and how many instances of each model it runs."""

    max_batch_size: Annotated[int, Field(ge=1, le=256)]
    max_queue_delay_us: Annotated[int, Field(ge=0, le=1_000_000)]
    instances: Annotated[int, Field(ge=1, le=256)]


class ModelManifest(StrictSection):
    """What every part of wildgate must agree on about the models.

    `frames_per_window`, `frame_side_px` and `detections_per_frame` are DESIGN's F, S and K;
    `letterbox_value` (0 to 255) fills the bars around a frame that is not square. A stored picture has at most
    `max_frame_pixels`: the gateway goes by what the container declares, the decoder by what is coded.
    """

    frames_per_window: Annotated[int, Field(ge=1, le=256)]
    frame_side_px: Annotated[int, Field(ge=32, le=4096)]
    detections_per_frame: Annotated[int, Field(ge=1, le=1024)]
    letterbox_value: Annotated[int, Field(ge=0, le=255)]
    max_frame_pixels: Annotated[int, Field(ge=1)]
    serving: Serving

    def with_instances(self, instances: int) -> ModelManifest:
        """The same manifest with `instances` of each model, to fit a machine."""
        serving = Serving(**{**self.serving.model_dump(), "instances": instances})
        return self.model_copy(update={"serving": serving})


def load_manifest(path: Path) -> ModelManifest:
    """Reads the manifest at `path`, a file or a model repository that holds one.

    Raises ManifestError naming each field at fault and its value.
    """
    file = path / MANIFEST_NAME if path.is_dir() else path
    return read_document(file, ModelManifest, ManifestError)
