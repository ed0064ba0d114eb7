"""The parts of the rtx profile that need no GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import pytest

from wildgate_perf.bench.__main__ import main
from wildgate_perf.bench.rtx import KINDS, result_of
from wildgate_perf.loops import Measured, Outcome
from wildgate_perf.videos import composed
from wildgate_server.media.reading import WAYS_TO_READ
from wildgate_server.repository.machine import probe_machine
from wildgate_server.sampling.offline import default_config, default_limits
from wildgate_server.sampling.plan import TrackKind, plan_sampling, plan_windows
from wildgate_server.source.byte_source import ByteSource


def measured(count: int, seconds: float, *failures: str) -> Measured:
    answers = [Outcome(0, 0, number / 1e3, "", {"infer": 2.0 * number}) for number in range(1, count + 1)]
    failed = [Outcome(0, 0, 1, failure) for failure in failures]
    return Measured((*answers, *failed), (*answers, *failed), 0, seconds)


def test_the_share_of_the_ceiling() -> None:
    result = result_of(measured(600, 2.0, "late"), measured(100, 2.0, "late: too"))
    assert (result["videos_per_s"], result["decode_only_per_s"], result["nvdec_share"]) == (300, 400, 0.75)
    assert result["took_ms"] == {"p50": 300, "p95": 570, "p99": 594}
    assert result["stages_ms"] == {"infer": 600}
    assert result["failures"] == {"late": 2}


@pytest.mark.skipif(probe_machine().gpu is not None, reason="this machine has a GPU")
def test_without_a_gpu_it_ends_at_once_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", "rtx", "--folder", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "bench: this machine has no NVIDIA GPU that CUDA can use\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "codec"), [("720p H.264", "h264"), ("1080p HEVC", "hevc")])
def test_a_clip_is_eight_keyframes_to_the_sampler(tmp_path: Path, kind: str, codec: str) -> None:
    """Small pictures are looked at more often: this one, which is soon encoded, is planned for as if it were large."""
    tiny = replace(KINDS[kind], width=128, height=72, bit_rate=250_000)
    first, second = composed(tmp_path, [tiny, replace(tiny, seed=1)])
    assert first.read_bytes() != second.read_bytes()
    with av.open(str(first)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == (codec, 128, 72)
        assert container.duration / av.time_base == pytest.approx(15, abs=0.2)
    config, limits = default_config(8), default_limits(1 << 22)
    source = ByteSource.of_content(first.read_bytes(), limits.max_bytes)
    with WAYS_TO_READ[0](source, limits, config.max_gap_s, config.max_clip_bytes) as reading:
        [track] = reading.tracks
        plan = plan_sampling(track.samples, config, track=TrackKind(0, codec, KINDS[kind].width * KINDS[kind].height))
    assert plan is not None
    [window] = plan_windows(plan.picks, config)
    assert [pick.time_s for pick in window] == pytest.approx(range(0, 16, 2))
    assert all(pick.sample == pick.keyframe for pick in window)
