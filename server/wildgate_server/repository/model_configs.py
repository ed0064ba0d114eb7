"""Triton's model configs, rendered from the model manifest and the rollout.

    python -m wildgate_server.repository.model_configs --write|--check [REPOSITORY]

`--write` writes them, `--check` exits 1 and says where a committed config disagrees with the manifest.
Each model has the `config.pbtxt` of the `cpu` profile and, where a profile differs, a `configs/<profile>.pbtxt`
(Triton's `--model-config-name`). `clip_decoder/frames.json` tells the DALI pipeline what its config tells a model.

Ensembles pin the detector's version and have its number as their own, so that every answer names the version that
made it. The version on trial has ensembles of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final, Literal

from wildgate_server.repository.config_text import (
    Interface,
    batching,
    head,
    instances,
    parameters,
    step,
    tensors,
    version_policy,
)
from wildgate_server.repository.manifest import ManifestError, ModelManifest, load_manifest
from wildgate_server.repository.releases import DETECTOR, ROLLOUT_NAME, Rollout, load_rollout

__all__ = [
    "CLIP_DECODER",
    "CLIP_DECODER_SOFTWARE",
    "CPU_PROFILE",
    "FRAME_FINGERPRINT",
    "VIDEO_SCORER",
    "Profile",
    "check_configs",
    "ensemble",
    "ensembles",
    "models_to_load",
    "render_configs",
    "write_configs",
]

VIDEO_SCORER = "video_scorer"
CLIP_DECODER = "clip_decoder"
CLIP_DECODER_SOFTWARE = "clip_decoder_software"
"""Decodes on the CPU whatever the profile: what the profile's own decoder lacks, and what takes long."""
FRAME_FINGERPRINT = "frame_fingerprint"
Profile = Literal["cpu", "gpu", "rtx"]
"""Which of the models' configs a Triton runs."""
CPU_PROFILE: Final = "cpu"

_SOFTWARE, _CANARY = "_software", "_canary"
_CPU_CONFIG = "config.pbtxt"
_PYTHON = 'backend: "python"'
_RTX_MODEL = f'{_PYTHON}\ndefault_model_filename: "rtx_model.py"'
# How many instances share one GPU, and how many threads of a decoder keep NVDEC's engines busy. To be measured.
_DECODERS_PER_GPU = 2
_DETECTORS_PER_GPU = 1
_DECODER_THREADS = 8
_FINGERPRINTS_PER_GPU = 1
# Processor seconds that the decoder of usual videos spends on one window before it leaves that to the other, which
# gives way to all other work (so its place in nice(2)) and gives up later. A usual window takes 0.04.
_USUAL_WINDOW_S, _COSTLY_WINDOW_S = 1.0, 10.0
_COSTLY_NICE = 5


def ensemble(*, canary: bool = False, software: bool = False) -> str:
    """The ensemble that asks the serving version or the one on trial, decoding as the profile does or on the CPU."""
    return VIDEO_SCORER + _SOFTWARE * software + _CANARY * canary


def ensembles(rollout: Rollout) -> dict[str, int]:
    """The ensembles, and the detector's version that each asks."""
    return {name: version for name, version, _ in _ensembles(rollout)}


def _ensembles(rollout: Rollout) -> Iterator[tuple[str, int, bool]]:
    """The same with whether each of them decodes on the CPU whatever the profile."""
    versions = {False: rollout.serving} | ({True: rollout.canary.version} if rollout.canary else {})
    for canary, version in versions.items():
        for software in (False, True):
            yield ensemble(canary=canary, software=software), version, software


def models_to_load(rollout: Rollout) -> dict[str, tuple[int, ...]]:
    """The models to load, ensembles after what they ask, and the versions of each."""
    decoders = dict.fromkeys((CLIP_DECODER, CLIP_DECODER_SOFTWARE), (1,))
    scorers = {name: (version,) for name, version in ensembles(rollout).items()}
    return {**decoders, DETECTOR: rollout.versions, FRAME_FINGERPRINT: (1,), **scorers}


