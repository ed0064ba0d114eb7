"""What wildlife_detector makes of requests, with a graph whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import parser
from triton_seam import InferenceRequest, load_model, model_config

F, S, K = 8, 320, 16


def write_graph(file: Path, *, frames: int | str = "f", detections: int = K, name: str = "DETECTIONS") -> None:
    """A graph of the standard shapes: every detection's six values are the mean of its frame."""
    model = parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 17]>
        means (uint8[b,{frames},{S},{S},3] FRAMES) => (float[b,{frames},{detections},6] {name})
        <int64[1] last = {{3}}, int64[4] shape = {{1, 1, {detections}, 6}}>
        {{
            pixels = Cast <to = 1> (FRAMES)
            mean = ReduceMean <axes = [3, 4], keepdims = 0> (pixels)
            frame = ReduceMean <axes = [2], keepdims = 1> (mean)
            cell = Unsqueeze (frame, last)
            {name} = Expand (cell, shape)
        }}
    """)
    onnx.save(model, file)


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load_model("wildlife_detector")


def initialize(module: ModuleType, repository: Path):
    model = module.TritonPythonModel()
    config = model_config("wildlife_detector")
    model.initialize({"model_config": config, "model_repository": str(repository), "model_version": "1"})
    return model


@pytest.fixture(params=["f", F], ids=["any_frames", "static_frames"])
def repository(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    (tmp_path / "1").mkdir()
    write_graph(tmp_path / "1" / "model.onnx", frames=request.param)
    return tmp_path


def request(*levels: int) -> InferenceRequest:
    rows = [np.full((F, S, S, 3), level, np.uint8) for level in levels]
    return InferenceRequest({"FRAMES": np.stack(rows)})


def test_each_request_gets_its_own_rows(module: ModuleType, repository: Path) -> None:
    model = initialize(module, repository)
    responses = model.execute([request(10), request(20, 30), request(40)])
    answers = [response.array() for response in responses]
    assert [answer.shape for answer in answers] == [(1, F, K, 6), (2, F, K, 6), (1, F, K, 6)]
    assert [[float(row[0, 0, 0]) for row in answer] for answer in answers] == [[10], [20, 30], [40]]


def test_a_window_of_fewer_frames_repeats_the_last_answer(module: ModuleType, repository: Path) -> None:
    levels = np.array(
        [[1, 2, 2, 3, 3, 3, 3, 3], [4, 4, 4, 4, 4, 4, 4, 4], [*range(F)], [9, 9, 9, 9, 9, 9, 9, 8]], np.uint8
    )
    frames = np.broadcast_to(levels[:, :, None, None, None], (*levels.shape, S, S, 3))
    parts = [InferenceRequest({"FRAMES": frames[:1]}), InferenceRequest({"FRAMES": frames[1:]})]
    answers = [response.array()[..., 0, 0] for response in initialize(module, repository).execute(parts)]
    np.testing.assert_array_equal(np.concatenate(answers), levels)


def test_only_the_frames_that_a_window_has_are_looked_at(module: ModuleType) -> None:
    grey, white = np.zeros((S, S, 3), np.uint8), np.full((S, S, 3), 255, np.uint8)
    assert [
        module.frames_of(np.stack(window)) for window in ([grey] * 3, [grey, white, white], [grey, white, grey])
    ] == [
        1,
        2,
        3,
    ]


def test_a_surprise_fails_the_requests_and_not_the_model(module: ModuleType, repository: Path) -> None:
    model = initialize(module, repository)
    failed = model.execute([InferenceRequest({"FRAMES": np.zeros((1, 2, 2), np.uint8)}), request(1)])
    assert [response.error.code for response in failed] == ["INTERNAL", "INTERNAL"]
    assert "Traceback" in module.pb_utils.Logger.errors[-1]
    [fine] = model.execute([request(5)])
    assert float(fine.array()[0, 0, 0, 0]) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detections": 10}, "model.onnx: DETECTIONS is [8, 10, 6], config.pbtxt says [8, 16, 6]"),
        ({"name": "BOXES"}, "model.onnx has the tensors ['FRAMES', 'BOXES'], not ['FRAMES', 'DETECTIONS']"),
    ],
)
def test_a_graph_that_is_not_what_the_config_says(
    module: ModuleType, repository: Path, changes: dict[str, object], message: str
) -> None:
    write_graph(repository / "1" / "model.onnx", **changes)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text is compared)
        initialize(module, repository)
    assert str(caught.value) == message


def test_the_committed_graph_is_what_the_committed_config_says(module: ModuleType) -> None:
    graph = Path(module.__file__).with_name("model.onnx")
    module.check_shapes(module.open_session(graph), json.loads(model_config("wildlife_detector")))
