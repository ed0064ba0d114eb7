"""Training the head on cached features: a few epochs, each a pass over all pictures."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from wildgate_detector.features import Features
from wildgate_detector.head import ProductHead, places
from wildgate_detector.loss import Truth, detection_loss

LOGGED_EVERY: Final = 25


@dataclass(frozen=True)
class TrainingPlan:
    """How to train. The weights kept are averaged over about the last `averaged_steps`; in short runs over fewer."""

    epochs: int
    seed: int = 0
    threads: int = 2
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up_steps: int = 100
    averaged_steps: int = 300


def train(plan: TrainingPlan, features: Features, labels: Sequence[str], log: Path, *, side: int) -> ProductHead:
    """Train a new head for `labels` on `features` of frames of `side`; return it with its averaged weights."""
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    head = ProductHead(labels).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = ProductHead(labels)
    averaged.load_state_dict(head.state_dict())
    decayed = [p for p in head.parameters() if p.ndim > 1]
    others = [p for p in head.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": plan.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate)
    centres, strides = places(side)
    rng, start, step = np.random.default_rng(plan.seed), time.monotonic(), 0
    steps = plan.epochs * math.ceil(len(features) / plan.batch)
    warm_up, averaged_steps = min(plan.warm_up_steps, steps // 10 + 1), min(plan.averaged_steps, steps // 5 + 1)
    with log.open("w") as lines:
        for _ in range(plan.epochs):
            order = rng.permutation(len(features))
            head.train()
            for first in range(0, len(order), plan.batch):
                seen, boxes, named = features.batch(np.sort(order[first : first + plan.batch]))
                rate = min(1.0, (step + 1) / warm_up) * (0.01 + 0.495 * (1 + math.cos(math.pi * step / steps)))
                for group in optimizer.param_groups:
                    group["lr"] = plan.learning_rate * rate
                logits, found = head(seen)
                losses = detection_loss(logits, found, Truth(boxes, named), centres, strides)
                optimizer.zero_grad(set_to_none=True)
                losses.total.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(head.parameters(), 10.0)
                optimizer.step()
                step += 1
                _follow(averaged, head, min(1 - 1 / averaged_steps, (1 + step) / (20 + step)))
                if step % LOGGED_EVERY == 0:
                    entry = {"step": step, "of": steps, "loss": round(float(losses.total.detach()), 4)}
                    entry |= {name: round(value, 4) for name, value in losses.parts.items()}
                    lines.write(json.dumps(entry | {"seconds": round(time.monotonic() - start)}) + "\n")
                    lines.flush()
    return averaged.eval()


def _follow(averaged: ProductHead, head: ProductHead, decay: float) -> None:
    with torch.no_grad():
        for mine, theirs in zip(averaged.state_dict().values(), head.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)
