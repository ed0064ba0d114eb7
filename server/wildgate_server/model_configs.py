"""Triton's model configs, rendered from the model manifest.

    python -m wildgate_server.model_configs --write|--check [REPOSITORY]

`--write` writes them, `--check` exits 1 and says where a committed config disagrees with the manifest.
Rendered are the `config.pbtxt` of the `cpu` profile; a profile that differs adds its own
`configs/<profile>.pbtxt` to `render_configs`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from wildgate_server.manifest import MANIFEST_NAME, ManifestError, ModelManifest, load_manifest

__all__ = [
    "CLIP_DECODER",
    "VIDEO_SCORER",
    "WILDLIFE_DETECTOR",
    "check_configs",
    "render_configs",
    "write_configs",
]

VIDEO_SCORER = "video_scorer"
CLIP_DECODER = "clip_decoder"
WILDLIFE_DETECTOR = "wildlife_detector"

_HEADER = f"# Rendered from {MANIFEST_NAME} by `make configs` (python -m wildgate_server.model_configs --write).\n"


@dataclass(frozen=True)
class _Tensor:
    name: str
    data_type: str
    dims: tuple[int, ...]
    ragged: bool = False


@dataclass(frozen=True)
class _Interface:
    """The tensors of the three models; written here once, because the ensemble repeats the others'."""

    clip: _Tensor
    frame_index: _Tensor
    rotation: _Tensor
    frames: _Tensor
    detections: _Tensor

    @classmethod
    def of(cls, manifest: ModelManifest) -> _Interface:
        frames, side = manifest.frames_per_window, manifest.frame_side_px
        return cls(
            # Ragged: clips of different lengths from different requests share one batch, without padding.
            clip=_Tensor("CLIP", "TYPE_UINT8", (-1,), ragged=True),
            frame_index=_Tensor("FRAME_INDEX", "TYPE_INT32", (frames,)),
            rotation=_Tensor("ROTATION", "TYPE_INT32", (1,)),
            frames=_Tensor("FRAMES", "TYPE_UINT8", (frames, side, side, 3)),
            detections=_Tensor("DETECTIONS", "TYPE_FP32", (frames, manifest.detections_per_frame, 6)),
        )


def render_configs(manifest: ModelManifest) -> dict[Path, str]:
    """Every config of the repository, by its path relative to the repository."""
    return {
        Path(VIDEO_SCORER, "config.pbtxt"): _video_scorer(manifest),
        Path(CLIP_DECODER, "config.pbtxt"): _clip_decoder(manifest),
        Path(WILDLIFE_DETECTOR, "config.pbtxt"): _wildlife_detector(manifest),
    }


def write_configs(manifest: ModelManifest, repository: Path) -> None:
    """Writes every config into `repository`, making the models' directories where they are missing."""
    for relative, text in render_configs(manifest).items():
        file = repository / relative
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def check_configs(manifest: ModelManifest, repository: Path) -> list[str]:
    """Where the configs in `repository` disagree with the manifest: at most one line for each file."""
    complaints = []
    for relative, wanted in render_configs(manifest).items():
        file = repository / relative
        if not file.is_file():
            complaints.append(f"{relative}: is missing")
            continue
        pairs = zip_longest(file.read_text(encoding="utf-8").splitlines(), wanted.splitlines())
        for number, (found, rendered) in enumerate(pairs, start=1):
            if found != rendered:
                complaints.append(f"{relative}:{number}: has {_quoted(found)}, the manifest says {_quoted(rendered)}")
                break
    return complaints


def _quoted(line: str | None) -> str:
    return "no such line" if line is None else f"`{line.strip()}`"


def _video_scorer(manifest: ModelManifest) -> str:
    tensors = _Interface.of(manifest)
    inputs = [tensors.clip, tensors.frame_index, tensors.rotation]
    steps = [
        _step(CLIP_DECODER, inputs, [tensors.frames]),
        _step(WILDLIFE_DETECTOR, [tensors.frames], [tensors.detections]),
    ]
    return (
        _HEADER
        + f'name: "{VIDEO_SCORER}"\nplatform: "ensemble"\n'
        + f"max_batch_size: {manifest.serving.max_batch_size}\n"
        + _tensors("input", inputs, may_be_ragged=False)
        + _tensors("output", [tensors.detections])
        + "ensemble_scheduling {\n  step [\n"
        + ",\n".join(steps)
        + "\n  ]\n}\n"
    )


def _step(model: str, inputs: Iterable[_Tensor], outputs: Iterable[_Tensor]) -> str:
    maps = [f'      input_map {{ key: "{t.name}" value: "{t.name}" }}\n' for t in inputs]
    maps += [f'      output_map {{ key: "{t.name}" value: "{t.name}" }}\n' for t in outputs]
    return f'    {{\n      model_name: "{model}"\n      model_version: -1\n{"".join(maps)}    }}'


def _clip_decoder(manifest: ModelManifest) -> str:
    tensors = _Interface.of(manifest)
    return (
        _python_model(CLIP_DECODER, manifest)
        + _tensors("input", [tensors.clip, tensors.frame_index, tensors.rotation])
        + _tensors("output", [tensors.frames])
        + _scheduling(manifest)
        + "".join(_parameter(manifest, name) for name in ("letterbox_value", "max_frame_pixels"))
    )


def _parameter(manifest: ModelManifest, name: str) -> str:
    return f'parameters {{\n  key: "{name}"\n  value {{ string_value: "{getattr(manifest, name)}" }}\n}}\n'


def _wildlife_detector(manifest: ModelManifest) -> str:
    tensors = _Interface.of(manifest)
    return (
        _python_model(WILDLIFE_DETECTOR, manifest)
        + _tensors("input", [tensors.frames])
        + _tensors("output", [tensors.detections])
        + _scheduling(manifest)
    )


def _python_model(name: str, manifest: ModelManifest) -> str:
    return _HEADER + f'name: "{name}"\nbackend: "python"\nmax_batch_size: {manifest.serving.max_batch_size}\n'


def _tensors(role: str, tensors: Sequence[_Tensor], *, may_be_ragged: bool = True) -> str:
    # An ensemble batches nothing itself, so raggedness is for its members to allow.
    entries = []
    for tensor in tensors:
        ragged = "    allow_ragged_batch: true\n" if tensor.ragged and may_be_ragged else ""
        dims = ", ".join(str(dim) for dim in tensor.dims)
        head = f'    name: "{tensor.name}"\n    data_type: {tensor.data_type}\n    dims: [ {dims} ]\n'
        entries.append(f"  {{\n{head}{ragged}  }}")
    return f"{role} [\n" + ",\n".join(entries) + "\n]\n"


def _scheduling(manifest: ModelManifest) -> str:
    serving = manifest.serving
    return (
        f"dynamic_batching {{ max_queue_delay_microseconds: {serving.max_queue_delay_us} }}\n"
        f"instance_group [ {{ count: {serving.instances} kind: KIND_CPU }} ]\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes or checks the configs of a repository; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m wildgate_server.model_configs", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the configs")
    action.add_argument("--check", action="store_true", help="say where they disagree with the manifest")
    parser.add_argument("repository", type=Path, nargs="?", default=Path("model_repository"))
    options = parser.parse_args(arguments)
    try:
        manifest = load_manifest(options.repository)
    except ManifestError as error:
        print(error, file=sys.stderr)
        return 1
    if options.write:
        write_configs(manifest, options.repository)
        return 0
    complaints = check_configs(manifest, options.repository)
    for complaint in complaints:
        print(f"{options.repository}/{complaint}; run `make configs`", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
