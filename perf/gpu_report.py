"""How many videos a second one GPU scores, and what bounds it (`make gpu-report`).

    python perf/gpu_report.py [--seconds 20] [--askers 64] [--onnx FILE] [--results perf/results]

On a machine with an NVIDIA GPU and `wildgate[rtx]` installed: builds the TensorRT-RTX engine of the serving detector in
a copy of the model repository, has `wildgate-build check` compare it with ONNX Runtime on the sample clips, then
measures 15 s clips of 720p and 1080p in H.264 and HEVC, 8 frames each, two ways: through `clip_decoder` alone, and
through `wildgate serve` with profile `rtx` and a real Triton. Prints a table, writes `<results>/<gpu>.json`.

Exits 2 where there is no GPU or a package is missing, 1 when the engine does not detect the same or nothing could be
scored. Has not run on a GPU yet.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from gpu_clips import KINDS, ClipKind, clips_of
from gpu_results import KindResult, result_of, result_table, results_file, stage_table, write_results
from gpu_usage import GpuUsage, watched
from wildgate_build.engine.architectures import CURRENT
from wildgate_build.engine.artifacts import write_engine
from wildgate_build.engine.builder import EnginePlan, build_engine
from wildgate_build.errors import BuildError, BuildFailedError
from wildgate_build.publish.publishing import Publication, publish
from wildgate_build.publish.repository import Repository
from wildgate_build.publish.rollout_change import change_rollout
from wildgate_build.publish.rollout_steps import promote
from wildgate_build.standard_file import StandardFile
from wildgate_client import ClientOptions, RetryPolicy, ScoringClient, Uri
from wildgate_perf.loops import LoadPlan, Measured, Stages, closed_loop
from wildgate_server.local_server import LocalServer, LocalServerOptions, ServerStartFailed
from wildgate_server.media.sampled_video import VideoLimits
from wildgate_server.policy import load_policy
from wildgate_server.repository.engine_key import ENGINE_NAMES, EngineKey, engine_source
from wildgate_server.repository.machine import Gpu, Machine, probe_machine
from wildgate_server.repository.manifest import ManifestError, load_manifest
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.repository.releases import load_rollout, version_directory
from wildgate_server.sampling.offline import sample_file
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.stages import Stage
from wildgate_server.triton.client import ClipRow, TritonClient
from wildgate_server.triton.embedded import EmbeddedTriton, EmbeddedTritonConfig, TritonStartError

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "rtx"
MODULES = {"tensorrt_rtx": "TensorRT-RTX", "pycuda": "pycuda", "nvidia.dali": "DALI"}
LIMITS = VideoLimits(max_bytes=1 << 30, max_pixels=1 << 28, max_seconds=3600)
DECODE_ROWS = 8  # windows in one request to the decoder alone, as many as the gateway puts into one
DECODE_ASKERS = 8
TIMEOUT_S = 60.0


class ReportFailed(Exception):
    """The report cannot go on; the text says why."""


@dataclass(frozen=True)
class ReportPlan:
    """What is measured, and where things go."""

    onnx: Path | None
    out: Path
    results: Path
    load: LoadPlan
    instances: int

    @property
    def repository(self) -> Path:
        """The copy of the model repository that gets the engine."""
        return self.out / "model_repository"


def missing_packages() -> list[str]:
    """The packages that the report needs and this environment lacks."""
    return [title for module, title in MODULES.items() if not _installed(module)]


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def lay_out_repository(plan: ReportPlan) -> Path:
    """Copies the model repository, publishes the plan's file in it where it names one; returns what to build from.

    Raises BuildError for a file that cannot be published.
    """
    shutil.rmtree(plan.repository, ignore_errors=True)
    shutil.copytree(ROOT / "model_repository", plan.repository)
    version = load_rollout(plan.repository).serving
    if plan.onnx:
        repository, policy = Repository(plan.repository), load_policy()
        source = StandardFile.read(plan.onnx)
        version = publish(repository, Publication(source, policy, code_from=version)).version
        change_rollout(repository, lambda rollout: promote(rollout, version), policy)
    return engine_source(version_directory(plan.repository, version))


def build(onnx: Path, max_batch: int, machine: Machine) -> tuple[Path, EngineKey, float]:
    """Builds the engine beside `onnx`: for the GPU at hand, or the portable one where TensorRT-RTX refuses to."""
    try:
        built = build_engine(EnginePlan(onnx, "rtx", max_batch, CURRENT), machine)
    except BuildFailedError as error:
        print(f"gpu-report: not for this GPU alone, so portably: {error}", file=sys.stderr)
        built = build_engine(EnginePlan(onnx, "rtx", max_batch), machine)
    engine = onnx.with_name(ENGINE_NAMES["rtx"])
    write_engine(engine, built.engine, built.key)
    return engine, built.key, built.seconds


def check(onnx: Path, engine: Path, plan: ReportPlan) -> Any:
    """What `wildgate-build check` finds on the sample clips. Raises ReportFailed when it is past its tolerance."""
    report = plan.out / "check.json"
    command = [sys.executable, "-c", "from wildgate_build.cli import main; main()", "check", str(onnx), str(engine)]
    command += ["--videos", str(ROOT / "samples"), "--report", str(report)]
    command += ["--repository", str(plan.repository)]
    if status := subprocess.run(command, cwd=ROOT).returncode:
        raise ReportFailed(f"the engine did not pass wildgate-build check (exit {status})")
    return json.loads(report.read_text())


def rows_of(clips: Sequence[Path], frames: int) -> list[ClipRow]:
    """The clips as the gateway would send them to Triton."""
    sampled = [sample_file(clip, SamplingConfig(frames_per_window=frames), LIMITS) for clip in clips]
    return [ClipRow(window.clip, window.frame_index, video.rotation) for video in sampled for window in video.windows]


async def measure_decoding(plan: ReportPlan, clips: dict[str, list[Path]]) -> dict[str, tuple[Measured, GpuUsage]]:
    """Each kind of clip through `clip_decoder` alone."""
    frames = load_manifest(plan.repository).frames_per_window
    config = EmbeddedTritonConfig(plan.repository, plan.out / "logs" / "decoding", plan.instances, PROFILE)
    load = LoadPlan(DECODE_ASKERS, plan.load.warm_up_s, plan.load.seconds)
    measured = {}
    async with EmbeddedTriton(config) as triton, TritonClient(triton.endpoints.grpc) as client:
        for kind, files in clips.items():
            rows = rows_of(files, frames)
            batch = [rows[place % len(rows)] for place in range(DECODE_ROWS)]

            async def ask(number: int, batch: list[ClipRow] = batch) -> Stages:
                await client.frames(CLIP_DECODER, batch, TIMEOUT_S)
                return {}

            with watched() as gpu:
                loop = await closed_loop(ask, load, weight=DECODE_ROWS)
            measured[kind] = loop, gpu.usage
    return measured


async def measure_scoring(
    target: str, plan: ReportPlan, clips: dict[str, list[Path]]
) -> dict[str, tuple[Measured, GpuUsage]]:
    """Each kind of clip through the gateway at `target`."""
    measured = {}
    async with ScoringClient(target, ClientOptions(TIMEOUT_S, RetryPolicy(attempts=1))) as client:
        for kind, files in clips.items():
            uris = [Uri(file.resolve().as_uri()) for file in files]

            async def ask(number: int, uris: list[Uri] = uris) -> Stages:
                verdict = await client.score(uris[number % len(uris)])
                if verdict.cached or any(timing.stage == Stage.SHARED for timing in verdict.timings):
                    raise ReportFailed("the verdict came from the cache or another's scoring, which measures nothing")
                return {timing.stage: timing.duration_ms for timing in verdict.timings}

            with watched() as gpu:
                loop = await closed_loop(ask, plan.load)
            measured[kind] = loop, gpu.usage
    return measured


def server_options(plan: ReportPlan, clips: Path) -> LocalServerOptions:
    """`wildgate serve` with profile rtx on the report's repository, reading clips where they lie."""
    settings = {
        "BACKEND__PROFILE": PROFILE,
        "BACKEND__MODEL_REPOSITORY": str(plan.repository),
        "BACKEND__INSTANCES": str(plan.instances),
        "BACKEND__LOG_DIR": str(plan.out / "logs" / "scoring"),
        "SOURCE__FILE_ROOTS": json.dumps([str(clips)]),
        "ADMISSION__MAX_IN_FLIGHT": str(2 * plan.load.askers),
        "CACHE__MAX_ENTRIES": "0",  # the same clips come again and again, and are to be scored again
    }
    environment = {f"WILDGATE_{name}": value for name, value in settings.items()}
    return LocalServerOptions(plan.out / "logs" / "server.log", environment=environment, directory=ROOT)


