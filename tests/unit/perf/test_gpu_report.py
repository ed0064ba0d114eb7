"""The GPU report's parts that need no GPU."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import av
import pytest
from rich.console import Console

import gpu_report
from gpu_clips import ClipKind, clips_of
from gpu_report import ReportPlan, lay_out_repository
from gpu_results import result_of, result_table, results_file, stage_table, write_results
from gpu_usage import GpuUsage, watched
from wildgate_perf.loops import Answered, LoadPlan, Measured
from wildgate_server.media.sampled_video import VideoLimits
from wildgate_server.repository.engine_key import engine_source
from wildgate_server.repository.machine import Gpu, Machine
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.releases import load_releases, verify_files, version_directory
from wildgate_server.sampling.offline import sample_file
from wildgate_server.sampling.plan import SamplingConfig


def measured(count: int, seconds: float, failures: tuple[str, ...] = (), weight: int = 1) -> Measured:
    answers = tuple(Answered(float(number), {"infer": 2.0 * number}) for number in range(1, count + 1))
    return Measured(answers, failures, seconds, weight)


def test_usage_is_the_mean_of_what_is_known() -> None:
    lines = ["40, 90, 2000, [N/A]", "60, 100, 2100, [N/A]", "broken", "80, [N/A], 2200, [N/A]", "1, 2"]
    assert GpuUsage.of(lines) == GpuUsage(60.0, 95.0, 2100.0, None)
    assert GpuUsage.of([]) == GpuUsage()


def test_the_watcher_reads_what_its_program_told(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with watched(("sh", "-c", f"echo 50, 70, 1000, 300; touch {told}; exec sleep 60")) as sampler:
        while not told.exists():
            time.sleep(0.01)
    assert sampler.usage == GpuUsage(50.0, 70.0, 1000.0, 300.0)


def test_without_nvidia_smi_nothing_is_told() -> None:
    with watched(("no-such-program",)) as sampler:
        pass
    assert sampler.usage == GpuUsage()


def test_the_share_of_the_ceiling() -> None:
    whole, decoding = measured(600, 2.0, ("late",)), measured(100, 2.0, weight=8)
    result = result_of("1080p H.264", whole, GpuUsage(50, 60), decoding, GpuUsage(20, 80))
    assert (result.videos_per_s, result.decode_only_per_s) == (300, 400)
    assert result.nvdec_share == 0.75
    assert result.nvdec_ceiling_per_s == 500  # 400 a second kept NVDEC busy for 80 %
    assert result.took_ms == {"p50": 300, "p95": 570, "p99": 594}
    assert result.stages_ms == {"infer": 600}
    assert result.failures == {"late": 1}


def test_the_ceiling_is_reckoned_from_the_quicker_run() -> None:
    result = result_of("x", measured(800, 1), GpuUsage(90, 50), measured(100, 1, weight=4), GpuUsage(20, 40))
    assert result.nvdec_share == 2.0
    assert result.nvdec_ceiling_per_s == 1600


def test_runs_without_an_answer_are_told_as_such(tmp_path: Path) -> None:
    result = result_of("x", measured(0, 1, ("gone", "gone")), GpuUsage(), measured(0, 1), GpuUsage())
    assert (result.videos_per_s, result.nvdec_share, result.nvdec_ceiling_per_s) == (0, None, None)
    write_results(tmp_path / "x.json", {}, [result])
    [written] = json.loads((tmp_path / "x.json").read_text())["results"]
    assert written["took_ms"] == {"p50": None, "p95": None, "p99": None}
    assert written["failures"] == {"gone": 2}


def test_the_report_is_a_table_and_a_file(tmp_path: Path) -> None:
    results = [result_of("720p HEVC", measured(600, 2), GpuUsage(50, 60), measured(800, 2), GpuUsage(20, None))]
    console = Console(width=80, file=io.StringIO())
    console.print(result_table(results))
    console.print(stage_table(results))
    shown = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["720p", "HEVC", "300", "300", "570", "50", "60", "400", "0.75", "0"] in shown
    assert ["stage", "720p", "HEVC"] in shown
    assert ["infer", "600.0"] in shown
    file = results_file(tmp_path / "results", "NVIDIA RTX PRO 6000 (Blackwell)")
    assert file.name == "nvidia-rtx-pro-6000-blackwell.json"
    write_results(file, {"machine": {"gpu": "NVIDIA"}}, results)
    written = json.loads(file.read_text())
    assert written["machine"] == {"gpu": "NVIDIA"}
    assert written["results"][0]["usage"]["nvdec_percent"] == 60
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_without_a_gpu_it_ends_at_once_with_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert gpu_report.main(["--out", str(tmp_path / "out")], Machine(None, None)) == 2
    said = capsys.readouterr()
    assert said.err == "gpu-report: this machine has no NVIDIA GPU that CUDA can use\n"
    assert not (tmp_path / "out").exists()


def test_missing_packages_are_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_report, "MODULES", {"no_such_package": "Nothing", "no_such.part": "Less", "json": "JSON"})
    assert gpu_report.main([], Machine(Gpu("NVIDIA L4", "8.9"), None)) == 2
    assert "missing: Nothing, Less; run" in capsys.readouterr().err


@pytest.mark.parametrize(("encoder", "codec"), [("libx264", "h264"), ("libx265", "hevc")])
def test_a_clip_is_eight_keyframes_to_the_sampler(tmp_path: Path, encoder: str, codec: str) -> None:
    kind = ClipKind("tiny", encoder, 128, 72, 60_000)
    first, second = clips_of(kind, tmp_path, variants=2)
    assert first.read_bytes() != second.read_bytes()
    with av.open(str(first)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == (codec, 128, 72)
        assert container.duration / av.time_base == pytest.approx(15, abs=0.2)
    limits = VideoLimits(max_bytes=1 << 30, max_pixels=1 << 28, max_seconds=3600)
    [window] = sample_file(first, SamplingConfig(frames_per_window=8), limits).windows
    assert window.times_s == pytest.approx(tuple(range(0, 16, 2)))
    assert window.coded_frames == 8
    before = first.stat().st_mtime_ns
    assert clips_of(kind, tmp_path, variants=1) == [first]
    assert first.stat().st_mtime_ns == before


def test_the_server_keeps_no_verdicts(tmp_path: Path) -> None:
    """The same clips are asked for again and again: from the cache, nothing would be measured."""
    options = gpu_report.server_options(ReportPlan(None, tmp_path, tmp_path, LoadPlan(1, 0, 1), 1), tmp_path)
    assert options.environment["WILDGATE_CACHE__MAX_ENTRIES"] == "0"


def test_another_precision_is_published_in_the_reports_own_copy(tmp_path: Path, model_repository: Path) -> None:
    shipped = load_releases(model_repository, load_manifest(model_repository)).serving
    other = engine_source(version_directory(model_repository, shipped.version))
    plan = ReportPlan(other, tmp_path, tmp_path, LoadPlan(1, 0, 1), 1)
    source = lay_out_repository(plan)
    assert source.read_bytes() == other.read_bytes()
    releases = load_releases(plan.repository, load_manifest(plan.repository))
    assert releases.serving.version == shipped.version + 1 == int(source.parent.name)
    verify_files(plan.repository, releases.serving)