def render_configs(manifest: ModelManifest, rollout: Rollout) -> dict[Path, str]:
    """Every file of the repository that the manifest decides, by its path relative to the repository."""
    return {
        **_clip_decoder(manifest),
        Path(CLIP_DECODER_SOFTWARE, _CPU_CONFIG): _software_decoder(
            CLIP_DECODER_SOFTWARE, manifest, _COSTLY_WINDOW_S, {"nice": _COSTLY_NICE}
        ),
        **_wildlife_detector(manifest, rollout),
        **_frame_fingerprint(manifest),
        **{
            Path(name, _CPU_CONFIG): _video_scorer(name, version, manifest, software=software)
            for name, version, software in _ensembles(rollout)
        },
    }


def _profile_config(model: str, profile: str) -> Path:
    return Path(model, "configs", f"{profile}.pbtxt")


def write_configs(manifest: ModelManifest, rollout: Rollout, repository: Path) -> None:
    """Writes every config into `repository`, and the version directories of ensembles, which are empty.

    A file is replaced at once: a reader finds the old one or the new one, never a part. Ensembles that the rollout
    no longer has are removed.
    """
    for name, version in ensembles(rollout).items():
        (repository / name / str(version)).mkdir(parents=True, exist_ok=True)
        (repository / name / str(version) / ".gitkeep").touch()  # Triton wants the directory, git drops empty ones.
    for relative, text in render_configs(manifest, rollout).items():
        _replace(repository / relative, text)
    for name in _surplus_ensembles(repository, rollout):
        shutil.rmtree(repository / name)


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, prefix=f".{file.name}.", delete=False
    ) as new:
        try:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
            Path(new.name).chmod(0o644)
            os.replace(new.name, file)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def _surplus_ensembles(repository: Path, rollout: Rollout) -> list[str]:
    """Ensembles in `repository` that the rollout does not have."""
    return sorted(path.name for path in repository.glob(f"{VIDEO_SCORER}*") if path.name not in ensembles(rollout))


def check_configs(manifest: ModelManifest, rollout: Rollout, repository: Path) -> list[str]:
    """Where the configs in `repository` disagree with the manifest: at most one line for each file."""
    complaints = [f"{name}: is not in {ROLLOUT_NAME}" for name in _surplus_ensembles(repository, rollout)]
    for relative, wanted in render_configs(manifest, rollout).items():
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


def _video_scorer(name: str, version: int, manifest: ModelManifest, *, software: bool) -> str:
    interface = Interface.of(manifest)
    decoder = CLIP_DECODER_SOFTWARE if software else CLIP_DECODER
    steps = [
        step(decoder, -1, interface.clip, [interface.frames, *interface.places]),
        step(DETECTOR, version, [interface.frames], [interface.detections]),
        step(FRAME_FINGERPRINT, 1, [interface.frames, interface.picture_size], interface.fingerprint),
    ]
    return (
        head(name, 'platform: "ensemble"', manifest)
        + version_policy(version)
        + tensors("input", interface.clip, may_be_ragged=False)
        + tensors("output", [interface.detections, *interface.places, *interface.fingerprint])
        + "ensemble_scheduling {\n  step [\n"
        + ",\n".join(steps)
        + "\n  ]\n}\n"
    )


def _clip_decoder(manifest: ModelManifest) -> dict[Path, str]:
    shared = _decoder_interface(manifest) + batching(manifest) + instances(_DECODERS_PER_GPU, "KIND_GPU")
    threads = {"num_threads": _DECODER_THREADS}
    # The DALI backend finds 1/dali.py by itself; clips and indices reach the Python backend on the host.
    rtx = (
        _software_parameters(manifest, _USUAL_WINDOW_S)
        | {"device": "gpu"}
        | threads
        | {"FORCE_CPU_ONLY_INPUT_TENSORS": "yes"}
    )
    sizes = {
        "frame_side_px": manifest.frame_side_px,
        "letterbox_value": manifest.letterbox_value,
        "max_batch_size": manifest.serving.max_batch_size,
    }
    return {
        Path(CLIP_DECODER, _CPU_CONFIG): _software_decoder(CLIP_DECODER, manifest, _USUAL_WINDOW_S),
        _profile_config(CLIP_DECODER, "gpu"): (
            head(CLIP_DECODER, 'backend: "dali"', manifest) + shared + parameters(threads)
        ),
        _profile_config(CLIP_DECODER, "rtx"): head(CLIP_DECODER, _RTX_MODEL, manifest) + shared + parameters(rtx),
        Path(CLIP_DECODER, "frames.json"): json.dumps(sizes, indent=2) + "\n",
    }


