"""The training run: composed scenes in, checkpoints out, for as many minutes as are given."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from wildgate_build.reference.labels import LABELS
from wildgate_build.reference.loss import NOTHING, UNSURE, Truth, detection_loss
from wildgate_build.reference.network import Detector, places
from wildgate_build.reference.props import PropRoom
from wildgate_build.reference.scenes import compose, letterboxed
from wildgate_build.reference.seeds import Purpose, stream
from wildgate_build.reference.stamps import load_stamps

MOST_OBJECTS = 5
WAITING = 400
"""So many pictures lie between an example and its mirror image."""
HIDDEN_BELOW = 0.35
"""An object of which less is in sight is not asked for."""
ASPECTS = ((16, 9), (9, 16), (9, 16), (4, 3), (3, 4), (1, 1))
CROWDED_ASPECTS = ((1, 1), (1, 1), (4, 3), (3, 4), (16, 9), (9, 16))

Item = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Phase:
    """A part of the run: until `until` (share of its time) at frames of `side` pixels.

    A `crowded` phase packs several large objects into mostly square frames.
    """

    until: float
    side: int
    batch: int
    crowded: bool = False


@dataclass(frozen=True)
class TrainingPlan:
    """How to train. `minutes` is wall-clock time: a slower machine sees fewer scenes, not a longer run."""

    minutes: float
    folder: Path
    seed: int = 0
    threads: int = 1
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    start_from: Path | None = None
    phases: tuple[Phase, ...] = (
        Phase(0.75, 224, 16, crowded=True),
        Phase(1.0, 320, 16),
    )


def training_item(rng: np.random.Generator, props: PropRoom, side: int, *, crowded: bool = False) -> Item:
    """Compose one example: frame [side, side, 3], boxes [m, 4] in pixels, labels [m]."""
    aspects = CROWDED_ASPECTS if crowded else ASPECTS
    wide, tall = aspects[rng.integers(0, len(aspects))]
    longest = max(wide, tall)
    height, width = round(side * tall / longest), round(side * wide / longest)
    frame, seen = compose(rng, props, height, width, crowded=crowded).draw(0.0, rng)
    square, _, left, top = letterboxed(frame, side)
    boxes = np.zeros((MOST_OBJECTS, 4), np.float32)
    labels = np.full(MOST_OBJECTS, NOTHING, np.int64)
    for index, item in enumerate(seen[:MOST_OBJECTS]):
        boxes[index] = np.array(item.box) + np.array((left, top, left, top))
        labels[index] = LABELS.index(item.label) if item.visible >= HIDDEN_BELOW else UNSURE
    return square, boxes, labels


def mirrored(item: Item) -> Item:
    """The example seen in a mirror."""
    square, boxes, labels = item
    flipped = boxes.copy()
    flipped[:, [0, 2]] = square.shape[1] - boxes[:, [2, 0]]
    return np.ascontiguousarray(square[:, ::-1]), flipped, labels


class Examples(IterableDataset[Item]):
    """An endless stream of training examples for a phase, from item `first` on.

    Every picture comes twice, the second time mirrored and later: composing costs as much as learning.
    """

    def __init__(self, seed: int, first: int, phase: Phase) -> None:
        self.seed, self.first, self.phase = seed, first, phase

    def __iter__(self) -> Iterator[Item]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        side, crowded = self.phase.side, self.phase.crowded
        props = PropRoom(load_stamps(), side=min(224, max(160, side)), kept=48)
        waiting: list[Item] = []
        index = self.first
        while True:
            rng = stream(Purpose.TRAIN, self.seed, index)
            item = training_item(rng, props, side, crowded=crowded)
            yield item
            waiting.append(mirrored(item))
            if len(waiting) > WAITING:
                yield waiting.pop(int(rng.integers(0, WAITING)))
            index += 1


def train(plan: TrainingPlan) -> Path:
    """Run the plan and return the path of the final checkpoint (averaged weights).

    Writes `log.jsonl` and, every few minutes, `checkpoint.pt` below `plan.folder`.

    Raises:
        StampsMissingError: the training material is not installed.
    """
    load_stamps()
    plan.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    network = Detector()
    if plan.start_from is not None:
        network.load_state_dict(torch.load(plan.start_from, weights_only=True)["network"])
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = _Run(plan, network)
    for phase in plan.phases:
        run.through(phase)
    return run.save()


class _Run:
    def __init__(self, plan: TrainingPlan, network: Detector) -> None:
        self.plan, self.network = plan, network
        self.average = {k: v.clone() for k, v in network.state_dict().items()}
        decayed = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": plan.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate)
        self.start, self.step, self.images, self.saved = time.monotonic(), 0, 0, time.monotonic()

    def share(self) -> float:
        return (time.monotonic() - self.start) / (self.plan.minutes * 60)

    def through(self, phase: Phase) -> None:
        loader = DataLoader(
            Examples(self.plan.seed, self.images, phase),
            phase.batch,
            num_workers=1,
            prefetch_factor=6,
            multiprocessing_context="spawn",  # a forked worker would hang in OpenCV's threads
        )
        centres, strides = places(phase.side)
        self.network.train()
        for frames, boxes, labels in loader:
            if self.share() >= phase.until:
                break
            self._learn(frames, Truth(boxes, labels), centres, strides, phase.side)
            if time.monotonic() - self.saved > 180:
                self.save()

    def _learn(
        self, frames: torch.Tensor, truth: Truth, centres: torch.Tensor, strides: torch.Tensor, side: int
    ) -> None:
        warm = min(1.0, (self.step + 1) / 300)
        rate = self.plan.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, self.share()))))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        pictures = frames.permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
        logits, boxes = self.network(pictures)
        loss, parts = detection_loss(logits, boxes, truth, centres, strides)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.step += 1
        self.images += len(frames)
        decay = min(0.999, (1 + self.step) / (20 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
        if self.step % 25 == 0:
            entry = {"step": self.step, "images": self.images, "side": side, "loss": round(float(loss.detach()), 4)}
            entry |= {k: round(v, 4) for k, v in parts.items()} | {"seconds": round(time.monotonic() - self.start)}
            with (self.plan.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(entry) + "\n")

    def save(self) -> Path:
        """Write the averaged weights; a reader never sees half a file."""
        path = self.plan.folder / "checkpoint.pt"
        part = path.with_suffix(".part")
        torch.save({"network": self.average, "images": self.images, "labels": list(LABELS)}, part)
        part.replace(path)
        self.saved = time.monotonic()
        return path
