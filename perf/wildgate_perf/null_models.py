"""A model repository whose models answer zeros at once: what is left is the cost of the way there and back.

It is laid out like the real one, with the same manifest, names, tensors, batching and instances, so that a gateway and
a Triton cannot tell it from the real one but by its speed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from wildgate_server.repository.model_configs import CLIP_DECODER, CLIP_DECODER_SOFTWARE, FRAME_FINGERPRINT
from wildgate_server.repository.releases import RELEASE_NAME, file_digest, load_rollout, version_directory

# One program for all models: outputs are zeros of the shapes in the config, one row for each row asked; but a decoder
# vouches for its pictures, of one pixel.
_NULL_MODEL = '''"""Answers zeros at once."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args):
        """Makes the zeros beforehand."""
        config = json.loads(args["model_config"])
        self._input = config["input"][-1]["name"]  # a small one: its shape tells the rows
        self._zeros = {output["name"]: self._array(output, config) for output in config["output"]}
        if "SOUND" in self._zeros:  # else nothing was seen, and the video is corrupt
            self._zeros["SOUND"] += 1
            self._zeros["PICTURE_SIZE"] += 1

    def _array(self, output, config):
        dims = [int(dim) for dim in output["dims"]]
        dtype = pb_utils.triton_string_to_numpy(output["data_type"])
        return np.zeros((int(config["max_batch_size"]), *dims), dtype)

    def execute(self, requests):
        """One response for each request."""
        return [self._response(request) for request in requests]

    def _response(self, request):
        rows = pb_utils.get_input_tensor_by_name(request, self._input).shape()[0]
        tensors = [pb_utils.Tensor(name, zeros[:rows]) for name, zeros in self._zeros.items()]
        return pb_utils.InferenceResponse(tensors)
'''


def null_repository(source: Path, folder: Path) -> Path:
    """Copies the model repository `source` into the new `folder`, with null models in it; returns `folder`.

    Raises ManifestError when `source` is broken, FileExistsError when `folder` is there already.
    """
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
    for model in (CLIP_DECODER, CLIP_DECODER_SOFTWARE, FRAME_FINGERPRINT):
        (folder / model / "1" / "model.py").write_text(_NULL_MODEL, encoding="utf-8")
    for version in load_rollout(folder).versions:
        directory = version_directory(folder, version)
        (directory / "model.py").write_text(_NULL_MODEL, encoding="utf-8")
        release_file = directory / RELEASE_NAME
        release = yaml.safe_load(release_file.read_text(encoding="utf-8"))
        release["files"] = {"model.py": file_digest(directory / "model.py")}
        release_file.write_text(yaml.safe_dump(release, sort_keys=False), encoding="utf-8")
    return folder