def machine_facts(machine: Machine, gpu: Gpu) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "gpu": gpu.name,
        "architecture": gpu.architecture,
        "driver": machine.driver,
        "tensorrt_rtx": machine.tensorrt.get("rtx"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": platform.processor() or platform.machine(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def run(plan: ReportPlan, machine: Machine, gpu: Gpu, kinds: Sequence[ClipKind], console: Console) -> None:
    """The whole report. Raises ReportFailed, BuildError, ManifestError, TritonStartError, ServerStartFailed."""
    onnx = lay_out_repository(plan)
    engine, key, seconds = build(onnx, load_manifest(plan.repository).serving.max_batch_size, machine)
    console.print(f"engine: {key.engine_bytes} bytes for {', '.join(key.architectures)}, built in {seconds:.1f} s")
    checked = check(onnx, engine, plan)
    folder = plan.out / "clips"
    console.print(f"composing clips in {folder}")
    clips = {kind.name: clips_of(kind, folder) for kind in kinds}
    console.print(f"measuring each kind of clip for {plan.load.seconds:g} s, twice")
    decoding = asyncio.run(measure_decoding(plan, clips))
    with LocalServer(server_options(plan, folder)) as server:
        scoring = asyncio.run(measure_scoring(server.target, plan, clips))
    results: list[KindResult] = [result_of(kind, *scoring[kind], *decoding[kind]) for kind in clips]
    console.print(result_table(results))
    console.print(stage_table(results))
    facts = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_facts(machine, gpu),
        "engine": {**key.model_dump(), "build_s": round(seconds, 2)},
        "check": checked,
        "load": {**asdict(plan.load), "instances": plan.instances, "profile": PROFILE, "frames": key.frames},
        "clips": [asdict(kind) for kind in kinds],
    }
    file = results_file(plan.results, gpu.name)
    write_results(file, facts, results)
    console.print(f"wrote {file}")
    for result in results:
        for failure, times in result.failures.items():
            console.print(f"{result.kind}: {times} times {failure}", style="red", markup=False)
    if silent := [result.kind for result in results if not result.videos_per_s]:
        raise ReportFailed(f"nothing was scored of {', '.join(silent)}; the server's log: {plan.out / 'logs'}")


