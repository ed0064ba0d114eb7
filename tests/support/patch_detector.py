"""A model repository whose detector is a rule: it finds the yellow patch of `clips.picture`.

The shipped detector sees nothing in test videos. This one gives each frame one box, exactly around the patch, and the
frame's brightness as its score, so that a swapped, turned or foreign frame shows in the verdict. All else is as
shipped: decoders, shapes, the detector's `model.py`. `POLICY` has the rules for its labels.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import yaml
from onnx import parser

from wildgate_build.standard_file import Properties, file_digest, write_properties
from wildgate_server.repository.manifest import MANIFEST_NAME, ModelManifest, load_manifest
from wildgate_server.repository.model_configs import (
    CLIP_DECODER,
    CLIP_DECODER_SOFTWARE,
    FRAME_FINGERPRINT,
    write_configs,
)
from wildgate_server.repository.releases import DETECTOR, RELEASE_NAME, ROLLOUT_NAME, Rollout

LABEL = "yellow_patch"
OTHER_LABEL = "purple_patch"

POLICY = f"""
version: test-7
labels:
  {LABEL}:
    group: live_animal
    taxon: Testudo hermanni
    cites_appendix: II
    review: {{score: 0.02, seconds: 0}}
    block: {{score: 0.5, seconds: 0}}
  {OTHER_LABEL}:
    group: product
    taxon: Manis
    cites_appendix: I
    review: {{score: 0.5, seconds: 0}}
"""

_GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
patch (uint8[b,{f},{s},{s},3] FRAMES) => (float[b,{f},{k},6] DETECTIONS)
<int64[3] colours = {{1, 1, 1}}, float warm = {{100.0}}, float side = {{{s}.0}}, float white = {{{white}}},
 float nothing = {{0.0}}, int64[1] last = {{2}}, int64[8] unused = {{0, 0, 0, 0, 0, 0, {pad}, 0}},
 float[{s}] ends = {{{ends}}}, float[{s}] starts = {{{starts}}}>
{{
    values = Cast <to = 1> (FRAMES)
    red, green, blue = Split <axis = 4> (values, colours)
    warmth = Sub (red, blue)
    patch_pixels = Greater (warmth, warm)
    pixels = Cast <to = 1> (patch_pixels)
    rows = ReduceMax <axes = [3, 4], keepdims = 0> (pixels)
    columns = ReduceMax <axes = [2, 4], keepdims = 0> (pixels)
    seen = ReduceMax <axes = [2], keepdims = 1> (rows)

    row_ends = Mul (rows, ends)
    row_starts = Mul (rows, starts)
    column_ends = Mul (columns, ends)
    column_starts = Mul (columns, starts)
    bottom = ReduceMax <axes = [2], keepdims = 1> (row_ends)
    below_top = ReduceMax <axes = [2], keepdims = 1> (row_starts)
    right = ReduceMax <axes = [2], keepdims = 1> (column_ends)
    beside_left = ReduceMax <axes = [2], keepdims = 1> (column_starts)
    top = Sub (side, below_top)
    left = Sub (side, beside_left)

    pixel_box = Concat <axis = 2> (left, top, right, bottom)
    box = Div (pixel_box, side)
    mean = ReduceMean <axes = [2, 3, 4], keepdims = 0> (red)
    mean3 = Unsqueeze (mean, last)
    brightness = Div (mean3, white)
    label = Mul (seen, nothing)
    row = Concat <axis = 2> (box, brightness, label)
    seen_row = Mul (row, seen)
    one = Unsqueeze (seen_row, last)
    DETECTIONS = Pad (one, unused)
}}
"""


def patch_repository(shipped: Path, target: Path, version: int = 3) -> Path:
    """Makes the repository in `target` from the `shipped` one; the detector's only version is `version`."""
    shutil.copy(shipped / MANIFEST_NAME, target)
    manifest = load_manifest(target)
    rollout = Rollout(serving=version)
    for model in (CLIP_DECODER, CLIP_DECODER_SOFTWARE, FRAME_FINGERPRINT):
        (target / model).mkdir()
        (target / model / "1").symlink_to((shipped / model / "1").resolve())
    directory = target / DETECTOR / str(version)
    directory.mkdir(parents=True)
    shutil.copy(shipped / DETECTOR / "1" / "model.py", directory)
    write_detector(directory / "model.onnx", manifest)
    release = {
        "name": "patch",
        "version": version,
        "precision": "fp32",
        "labels": [LABEL, OTHER_LABEL],
        **{shape: getattr(manifest, shape) for shape in ("frames_per_window", "frame_side_px", "detections_per_frame")},
        "files": {file.name: file_digest(file) for file in sorted(directory.iterdir())},
        "origin": {
            "family": "rule",
            "source_digest": file_digest(directory / "model.onnx"),
            "published": "2026-01-01T00:00:00Z",
            "tool": "tests",
        },
    }
    (directory / RELEASE_NAME).write_text(yaml.safe_dump(release, sort_keys=False))
    (target / ROLLOUT_NAME).write_text(yaml.safe_dump({"serving": version}))
    write_configs(manifest, rollout, target)
    return target


def write_detector(
    file: Path, manifest: ModelManifest, *, gain: float = 1.0, labels: tuple[str, ...] = (LABEL, OTHER_LABEL)
) -> Path:
    """Writes the rule as a standard detector file; its scores are the brightness times `gain`."""
    side, detections = manifest.frame_side_px, manifest.detections_per_frame
    ends = [f"{at}.0" for at in range(1, side + 1)]
    text = _GRAPH.format(
        f=manifest.frames_per_window,
        s=side,
        k=detections,
        pad=detections - 1,
        white=255 / gain,
        ends=", ".join(ends),
        starts=", ".join(reversed(ends)),
    )
    model = parser.parse_model(text)
    properties = Properties("patch", labels, "rule", f"blake3:{round(gain * 1000):064x}", "fp32")
    write_properties(model, properties)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    return file
