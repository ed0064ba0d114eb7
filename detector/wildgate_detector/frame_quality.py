"""Detection quality frame by frame: average precision at IoU 0.5 on composed frames never trained on.

The figure is COCO's (101 recall points, pycocotools), by label; mAP50 is the mean over the labels shown.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from wildgate_detector.labels import LABELS
from wildgate_detector.layers import Seen
from wildgate_detector.offline import Detector
from wildgate_detector.props import PropRoom
from wildgate_detector.scenes import compose, letterboxed
from wildgate_detector.seeds import Purpose, stream

FRAME_SHAPES = ((180, 320), (320, 180), (240, 320), (320, 320))
HIDDEN_BELOW = 0.35
"""Objects of which less is in sight are neither wanted nor held against the detector (COCO's "crowd")."""


@dataclass(frozen=True)
class KnownFrame:
    """A letterboxed frame [side, side, 3] and what is in it, boxes in its pixels."""

    square: NDArray[np.uint8]
    seen: tuple[Seen, ...]


def known_frames(props: PropRoom, frames: int, seed: int, side: int) -> Iterator[KnownFrame]:
    """Compose `frames` frames of `side` pixels from seeds that nothing else uses."""
    for index in range(frames):
        rng = stream(Purpose.HELD_OUT, seed, index)
        height, width = FRAME_SHAPES[index % len(FRAME_SHAPES)]
        picture, seen = compose(rng, props, height, width).draw(0.0, rng)
        square, scale, left, top = letterboxed(picture, side)
        yield KnownFrame(square, tuple(_moved(item, scale, left, top) for item in seen))


def _moved(item: Seen, scale: float, left: int, top: int) -> Seen:
    x1, y1, x2, y2 = item.box
    box = (x1 * scale + left, y1 * scale + top, x2 * scale + left, y2 * scale + top)
    return Seen(item.label, box, item.visible)


class AveragePrecision:
    """Collects frames and detections; tells the average precisions of `labels`, in the order of their class."""

    def __init__(self, labels: Sequence[str] = LABELS) -> None:
        self._labels = labels
        self._frames: list[dict[str, int]] = []
        self._wanted: list[dict[str, object]] = []
        self._found: list[dict[str, object]] = []

    def add(self, frame: KnownFrame, detections: NDArray[np.float32]) -> None:
        """Count a frame and its detections [K, 6] (boxes in [0, 1], score, class index; score 0: unused)."""
        number, side = len(self._frames) + 1, frame.square.shape[0]
        self._frames.append({"id": number, "width": side, "height": side})
        for item in frame.seen:
            hidden = int(item.visible < HIDDEN_BELOW)
            self._wanted.append(_annotation(number, self._labels.index(item.label), item.box, iscrowd=hidden))
        for row in detections[detections[:, 4] > 0]:
            box = tuple((row[:4].astype(float) * side).tolist())
            self._found.append(_annotation(number, int(row[5]), box, score=float(row[4])))

    def by_label(self) -> dict[str, float]:
        """Average precision at IoU 0.5 of every label; NaN for one that was not shown."""
        categories = [{"id": at, "name": label} for at, label in enumerate(self._labels)]
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
            truth = _coco(self._frames, categories, self._wanted)
            found = _coco(self._frames, categories, self._found)
            judge = COCOeval(truth, found, "bbox")
            judge.params.iouThrs = np.array([0.5])
            judge.params.maxDets = [max(16, len(self._labels))]
            judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
            judge.evaluate()
            judge.accumulate()
        precision = judge.eval["precision"][0, :, :, 0, 0]  # [recall points, labels], -1 where none is wanted
        known = (precision >= 0).all(axis=0)
        return {
            label: float(precision[:, at].mean()) if known[at] else float("nan")
            for at, label in enumerate(self._labels)
        }


def _annotation(frame: int, label: int, box: tuple[float, ...], **more: float) -> dict[str, object]:
    x1, y1, x2, y2 = box
    entry = {"image_id": frame, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
    return {"iscrowd": 0, **entry, **more}


def _coco(frames: list[dict[str, int]], categories: list[dict[str, object]], entries: list[dict[str, object]]) -> COCO:
    coco = COCO()
    numbered = [{"id": number, **entry} for number, entry in enumerate(entries, 1)]
    coco.dataset = {"images": frames, "categories": categories, "annotations": numbered}
    coco.createIndex()
    return coco


def mean_precision(by_label: dict[str, float]) -> float:
    """mAP50: the mean over the labels that were shown.

    Raises:
        ValueError: none was.
    """
    known = [value for value in by_label.values() if not np.isnan(value)]
    if not known:
        raise ValueError("no label was shown in any frame")
    return sum(known) / len(known)


def average_precisions(detector: Detector, frames: Iterable[KnownFrame]) -> dict[str, float]:
    """The average precision of every label, over `frames`."""
    collected = AveragePrecision()
    for frame in frames:
        collected.add(frame, detector(frame.square[None])[0])
    return collected.by_label()
