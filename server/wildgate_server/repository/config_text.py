"""The pieces that Triton's model configs are made of, as protobuf text (`model_config.proto`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wildgate_server.repository.manifest import HASHES_PER_FRAME, MANIFEST_NAME, ModelManifest
from wildgate_server.repository.releases import ROLLOUT_NAME

__all__ = ["Interface", "Tensor", "batching", "head", "instances", "parameters", "step", "tensors", "version_policy"]

_RENDERED = (
    f"# Rendered from {MANIFEST_NAME} and {ROLLOUT_NAME} by `make configs`\n"
    "# (python -m wildgate_server.repository.model_configs --write).\n"
)


@dataclass(frozen=True)
class Tensor:
    """An input or output; -1 in `dims` stands for any length, `ragged` for rows of different lengths in one batch."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    ragged: bool = False


@dataclass(frozen=True)
class Interface:
    """The tensors of all models; here once, because ensembles repeat the others'.

    `clip` is a decoder's input; `places` is what it tells about the `frames` that it puts into the F places, of which
    a fingerprint takes `picture_size`.
    """

    clip: tuple[Tensor, ...]
    frames: Tensor
    places: tuple[Tensor, ...]
    detections: Tensor
    fingerprint: tuple[Tensor, ...]

    @property
    def picture_size(self) -> Tensor:
        """Width and height of each picture, which tell where it lies in its square."""
        return self.places[1]

    @classmethod
    def of(cls, manifest: ModelManifest) -> Interface:
        """The tensors with the manifest's shapes."""
        frames, side = manifest.frames_per_window, manifest.frame_side_px
        return cls(
            clip=(
                # Ragged: clips of different lengths from different requests share one batch, without padding.
                Tensor("CLIP", "TYPE_UINT8", (-1,), ragged=True),
                Tensor("FRAME_INDEX", "TYPE_INT32", (frames,)),
                Tensor("DISPLAY", "TYPE_INT32", (4,)),
            ),
            frames=Tensor("FRAMES", "TYPE_UINT8", (frames, side, side, 3)),
            places=(
                Tensor("SOUND", "TYPE_UINT8", (frames,)),
                Tensor("PICTURE_SIZE", "TYPE_INT32", (frames, 2)),
                Tensor("COST", "TYPE_FP32", (3,)),
            ),
            detections=Tensor("DETECTIONS", "TYPE_FP32", (frames, manifest.detections_per_frame, 6)),
            fingerprint=(
                Tensor("FINGERPRINT", "TYPE_UINT8", (frames, HASHES_PER_FRAME, 32)),
                Tensor("FINGERPRINT_QUALITY", "TYPE_INT32", (frames, HASHES_PER_FRAME)),
            ),
        )


def head(name: str, runs_by: str, manifest: ModelManifest) -> str:
    """The first lines of a config; `runs_by` names backend or platform, as in `backend: "python"`."""
    return f'{_RENDERED}name: "{name}"\n{runs_by}\nmax_batch_size: {manifest.serving.max_batch_size}\n'


def version_policy(*versions: int) -> str:
    """Triton loads these versions and no others."""
    return f"version_policy {{ specific {{ versions: [ {', '.join(map(str, versions))} ] }} }}\n"


def tensors(role: str, members: Sequence[Tensor], *, may_be_ragged: bool = True) -> str:
    """The list of inputs or outputs, as `role` says. An ensemble batches nothing: raggedness is for its members."""
    entries = []
    for tensor in members:
        ragged = "    allow_ragged_batch: true\n" if tensor.ragged and may_be_ragged else ""
        dims = ", ".join(map(str, tensor.dims))
        description = f'    name: "{tensor.name}"\n    data_type: {tensor.data_type}\n    dims: [ {dims} ]\n'
        entries.append(f"  {{\n{description}{ragged}  }}")
    return f"{role} [\n" + ",\n".join(entries) + "\n]\n"


def batching(manifest: ModelManifest) -> str:
    """Triton's dynamic batching with the manifest's delay."""
    return f"dynamic_batching {{ max_queue_delay_microseconds: {manifest.serving.max_queue_delay_us} }}\n"


def instances(count: int, kind: str) -> str:
    """`count` instances on the CPU (`KIND_CPU`) or on each GPU (`KIND_GPU`)."""
    return f"instance_group [ {{ count: {count} kind: {kind} }} ]\n"


def parameters(values: Mapping[str, object]) -> str:
    """What a Python model or a backend finds in its config, as strings."""
    return "".join(
        f'parameters {{\n  key: "{name}"\n  value {{ string_value: "{value}" }}\n}}\n' for name, value in values.items()
    )


def step(model: str, version: int, inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> str:
    """A step of an ensemble whose tensors are called as the model calls them; version -1 is the latest."""
    maps = [f'      input_map {{ key: "{tensor.name}" value: "{tensor.name}" }}\n' for tensor in inputs]
    maps += [f'      output_map {{ key: "{tensor.name}" value: "{tensor.name}" }}\n' for tensor in outputs]
    return f'    {{\n      model_name: "{model}"\n      model_version: {version}\n{"".join(maps)}    }}'
