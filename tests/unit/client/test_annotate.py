from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from PIL import Image
from verdicts import TIGER_VERDICT, black_jpeg, tiger_with_evidence

from wildgate_client import Box, Detection, EvidenceFrame, StreamResult, Unavailable
from wildgate_client.annotate import Annotator, annotated_frame, without_evidence

FRAME = EvidenceFrame(time_s=1.0, jpeg=black_jpeg(240, 240))


def drawn(**changes: object) -> Image.Image:
    return Image.open(io.BytesIO(annotated_frame(FRAME, dataclasses.replace(TIGER_VERDICT, **changes))))


def is_red(pixel: tuple[int, int, int]) -> bool:
    red, green, blue = pixel
    return red > 150 and green < 100 and blue < 100


def is_black(pixel: tuple[int, int, int]) -> bool:
    return max(pixel) < 60


def test_the_box_lies_where_the_detection_is():
    box = Box(0.1, 0.5, 0.9, 0.75)  # in pixels: left 24, top 120, right 215, bottom 179
    image = drawn(detections=(dataclasses.replace(TIGER_VERDICT.detections[0], box=box),))
    edges = [(24, 150), (215, 150), (120, 120), (120, 179)]
    assert [is_red(image.getpixel(edge)) for edge in edges] == [True] * 4
    beside = [(120, 150), (15, 150), (225, 150), (120, 190), (200, 110)]
    assert [is_black(image.getpixel(point)) for point in beside] == [True] * 5


def test_the_label_is_written_above_the_box():
    image = drawn()
    above = [image.getpixel((x, y)) for x in range(60, 160) for y in range(40, 59)]
    assert any(is_red(pixel) for pixel in above)
    assert any(min(pixel) > 180 for pixel in above)


def test_detections_of_other_frames_are_not_drawn():
    image = drawn(detections=(dataclasses.replace(TIGER_VERDICT.detections[0], time_s=3.0),))
    assert all(highest < 60 for _, highest in image.getextrema())


@pytest.mark.parametrize(("score", "seen"), [(0.9, True), (0.1, False)])
def test_labels_without_an_action_are_grey_where_they_are_likely(score: float, seen: bool):
    image = drawn(labels=(), detections=(Detection("dog", score, 1.0, Box(0.25, 0.25, 0.75, 0.75)),))
    assert (min(image.getpixel((60, 120))) > 100) is seen


def test_second_guesses_far_below_the_labels_best_are_not_drawn():
    image = drawn(detections=(dataclasses.replace(TIGER_VERDICT.detections[0], score=0.3),))
    assert all(highest < 60 for _, highest in image.getextrema())


def test_frames_are_files_named_after_video_and_time(tmp_path: Path):
    annotator = Annotator(tmp_path / "new" / "directory")
    annotator.write(StreamResult("a/clip.mp4", verdict=tiger_with_evidence(0.5, 12.25)))
    annotator.write(StreamResult("b/clip.mp4", verdict=tiger_with_evidence(0.5)))
    annotator.write(StreamResult("failed.mp4", error=Unavailable("away", code=None, reason="X")))
    assert [path.name for path in annotator.paths] == [
        "clip-000.500s.jpg",
        "clip-012.250s.jpg",
        "clip-2-000.500s.jpg",
    ]
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in annotator.paths)


def test_results_can_be_kept_without_their_frames():
    result = StreamResult("clip.mp4", verdict=tiger_with_evidence(0.5))
    assert without_evidence(result).unwrap() == dataclasses.replace(result.unwrap(), evidence=())
    failed = StreamResult("failed.mp4", error=Unavailable("away", code=None, reason="X"))
    assert without_evidence(failed) is failed
