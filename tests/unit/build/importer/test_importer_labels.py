"""labels.txt: what it says, and what is said of a bad one."""

from collections.abc import Callable
from pathlib import Path

import networks
import onnx
import pytest
from importing_bench import Bench

from wildgate_build.errors import ImportRefusedError
from wildgate_build.importer.labels import read_labels


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "labels.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_lines_map_classes_to_labels(tmp_path: Path) -> None:
    text = "\ufeff# comment\ntiger = live_tiger\n\n  horn  \nTraffic light = -  # ignored\nlion = live_tiger\n"
    labels = read_labels(written(tmp_path, text + "N/A = -\nN/A = -\n"))
    assert labels.count == 6
    assert labels.labels == ("live_tiger", "horn")
    assert labels.columns == ((0, 3), (1,))
    assert labels.merges


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tiger\nbig cat\n", r"labels\.txt, line 2 \('big cat'\): the label 'big cat' is not lower_snake_case"),
        ("tiger = Live_Tiger", r"line 1 .*'Live_Tiger' is not lower_snake_case"),
        ("tiger\n= live_tiger", r"line 2 \('= live_tiger'\): write '<class>'"),
        ("tiger =", r"line 1 .*: write '<class>'"),
        ("a = b = c", r"line 1 .*: write '<class>'"),
        ("tiger = a\n\ntiger = b", r"line 3 .*: the class 'tiger' has a line before"),
        ("# nothing\n", "maps no class"),
        ("tiger = -\nlion = -\n", "maps no class"),
        (b"ti\xffger\n", "cannot be read as text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ImportRefusedError, match=said):
        read_labels(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match=r"nowhere\.txt: there is no such file"):
        read_labels(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("network", "classes"),
    [(networks.yolov5, 4), (networks.yolov8, 4), (networks.yolox, 4), (networks.rtdetr, 5), (networks.detr, 5)],
)
def test_another_number_of_classes_says_both_numbers(
    bench: Bench, network: Callable[[int], onnx.ModelProto], classes: int
) -> None:
    with pytest.raises(ImportRefusedError, match=r"lists 2 classes, the network has (4|5|6);"):
        bench.imported(network(classes), 2)


def test_a_class_index_beyond_the_lines_is_named(bench: Bench) -> None:
    with pytest.raises(ImportRefusedError, match=r"lists 2 classes, the network gave the class index 3"):
        bench.imported(networks.yolo_end2end(4, seed=4), 2)


def test_the_files_own_names_are_counted(bench: Bench) -> None:
    network = networks.yolo_end2end(4, seed=4)
    onnx.helper.set_model_props(network, {"names": "{0: 'a', 1: 'b', 2: 'c', 3: 'd'}", "license": "MIT"})
    with pytest.raises(ImportRefusedError, match=r"lists 5 classes, .*network\.onnx \(its property 'names'\) has 4"):
        bench.imported(network, 5)
    written_file = bench.imported(network, 4)
    held = {p.key: p.value for p in onnx.load(written_file.path).metadata_props}
    assert held["license"] == "MIT"
    assert held["wildgate.labels"] == "thing_0,thing_1,thing_2,thing_3"


def test_a_softmax_is_assumed_aloud_and_can_be_told(bench: Bench) -> None:
    bench.imported(networks.detr(5), 5)
    assert any("taken as softmax with 'no object' last" in line for line in bench.told)
    assert any("values imagenet" in line for line in bench.told)
    with pytest.raises(ImportRefusedError, match="lists 5 classes, the network has 6"):
        bench.imported(networks.detr(5), 5, activation="sigmoid")
    with pytest.raises(ImportRefusedError, match="lists 4 classes, the network has 5"):
        bench.imported(networks.rtdetr(5), 4)  # its query selection shows that it scores by sigmoid
