"""`--profile rtx`: how many videos per second one GPU scores, and what bounds it (`make gpu-report`).

On a machine with an NVIDIA GPU and `pip install 'wildgate[rtx]'`: builds the TensorRT-RTX engine of the serving
detector with `wildgate-build` in a copy of the model repository, and compares it with ONNX Runtime on the sample clips;
then measures 15 s clips of 720p and 1080p in H.264 and HEVC, 8 frames each, two ways: through `clip_decoder` alone,
which is the ceiling that NVDEC sets, and through `wildgate serve` with a real Triton. Writes `<results>/<gpu>.json`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wildgate_perf.bench.phase import SETTINGS, Bench, PhaseFailed
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan, Measured
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import read, write
from wildgate_perf.server_parts import BackendSettings, EmbeddedTriton, Sampler
from wildgate_perf.videos import Composition, composed
from wildgate_perf.workloads import Workload, by_uri, straight_to_triton
from wildgate_server.repository.engine_key import ENGINE_NAMES, engine_source, key_path
from wildgate_server.repository.machine import probe_machine
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.repository.releases import load_rollout, version_directory

_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_DECODE_ROWS = 8  # windows in one request to the decoder alone, as many as the gateway puts into one
_DECODE_CLIENTS = 8
_VARIANTS = 4  # different files, so that nothing on the way can answer one from the memory of another

KINDS = {
    "720p H.264": Composition(0, 2_800_000, "libx264", 1280, 720),
    "1080p H.264": Composition(0, 5_000_000, "libx264", 1920, 1080),
    "720p HEVC": Composition(0, 1_600_000, "libx265", 1280, 720),
    "1080p HEVC": Composition(0, 3_000_000, "libx265", 1920, 1080),
}
"""What is measured, at bit rates usual for uploads."""


class NoGpu(Exception):
    """There is nothing to measure on."""


def measure_rtx(bench: Bench, results: Path) -> None:
    """Measures everything and writes it.

    Raises NoGpu, and PhaseFailed when the engine cannot be built or detects something else, or nothing was scored.
    """
    machine, folder, plan = probe_machine(), bench.folder / "rtx", bench.plan
    if machine.gpu is None:
        raise NoGpu("this machine has no NVIDIA GPU that CUDA can use")
    shutil.rmtree(folder, ignore_errors=True)
    repository = shutil.copytree(bench.repository, folder / "model_repository")
    engine, checked = build_engine(repository, folder / "check.json")
    clips = {
        kind: composed(bench.video_folder, [replace(clip, seed=seed) for seed in range(_VARIANTS)])
        for kind, clip in KINDS.items()
    }
    bench.say(f"measuring each kind of clip for {plan.rtx_s:g} s, twice")
    decoded = asyncio.run(_decoded(bench, repository, clips))
    served = _served(bench, repository, clips)
    found = {kind: result_of(served[kind], decoded[kind]) for kind in clips}
    for kind, result in found.items():
        bench.say(f"{kind}: {result}")
    file = results / (re.sub(r"[^a-z0-9]+", "-", machine.gpu.name.lower()).strip("-") + ".json")
    facts = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            **machine_facts(),
            "gpu": machine.gpu.name,
            "architecture": machine.gpu.architecture,
            "driver": machine.driver,
            "tensorrt_rtx": machine.tensorrt.get("rtx"),
        },
        "engine": engine,
        "check": checked,
        "plan": asdict(plan),
        "clips": {kind: asdict(clip) for kind, clip in KINDS.items()},
    }
    write(file, {**facts, "results": found})
    bench.say(f"wrote {file}")
    if silent := [kind for kind, result in found.items() if not result["videos_per_s"]]:
        raise PhaseFailed(f"nothing was scored of {', '.join(silent)}; the server's log: {bench.logs('rtx')}")


def result_of(served: Measured, decoded: Measured) -> dict[str, Any]:
    """The figures of one kind of clip; times in milliseconds, `stages_ms` are medians.

    `decode_only_per_s` is what `clip_decoder` alone does with the same clips: the ceiling that NVDEC sets, of which the
    whole way reaches `nvdec_share`.
    """
    ceiling_per_s = decoded.per_s * _DECODE_ROWS
    return {
        "videos_per_s": round(served.per_s, 1),
        "took_ms": {f"p{share * 100:g}": round(served.took_ms(share), 2) for share in (0.5, 0.95, 0.99)},
        "stages_ms": {name: round(value, 3) for name, value in served.stages_ms(0.5).items()},
        "failures": dict(Counter(served.failures) + Counter(decoded.failures)),
        "decode_only_per_s": round(ceiling_per_s, 1),
        "nvdec_share": round(served.per_s / ceiling_per_s, 3) if ceiling_per_s else None,
    }


def build_engine(repository: Path, report: Path) -> tuple[Any, Any]:
    """Builds the engine of the serving detector in `repository`: for the GPU at hand, or the portable one where
    TensorRT-RTX refuses to. Returns its key, and what `wildgate-build check` reports of it on the sample clips.

    Raises PhaseFailed when it cannot be built, or is past the tolerance of the check.
    """
    command = ["engine", "--target", "rtx", "--repository", str(repository)]
    if _wildgate_build(*command, "--architecture", "current") and (status := _wildgate_build(*command)):
        raise PhaseFailed(f"wildgate-build engine failed (exit {status})")
    onnx = engine_source(version_directory(repository, load_rollout(repository).serving))
    engine = onnx.with_name(ENGINE_NAMES["rtx"])
    checked = ["check", str(onnx), str(engine), "--videos", str(_SAMPLES), "--report", str(report)]
    if status := _wildgate_build(*checked, "--repository", str(repository)):
        raise PhaseFailed(f"the engine did not pass wildgate-build check (exit {status})")
    return read(key_path(engine)), read(report)


def _wildgate_build(*arguments: str) -> int:
    program = "from wildgate_build.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *arguments], check=False).returncode


async def _decoded(bench: Bench, repository: Path, clips: Mapping[str, list[Path]]) -> dict[str, Measured]:
    """Each kind of clip through `clip_decoder` alone."""
    settings = BackendSettings(
        model_repository=repository,
        log_dir=bench.logs("rtx") / "decoding",
        instances=bench.plan.rtx_instances,
        profile="rtx",
    )
    sampler, workloads = Sampler(repository), {}
    async with EmbeddedTriton(settings) as triton:
        for kind, files in clips.items():
            sampled = [sampler.sample(file).default_track for file in files]
            rows = [(bytes(w.clip), w.frame_index, track.display.row) for track in sampled for w in track.windows]
            workloads[kind] = straight_to_triton(
                triton.endpoints.grpc, rows, model=CLIP_DECODER, output="FRAMES", rows=_DECODE_ROWS
            )
        # In a thread: the loop here must go on looking after Triton.
        return await asyncio.to_thread(_closed, bench, workloads, _DECODE_CLIENTS)


def _served(bench: Bench, repository: Path, clips: Mapping[str, list[Path]]) -> dict[str, Measured]:
    """Each kind of clip through the gateway."""
    settings = SETTINGS | {
        "backend__profile": "rtx",
        "backend__model_repository": repository,
        "backend__instances": bench.plan.rtx_instances,
        "admission__max_in_flight": 2 * bench.plan.rtx_clients,
    }
    with bench.serving("rtx", **settings) as server:
        workloads = {kind: by_uri(server.target, [file.as_uri() for file in files]) for kind, files in clips.items()}
        return _closed(bench, workloads, bench.plan.rtx_clients)


def _closed(bench: Bench, workloads: Mapping[str, Workload], clients: int) -> dict[str, Measured]:
    plan = LoadPlan(clients, bench.plan.warm_up_s, bench.plan.rtx_s)
    with LoadGenerator() as load:
        return {kind: load.closed(workload, plan) for kind, workload in workloads.items()}
