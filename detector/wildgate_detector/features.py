"""What the frozen bodies see of training pictures, computed once and kept on disk, so that heads learn from it fast.

The bodies are by far the dearest part of a step, and they do not change: a picture is composed and seen once, its
features are read in every epoch.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from torch import Tensor

from wildgate_build.onnx_session import open_session
from wildgate_detector.bodies import SEEN, Bodies, shapes
from wildgate_detector.material import MOST_OBJECTS, Item
from wildgate_detector.onnx_export import exported

BATCH: Final = 16

Pictures = Callable[[int, int], Iterator[Item]]
"""The training pictures from the first to before the last, by number; it goes to another process."""


@dataclass(frozen=True)
class Features:
    """Cached features: `seen`, an array of float16 for each of `bodies.shapes`, `boxes` in pixels and `labels`."""

    seen: tuple[NDArray[np.float16], ...]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)

    def batch(self, rows: NDArray[np.intp]) -> tuple[list[Tensor], Tensor, Tensor]:
        """What was seen of some pictures, their boxes and labels, in float32."""
        seen = [torch.from_numpy(values[rows]).float() for values in self.seen]
        return seen, torch.from_numpy(self.boxes[rows]), torch.from_numpy(self.labels[rows])

    @classmethod
    def read(cls, folder: Path) -> "Features":
        """The features that `cache` left in `folder`, read as they are needed."""
        seen = tuple(np.load(file, mmap_mode="r") for file in _files(folder))
        return cls(seen, np.load(folder / "boxes.npy"), np.load(folder / "labels.npy"))


def cache(pictures: Pictures, count: int, side: int, folder: Path, processes: int) -> Features:
    """Look at `count` pictures of `side` pixels with the frozen bodies, in that many processes."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, shape in zip(_files(folder), shapes(side), strict=True):
        np.lib.format.open_memmap(file, "w+", np.float16, (count, *shape)).flush()  # type: ignore[no-untyped-call]
    edges = np.linspace(0, count, processes + 1).astype(int)
    # Spawned: a forked worker would hang in OpenCV's threads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = list(
            pool.map(
                _cache_part, [pictures] * processes, [side] * processes, [folder] * processes, edges[:-1], edges[1:]
            )
        )
    np.save(folder / "boxes.npy", np.concatenate([boxes for boxes, _ in parts]))
    np.save(folder / "labels.npy", np.concatenate([labels for _, labels in parts]))
    return Features.read(folder)


def _files(folder: Path) -> list[Path]:
    """Where what the bodies see is kept, in the order of `shapes`."""
    return [folder / f"seen{at}.npy" for at in range(SEEN)]


def _session(side: int) -> InferenceSession:
    """The bodies in ONNX Runtime, on one thread: several times as fast as in torch, where depthwise layers are slow."""
    names = [file.stem for file in _files(Path())]
    model = exported(Bodies().eval(), torch.zeros(1, 3, side, side), names)
    return open_session(model, threads=1)


def _cache_part(
    pictures: Pictures, side: int, folder: Path, first: int, last: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    cv2.setNumThreads(1)
    session = _session(side)
    seen = [np.load(file, mmap_mode="r+") for file in _files(folder)]
    boxes = np.zeros((last - first, MOST_OBJECTS, 4), np.float32)
    labels = np.zeros((last - first, MOST_OBJECTS), np.int64)
    held: list[NDArray[np.uint8]] = []
    done = 0
    for at, (square, its_boxes, its_labels) in enumerate(pictures(first, last)):
        held.append(square)
        boxes[at], labels[at] = its_boxes, its_labels
        if len(held) == BATCH or at == last - first - 1:
            frames = np.stack(held).transpose(0, 3, 1, 2).astype(np.float32)
            for kept, values in zip(seen, session.run(None, {"pictures": frames}), strict=True):
                kept[first + done : first + done + len(held)] = values
            done += len(held)
            held.clear()
    return boxes, labels
