"""`--profile rtx`: how many videos per second one GPU scores, and what bounds it (`make gpu-report`).

On a machine with an NVIDIA GPU and the packages of the `rtx` profile: builds the TensorRT-RTX engine of the serving
detector with `wildgate-build` in a copy of the model repository, and compares it with ONNX Runtime on the sample clips;
then measures 15 s clips of 720p and 1080p in H.264 and HEVC, 8 frames each, two ways: through `clip_decoder` alone,
which is the ceiling that NVDEC sets, and through `wildgate serve` with a real Triton. Writes `<results>/<gpu>.json`.

Exits 2 where there is no GPU or a package is missing, 1 when the engine does not detect the same or nothing could be
scored. It has not run on a GPU yet.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from wildgate_perf.load_generator import LoadFailed, LoadGenerator
from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.loops import LoadPlan, Measured, Stages, closed_loop
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import read, write
from wildgate_perf.server_parts import (
    BackendSettings,
    ClipRow,
    EmbeddedTriton,
    Sampler,
    TritonClient,
    TritonStartError,
)
from wildgate_perf.server_process import MODEL_REPOSITORY, ServerStoppedBadly, serving
from wildgate_perf.videos import Composition, composed
from wildgate_perf.workloads import by_uri
from wildgate_server.repository.engine_key import ENGINE_NAMES, EngineKey, engine_source, key_path
from wildgate_server.repository.machine import Gpu, Machine, probe_machine
from wildgate_server.repository.manifest import ManifestError
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.repository.releases import load_rollout, version_directory

_PROFILE = "rtx"
_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_MODULES = {"tensorrt_rtx": "TensorRT-RTX", "pycuda": "pycuda", "nvidia.dali": "DALI"}
_DECODE_ROWS = 8  # windows in one request to the decoder alone, as many as the gateway puts into one
_DECODE_CLIENTS = 8
_TIMEOUT_S = 60.0
_VARIANTS = 4  # different files, so that nothing on the way can answer one from the memory of another

KINDS = {
    "720p H.264": Composition(0, 2_800_000, "libx264", 1280, 720),
    "1080p H.264": Composition(0, 5_000_000, "libx264", 1920, 1080),
    "720p HEVC": Composition(0, 1_600_000, "libx265", 1280, 720),
    "1080p HEVC": Composition(0, 3_000_000, "libx265", 1920, 1080),
}
"""What is measured, at bit rates usual for uploads."""


class RtxFailed(Exception):
    """The engine cannot be built or detects something else, or nothing was scored; the text says which."""


@dataclass(frozen=True)
class _Run:
    """What is measured, and where things go."""

    out: Path
    load: LoadPlan
    instances: int
    kinds: Mapping[str, Composition]

    @property
    def clips(self) -> Path:
        """Where clips are kept from run to run."""
        return self.out.parent / "videos"

    @property
    def repository(self) -> Path:
        """The copy of the model repository that gets the engine."""
        return self.out / "model_repository"


def measure_rtx(
    arguments: Sequence[str],
    folder: Path,
    results: Path,
    machine: Machine | None = None,
    modules: Mapping[str, str] = _MODULES,
) -> int:
    """Measures and returns the exit status; `machine` is this one by default, `modules` what has to be installed."""
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.bench --profile rtx")
    parser.add_argument("--repository", type=Path, default=MODEL_REPOSITORY, help="whose serving detector is measured")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each kind is measured, each way")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds before it counts")
    parser.add_argument("--clients", type=int, default=64, help="videos in flight at once")
    parser.add_argument("--instances", type=int, default=2, help="Triton instances of each model")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    options = parser.parse_args(arguments)
    machine = machine or probe_machine()
    if machine.gpu is None:
        print("bench: this machine has no NVIDIA GPU that CUDA can use", file=sys.stderr)
        return 2
    if missing := missing_packages(modules):
        print(f"bench: missing: {', '.join(missing)}; run `pip install 'wildgate[rtx]'`", file=sys.stderr)
        return 2
    load = LoadPlan(options.clients, options.warm_up, options.seconds)
    run = _Run(folder / _PROFILE, load, options.instances, {kind: KINDS[kind] for kind in options.kinds})
    try:
        _measure(run, options.repository, results, machine, machine.gpu)
    except (RtxFailed, ManifestError, TritonStartError, ServerStartFailed, ServerStoppedBadly, LoadFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def missing_packages(modules: Mapping[str, str]) -> list[str]:
    """The titles of those `modules` that this environment lacks."""

    def installed(module: str) -> bool:
        try:
            return importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # of the package around it
            return False

    return [title for module, title in modules.items() if not installed(module)]


def server_settings(repository: Path, clips: Path, instances: int, clients: int) -> dict[str, object]:
    """`wildgate serve` with profile rtx on `repository`, reading clips where they lie."""
    return {
        "backend__profile": _PROFILE,
        "backend__model_repository": repository,
        "backend__instances": instances,
        "source__file_roots": [clips],
        "admission__max_in_flight": 2 * clients,
        "cache__max_entries": 0,  # the same clips come again and again, and must be scored again
    }


def result_of(whole: Measured, decoding: Measured) -> dict[str, Any]:
    """The figures of one kind of clip; times in milliseconds, `stages_ms` are medians.

    `decode_only_per_s` is what `clip_decoder` alone does with the same clips: the ceiling that NVDEC sets, of which the
    whole way reaches `nvdec_share`.
    """
    return {
        "videos_per_s": round(whole.per_s, 1),
        "took_ms": {f"p{share * 100:g}": round(whole.took_ms(share), 2) for share in (0.5, 0.95, 0.99)},
        "stages_ms": {name: round(value, 3) for name, value in whole.stages_ms(0.5).items()},
        "failures": dict(Counter(whole.failures + decoding.failures)),
        "decode_only_per_s": round(decoding.per_s, 1),
        "nvdec_share": round(whole.per_s / decoding.per_s, 3) if decoding.per_s else None,
    }


def build_engine(repository: Path, report: Path) -> tuple[EngineKey, Any]:
    """Builds the engine of the serving detector in `repository`: for the GPU at hand, or the portable one where
    TensorRT-RTX refuses to. Returns its key, and what `wildgate-build check` reports of it on the sample clips.

    Raises RtxFailed when it cannot be built, or is past the tolerance of the check.
    """
    command = ["engine", "--target", _PROFILE, "--repository", str(repository)]
    if _wildgate_build(*command, "--architecture", "current") and (status := _wildgate_build(*command)):
        raise RtxFailed(f"wildgate-build engine failed (exit {status})")
    onnx = engine_source(version_directory(repository, load_rollout(repository).serving))
    engine = onnx.with_name(ENGINE_NAMES["rtx"])
    checked = ["check", str(onnx), str(engine), "--videos", str(_SAMPLES), "--report", str(report)]
    if status := _wildgate_build(*checked, "--repository", str(repository)):
        raise RtxFailed(f"the engine did not pass wildgate-build check (exit {status})")
    return EngineKey.model_validate_json(key_path(engine).read_text(encoding="utf-8")), read(report)


def _wildgate_build(*arguments: str) -> int:
    program = "from wildgate_build.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *arguments], check=False).returncode


def _measure(run: _Run, repository: Path, results: Path, machine: Machine, gpu: Gpu) -> None:
    console = Console(soft_wrap=True, highlight=False)
    shutil.rmtree(run.out, ignore_errors=True)
    shutil.copytree(repository, run.repository)
    key, checked = build_engine(run.repository, run.out / "check.json")
    console.print(f"engine: {key.engine_bytes} bytes for {', '.join(key.architectures)}")
    clips = {name: _clips(kind, run.clips) for name, kind in run.kinds.items()}
    console.print(f"measuring each kind of clip for {run.load.seconds:g} s, twice")
    decoding = asyncio.run(_decoded(run, clips))
    scoring = _scored(run, clips)
    found = {kind: result_of(scoring[kind], decoding[kind]) for kind in clips}
    console.print(_table(found))
    file = results / (re.sub(r"[^a-z0-9]+", "-", gpu.name.lower()).strip("-") + ".json")
    facts = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            **machine_facts(),
            "gpu": gpu.name,
            "architecture": gpu.architecture,
            "driver": machine.driver,
            "tensorrt_rtx": machine.tensorrt.get("rtx"),
        },
        "engine": key.model_dump(),
        "check": checked,
        "load": {**asdict(run.load), "instances": run.instances, "profile": _PROFILE, "frames": key.frames},
        "clips": {name: asdict(kind) for name, kind in run.kinds.items()},
    }
    write(file, {**facts, "results": found})
    console.print(f"wrote {file}")
    for kind, result in found.items():
        for failure, times in result["failures"].items():
            console.print(f"{kind}: {times} times {failure}", style="red", markup=False)
    if silent := [kind for kind, result in found.items() if not result["videos_per_s"]]:
        raise RtxFailed(f"nothing was scored of {', '.join(silent)}; the server's log: {run.out / 'logs'}")


def _clips(kind: Composition, folder: Path) -> list[Path]:
    return composed(folder, [kind.variant(seed) for seed in range(_VARIANTS)])


async def _decoded(run: _Run, clips: Mapping[str, list[Path]]) -> dict[str, Measured]:
    """Each kind of clip through `clip_decoder` alone."""
    settings = BackendSettings(
        model_repository=run.repository,
        log_dir=run.out / "logs" / "decoding",
        instances=run.instances,
        profile=_PROFILE,
    )
    load = LoadPlan(_DECODE_CLIENTS, run.load.warm_up_s, run.load.seconds)
    measured, sampler = {}, Sampler(run.repository)
    async with EmbeddedTriton(settings) as triton, TritonClient(triton.endpoints.grpc) as client:
        for kind, files in clips.items():
            sampled = [sampler.sample(file) for file in files]
            rows = [ClipRow(w.clip, w.frame_index, video.rotation) for video in sampled for w in video.windows]
            batch = [rows[place % len(rows)] for place in range(_DECODE_ROWS)]

            async def ask(number: int, batch: list[ClipRow] = batch) -> Stages:
                await client.frames(CLIP_DECODER, batch, _TIMEOUT_S)
                return {}

            measured[kind] = await closed_loop(ask, load, weight=_DECODE_ROWS)
    return measured


def _scored(run: _Run, clips: Mapping[str, list[Path]]) -> dict[str, Measured]:
    """Each kind of clip through the gateway."""
    settings = server_settings(run.repository, run.clips, run.instances, run.load.clients)
    with serving(log_folder=run.out / "logs" / "scoring", **settings) as server, LoadGenerator() as load:
        workloads = {kind: by_uri(server.target, [file.resolve().as_uri() for file in clips[kind]]) for kind in clips}
        return {kind: load.closed(workload, run.load).result for kind, workload in workloads.items()}


def _table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row for each kind; times in milliseconds."""
    table = Table("clips", "videos/s", "p50", "p95", "decode/s", "share", "failed", box=box.SIMPLE_HEAD)
    for kind, result in found.items():
        took, share = result["took_ms"], result["nvdec_share"]
        values = (result["videos_per_s"], took["p50"], took["p95"], result["decode_only_per_s"])
        cells = [f"{value:.0f}" for value in values]
        table.add_row(kind, *cells, "-" if share is None else f"{share:.2f}", str(sum(result["failures"].values())))
    return table