def _software_decoder(
    name: str, manifest: ModelManifest, window_processor_s: float, more: dict[str, object] | None = None
) -> str:
    return (
        head(name, _PYTHON, manifest)
        + _decoder_interface(manifest)
        + batching(manifest)
        + instances(manifest.serving.instances, "KIND_CPU")
        + parameters(_software_parameters(manifest, window_processor_s) | (more or {}))
    )


def _decoder_interface(manifest: ModelManifest) -> str:
    interface = Interface.of(manifest)
    return tensors("input", interface.clip) + tensors("output", [interface.frames, *interface.places])


def _software_parameters(manifest: ModelManifest, window_processor_s: float) -> dict[str, object]:
    return {
        "letterbox_value": manifest.letterbox_value,
        "max_frame_pixels": manifest.max_frame_pixels,
        "window_processor_s": window_processor_s,
    }


def _wildlife_detector(manifest: ModelManifest, rollout: Rollout) -> dict[Path, str]:
    interface = Interface.of(manifest)
    shared = (
        version_policy(*sorted(rollout.versions))
        + tensors("input", [interface.frames])
        + tensors("output", [interface.detections])
        + batching(manifest)
    )
    on_cpu = instances(manifest.serving.instances, "KIND_CPU")
    on_gpu = instances(_DETECTORS_PER_GPU, "KIND_GPU")
    plan = 'platform: "tensorrt_plan"\ndefault_model_filename: "model.plan"'
    frames_stay = parameters({"FORCE_CPU_ONLY_INPUT_TENSORS": "no"})
    return {
        Path(DETECTOR, _CPU_CONFIG): head(DETECTOR, _PYTHON, manifest) + shared + on_cpu,
        _profile_config(DETECTOR, "gpu"): head(DETECTOR, plan, manifest) + shared + on_gpu,
        _profile_config(DETECTOR, "rtx"): head(DETECTOR, _RTX_MODEL, manifest) + shared + on_gpu + frames_stay,
    }


def _frame_fingerprint(manifest: ModelManifest) -> dict[Path, str]:
    """On the CPU it multiplies bytes; on data-centre GPUs Triton's own ONNX Runtime has its twin for floating point.

    `rtx`, which has no such backend, takes the CPU's: Triton copies the frames there.
    """
    interface = Interface.of(manifest)
    shared = (
        tensors("input", [interface.frames, interface.picture_size])
        + tensors("output", interface.fingerprint)
        + batching(manifest)
    )
    on_cpu = instances(manifest.serving.instances, "KIND_CPU")
    on_gpu = instances(_FINGERPRINTS_PER_GPU, "KIND_GPU")
    onnx = 'platform: "onnxruntime_onnx"\ndefault_model_filename: "gpu.onnx"'
    return {
        Path(FRAME_FINGERPRINT, _CPU_CONFIG): head(FRAME_FINGERPRINT, _PYTHON, manifest) + shared + on_cpu,
        _profile_config(FRAME_FINGERPRINT, "gpu"): head(FRAME_FINGERPRINT, onnx, manifest) + shared + on_gpu,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes or checks the configs of a repository; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m wildgate_server.repository.model_configs", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the configs")
    action.add_argument("--check", action="store_true", help="say where they disagree with the manifest")
    parser.add_argument("repository", type=Path, nargs="?", default=Path("model_repository"))
    options = parser.parse_args(arguments)
    try:
        manifest, rollout = load_manifest(options.repository), load_rollout(options.repository)
    except ManifestError as error:
        print(error, file=sys.stderr)
        return 1
    if options.write:
        write_configs(manifest, rollout, options.repository)
        return 0
    complaints = check_configs(manifest, rollout, options.repository)
    for complaint in complaints:
        print(f"{options.repository}/{complaint}; run `make configs`", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