def main(arguments: Sequence[str] | None = None, machine: Machine | None = None) -> int:
    """Runs the report and returns its exit status; `machine` is this one by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", type=Path, help="another precision of the serving detector, a standard file")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each kind is measured, each way")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds before it counts")
    parser.add_argument("--askers", type=int, default=64, help="videos under way at once")
    parser.add_argument("--instances", type=int, default=2, help="Triton instances of each model")
    parser.add_argument("--kinds", nargs="+", choices=[kind.name for kind in KINDS], help="all by default")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "gpu-report", help="clips, logs, engine")
    parser.add_argument("--results", type=Path, default=ROOT / "perf" / "results")
    options = parser.parse_args(arguments)
    machine = machine or probe_machine()
    if machine.gpu is None:
        print("gpu-report: this machine has no NVIDIA GPU that CUDA can use", file=sys.stderr)
        return 2
    if missing := missing_packages():
        print(f"gpu-report: missing: {', '.join(missing)}; run `pip install 'wildgate[rtx]'`", file=sys.stderr)
        return 2
    load = LoadPlan(options.askers, options.warm_up, options.seconds)
    plan = ReportPlan(options.onnx, options.out.resolve(), options.results, load, options.instances)
    kinds = [kind for kind in KINDS if not options.kinds or kind.name in options.kinds]
    try:
        run(plan, machine, machine.gpu, kinds, Console(soft_wrap=True, highlight=False))
    except (ReportFailed, BuildError, ManifestError, TritonStartError, ServerStartFailed) as error:
        print(f"gpu-report: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
