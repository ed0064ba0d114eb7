"""`wildgate-build check`: two detectors, the same frames."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from checkout import ROOT
from colour_detector import FRAMES, LABELS, SHAPE, SIDE, colour_detector, write_detector, write_video
from typer.testing import CliRunner

from wildgate_build.check.commands import check
from wildgate_build.check.comparison import (
    Comparison,
    EvaluationSet,
    Tolerance,
    VerdictChange,
    compare_files,
    require_match,
)
from wildgate_build.check.matching import Differences, MatchRule
from wildgate_build.check.runners import Candidate, OnnxRunner, detect, open_candidate
from wildgate_build.check.verdicts import judge, read_policy
from wildgate_build.errors import CannotRunError, ComparisonError
from wildgate_build.frames.sampled import VideoFrames
from wildgate_build.standard_file import StandardFile, file_digest
from wildgate_server.policy import Action
from wildgate_server.repository.engine_key import EngineKey, engine_digest, key_path

app = typer.Typer()
app.command()(check)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(2):
        write_video(folder / f"{number}.mp4", first=40 * number, seconds=16)
    return folder


def run(reference: Path, candidate: Path, videos: Path, *more: str) -> tuple[int, str]:
    repository = ROOT / "model_repository"
    arguments = [str(reference), str(candidate), "--videos", str(videos), "--repository", str(repository), *more]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "40"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def test_the_same_file_sees_the_same(tmp_path: Path, videos: Path) -> None:
    model = write_detector(tmp_path / "model.onnx")
    code, output = run(model, model, videos, "--report", str(tmp_path / "report.json"))
    assert code == 0, output
    assert "compared 2 videos" in output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["pairs"] > 10
    assert (report["score_largest"], report["box_largest"], report["verdict_changes"], report["beyond"]) == (
        0,
        0,
        [],
        [],
    )


def test_scores_past_the_tolerance_are_a_no(tmp_path: Path, videos: Path) -> None:
    reference = write_detector(tmp_path / "reference.onnx")
    weaker = write_detector(tmp_path / "weaker.onnx", colour_detector(scale=0.94))
    report = tmp_path / "report.json"
    code, output = run(reference, weaker, videos, "--max-score", "0.001", "--report", str(report))
    assert code == 1
    assert "largest score difference is" in output
    assert "at most 0.001 is allowed" in output
    assert json.loads(report.read_text())["beyond"]
    assert run(reference, weaker, videos, "--max-score", "0.9", "--max-unmatched", "1")[0] == 0


def test_a_detector_that_goes_blind_changes_verdicts(tmp_path: Path, videos: Path) -> None:
    reference = write_detector(tmp_path / "reference.onnx")
    blind = write_detector(tmp_path / "blind.onnx", colour_detector(scale=0.1))
    code, output = run(reference, blind, videos)
    assert code == 1
    assert "other verdicts 2 of 2 videos" in output
    assert "REVIEW (live_tiger, rhino_horn) became ALLOW" in output
    assert "share of unmatched detections is 1, at most 0.01 is allowed" in output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[::-1]}, "labels are rhino_horn, live_tiger in"),
        ({"labels": (*LABELS, "live_bear")}, "rhino_horn, live_tiger, live_bear in"),
    ],
)
def test_files_with_other_labels_are_not_compared(
    tmp_path: Path, videos: Path, changes: dict[str, object], message: str
) -> None:
    reference = write_detector(tmp_path / "reference.onnx")
    other = write_detector(tmp_path / "other.onnx", **changes)
    code, output = run(reference, other, videos)
    assert code == 2
    assert message in output
    assert "reference.onnx" in output
    assert "other.onnx" in output


@pytest.mark.parametrize(("field", "letter"), [("frames", "F"), ("side", "S"), ("detections", "K")])
def test_other_sizes_are_named_with_both_files(tmp_path: Path, field: str, letter: str) -> None:
    file = StandardFile.read(write_detector(tmp_path / "model.onnx"))
    engine = Candidate(Path("model.rtx"), lambda frames: frames, FRAMES, SIDE, SHAPE.detections, None, file.digest)
    require_match(file, engine)
    with pytest.raises(ComparisonError, match=rf"{letter} is \d+ in .*model\.onnx and 99 in model\.rtx"):
        require_match(file, replace(engine, **{field: 99}))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\x08\x08broken", "cannot be read as ONNX"), (None, "there is no such file")],
)
def test_what_is_no_standard_file_is_named(tmp_path: Path, videos: Path, content: bytes | None, message: str) -> None:
    bad = tmp_path / "bad.onnx"
    if content:
        bad.write_bytes(content)
    for pair in ((bad, write_detector(tmp_path / "good.onnx")), (tmp_path / "good.onnx", bad)):
        code, output = run(*pair, videos)
        assert code == 2
        assert f"bad.onnx: {message}" in output


def test_an_engine_without_a_key_is_named(tmp_path: Path, videos: Path) -> None:
    (tmp_path / "model.rtx").write_bytes(b"engine")
    code, output = run(write_detector(tmp_path / "model.onnx"), tmp_path / "model.rtx", videos)
    assert code == 2
    assert "model.rtx.json: there is no such file" in output


class StandInEngine:
    """An engine that runs the ONNX file beside it, without a GPU."""

    def __init__(self, path: Path) -> None:
        self.key = EngineKey.read(path)
        self._run = OnnxRunner(path.with_suffix(".onnx"))

    def __enter__(self) -> StandInEngine:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return self._run(frames)


def write_engine(onnx_file: Path, **changes: object) -> Path:
    engine = onnx_file.with_suffix(".rtx")
    engine.write_bytes(b"engine")
    key = EngineKey(
        onnx_digest=file_digest(onnx_file),
        target="rtx",
        tensorrt_version="1.7.1.116",
        architectures=("8.0+",),
        precision="fp32",
        min_batch=1,
        opt_batch=4,
        max_batch=8,
        frames=FRAMES,
        side=SIDE,
        detections=SHAPE.detections,
        engine_digest=engine_digest(b"engine"),
        engine_bytes=6,
    )
    key_path(engine).write_text(key.model_copy(update=changes).model_dump_json())
    return engine


def compare_with_engine(reference: Path, engine: Path, videos: Path) -> Comparison:
    evaluation_set = EvaluationSet([videos], ROOT / "model_repository", read_policy(None))
    opened = partial(open_candidate, open_engine=StandInEngine)
    return compare_files(reference, engine, evaluation_set, opened)


def test_an_engine_of_another_file_is_noted(tmp_path: Path, videos: Path) -> None:
    model = write_detector(tmp_path / "model.onnx")
    engine = write_engine(model)
    same = compare_with_engine(model, engine, videos)
    assert (same.notes, same.summary()["pairs"] > 10) == ([], True)

    digest = "blake3:" + "7" * 64
    write_engine(model, onnx_digest=digest)
    other = compare_with_engine(model, engine, videos)
    assert other.notes == [f"{engine}: built from another file: {digest}"]
    assert other.summary()["notes"] == other.notes


def test_an_answer_without_a_label_is_named(tmp_path: Path, videos: Path) -> None:
    poor = write_detector(tmp_path / "poor.onnx", labels=LABELS[:1])
    code, output = run(poor, poor, videos)
    assert code == 2
    assert "poor.onnx: answered class 1, it has 1 labels (0 to 0)" in output


def test_videos_that_show_nothing_leave_nothing_to_compare(tmp_path: Path) -> None:
    model = write_detector(tmp_path / "model.onnx")
    write_video(tmp_path / "grey.mp4", seconds=6, paint=lambda _, w, h: np.full((h, w, 3), 114, np.uint8))
    code, output = run(model, model, tmp_path / "grey.mp4")
    assert code == 2
    assert "nothing was detected in 4 frames of 1 videos" in output


def test_a_policy_without_a_rule_for_a_label_is_named(tmp_path: Path, videos: Path) -> None:
    model = write_detector(tmp_path / "model.onnx", labels=("rhino_horn", "walrus_tusk"))
    code, output = run(model, model, videos)
    assert code == 2
    assert "has no rule for walrus_tusk; give one with --policy" in output


def test_windows_are_filled_and_cut_again(tmp_path: Path) -> None:
    calls: list[tuple[int, ...]] = []

    def runner(frames: np.ndarray) -> np.ndarray:
        calls.append(frames.shape)
        means = frames.mean(axis=(2, 3, 4), dtype=np.float32)
        return np.repeat(means[..., None], 12, axis=2).reshape(*means.shape, 2, 6)

    frames = np.arange(22, dtype=np.uint8).reshape(22, 1, 1, 1) * np.ones((1, 2, 2, 3), np.uint8)
    rows = detect(runner, frames, 4)
    assert rows.shape == (22, 2, 6)
    np.testing.assert_array_equal(rows[:, 0, 0], np.arange(22))
    assert calls == [(4, 4, 2, 2, 3), (2, 4, 2, 2, 3)]


def test_a_file_that_onnx_runtime_refuses_is_named(tmp_path: Path) -> None:
    model = colour_detector()
    next(node for node in model.graph.node if node.op_type == "Conv").input[0] = "no_such_tensor"
    broken = write_detector(tmp_path / "broken.onnx", model)
    with pytest.raises(CannotRunError, match=r"broken\.onnx: ONNX Runtime cannot run it: .*no_such_tensor"):
        OnnxRunner(broken)


def test_a_videos_verdict_is_the_policys() -> None:
    policy = read_policy(None)
    rows = np.zeros((2, 4, 6), np.float32)
    rows[:, 0] = (0.3, 0.1, 0.6, 0.4, 0.99, 0)
    video = VideoFrames(Path("v.mp4"), (0.0, 2.0), (0.1, 0.1), np.zeros((2, SIDE, SIDE, 3), np.uint8))
    judgement = judge(video, rows, LABELS, policy)
    assert judgement.action is Action.REVIEW
    assert [label.label for label in judgement.labels] == ["rhino_horn"]
    assert judge(video, np.zeros_like(rows), LABELS, policy).action is Action.ALLOW


def test_each_figure_has_its_own_tolerance() -> None:
    differences = Differences(MatchRule((0.5,)), frames=10, missing=1, score=[0.1] * 9, box=[0.2] * 9)
    comparison = Comparison(differences, videos=10, changes=[VerdictChange("v", "ALLOW", "BLOCK (x)")])
    generous = Tolerance(box=0.3, score=0.2, unmatched=0.2, verdict_changes=0.2)
    assert comparison.beyond(generous) == []
    for field, words in {
        "box": "largest box difference is 0.2, at most 0 is allowed",
        "score": "largest score difference is 0.1, at most 0 is allowed",
        "unmatched": "share of unmatched detections is 0.1, at most 0 is allowed",
        "verdict_changes": "share of changed verdicts is 0.1, at most 0 is allowed",
    }.items():
        assert comparison.beyond(replace(generous, **{field: 0})) == [words]


def test_values_that_are_no_numbers_are_named(tmp_path: Path, videos: Path) -> None:
    reference = write_detector(tmp_path / "reference.onnx")
    sick = write_detector(tmp_path / "sick.onnx", colour_detector(scale=float("nan")))
    code, output = run(reference, sick, videos)
    assert code == 2
    assert "the detector gave values that are not numbers" in output
