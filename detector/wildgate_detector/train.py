"""The training run: composed scenes in, checkpoints out, for as many minutes as are given."""

import io
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from wildgate_build.durable_files import write_files
from wildgate_detector.labels import PRODUCTS
from wildgate_detector.loss import Truth, detection_loss
from wildgate_detector.material import Item, Phase, retouched, training_item
from wildgate_detector.network import Detector, places
from wildgate_detector.props import PropRoom
from wildgate_detector.replay import Replay
from wildgate_detector.seeds import Purpose, stream
from wildgate_detector.stamps import load_stamps

NONE: Final = np.empty(0, np.intp)
PROPS_KEPT = 48


@dataclass(frozen=True)
class TrainingPlan:
    """How to train. `minutes` is wall-clock time: a slower machine sees fewer scenes, not a longer run.

    The weights that are kept are averaged over about the last `averaged_steps`.
    """

    minutes: float
    folder: Path
    seed: int = 0
    threads: int = 1
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up_steps: int = 100
    averaged_steps: int = 300
    start_from: Path | None = None
    phases: tuple[Phase, ...] = (
        Phase(0.7, 224, batch=16, fresh=6, kept=5000, crowded=1.0),
        Phase(1.0, 224, batch=16, fresh=6, kept=5000, crowded=0.3, early_rests=True),
    )


class Examples(IterableDataset[Item]):
    """An endless stream of new training examples for a phase, from item `first` on."""

    def __init__(self, seed: int, first: int, phase: Phase) -> None:
        self.seed, self.first, self.phase = seed, first, phase

    def __iter__(self) -> Iterator[Item]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        side = self.phase.side
        props = PropRoom(load_stamps(), side=min(224, max(160, side)), kept=PROPS_KEPT)
        index = self.first
        while True:
            rng = stream(Purpose.TRAIN, self.seed, index)
            yield training_item(rng, props, side, crowded=rng.random() < self.phase.crowded)
            index += 1


def train(plan: TrainingPlan) -> Path:
    """Run the plan and return the path of the final checkpoint (averaged weights).

    Writes `log.jsonl` and, every few minutes, `checkpoint.pt` below `plan.folder`.

    Raises:
        StampsMissingError: the training material is not installed.
        ValueError: `plan.start_from` is of another network.
    """
    load_stamps()
    plan.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    network = Detector()
    if plan.start_from is not None:
        network.load_grown(torch.load(plan.start_from, weights_only=True)["network"])
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
        self.start, self.saved = time.monotonic(), time.monotonic()
        self.step, self.images, self.composed = 0, 0, 0
        self.rng = np.random.default_rng(plan.seed)

    def share(self) -> float:
        return (time.monotonic() - self.start) / (self.plan.minutes * 60)

    def through(self, phase: Phase) -> None:
        loader = DataLoader(
            Examples(self.plan.seed, self.composed, phase),
            phase.fresh,
            num_workers=1,
            prefetch_factor=8,
            multiprocessing_context="spawn",  # a forked worker would hang in OpenCV's threads
            collate_fn=list,
        )
        centres, strides = places(phase.side)
        self.network.train()
        self.network.rest_early(phase.early_rests)
        replay = Replay(phase.kept, phase.side)
        for fresh in loader:
            if self.share() >= phase.until:
                break
            self.composed += len(fresh)
            again = phase.batch - len(fresh)
            known, old = replay.draw(self.rng, again) if replay.filled >= 4 * again else (NONE, [])
            items = fresh + [retouched(self.rng, item) for item in old]
            losses = self._learn(items, centres, strides, phase.side)
            for item, loss in zip(fresh, losses, strict=False):
                replay.keep(item, float(loss))
            replay.judge(known, losses[len(fresh) :])
            if time.monotonic() - self.saved > 180:
                self.save()

    def _learn(self, items: list[Item], centres: torch.Tensor, strides: torch.Tensor, side: int) -> NDArray[np.float64]:
        """One step; returns each picture's loss."""
        warm = min(1.0, (self.step + 1) / self.plan.warm_up_steps)
        rate = self.plan.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, self.share()))))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        frames, boxes_wanted, labels = (torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True))
        pictures = frames.permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
        logits, boxes = self.network(pictures)
        losses = detection_loss(logits, boxes, Truth(boxes_wanted, labels), centres, strides)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.step += 1
        self.images += len(items)
        decay = min(1 - 1 / self.plan.averaged_steps, (1 + self.step) / (20 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
        if self.step % 25 == 0:
            entry = {
                "step": self.step,
                "images": self.images,
                "composed": self.composed,
                "side": side,
                "loss": round(float(losses.total.detach()), 4),
            }
            entry |= {k: round(v, 4) for k, v in losses.parts.items()} | {
                "seconds": round(time.monotonic() - self.start)
            }
            with (self.plan.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(entry) + "\n")
        each: NDArray[np.float64] = losses.each.double().numpy()
        return each

    def save(self) -> Path:
        """Write the averaged weights; a reader never sees half a file."""
        path = self.plan.folder / "checkpoint.pt"
        content = io.BytesIO()
        torch.save({"network": self.average, "images": self.images, "labels": list(PRODUCTS)}, content)
        write_files({path: content.getvalue()})
        self.saved = time.monotonic()
        return path
