"""Choosing each label's threshold: as many finds as possible for a fixed share of false alarms in all.

It uses frames of a random stream of its own, so the evaluation says how well the choice carries over.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wildgate_build.reference.clips import LABEL_SIZES, NEGATIVE_SIZES, UNOBSTRUCTED
from wildgate_build.reference.labels import LABELS
from wildgate_build.reference.offline import Detector, best_scores
from wildgate_build.reference.props import PropRoom
from wildgate_build.reference.scenes import (
    Scene,
    any_camera,
    any_caption,
    letterboxed,
    place_label,
    place_negative,
    spread,
)
from wildgate_build.reference.seeds import Purpose, stream
from wildgate_build.reference.surfaces import background

FRAME_SHAPES = ((180, 320), (320, 180), (240, 320), (320, 320), (320, 240))
CANDIDATES = np.round(np.arange(0.30, 0.71, 0.01), 2)
"""Thresholds among which to choose."""


@dataclass
class Evidence:
    """A label's best scores in frames that show it clearly, and in frames that do not show it at all."""

    shown: list[float] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)


def collect(detector: Detector, props: PropRoom, frames: int, seed: int) -> dict[str, Evidence]:
    """Compose `frames` frames as clips have them, every other one without a label, and note the scores."""
    evidence = {label: Evidence() for label in LABELS}
    for index in range(frames):
        rng = stream(Purpose.CALIBRATE, seed, index)
        height, width = FRAME_SHAPES[index % len(FRAME_SHAPES)]
        count = rng.integers(0, 3) if index % 2 else rng.integers(1, 4)
        layers = [place_negative(rng, props, NEGATIVE_SIZES) for _ in range(count)]
        if index % 2:
            label = LABELS[(index // 2) % len(LABELS)]
            layers.append(place_label(rng, props, label, LABEL_SIZES))
        layers = spread(rng, layers, height, width)
        backdrop = background(rng, height, width, props.stamps.distractors)
        scene = Scene(backdrop, layers, any_camera(rng), any_caption(rng), height, width)
        picture, seen = scene.draw(0.0, rng)
        (scores,) = best_scores(detector(letterboxed(picture, detector.side)[0][None]))
        clear = {item.label for item in seen if item.visible >= UNOBSTRUCTED}
        hinted = {item.label for item in seen}
        for label, known in evidence.items():
            if label in clear:
                known.shown.append(scores.get(label, 0.0))
            elif label not in hinted:
                known.absent.append(scores.get(label, 0.0))
    return evidence


def choose(evidence: dict[str, Evidence], false_alarms: float) -> dict[str, float]:
    """The thresholds with the best mean recall whose false-alarm rates sum to at most `false_alarms`.

    All labels pay the same price for a false alarm (a Lagrange multiplier, found by bisection).
    """
    recalls = {label: _share_at_least(known.shown) for label, known in evidence.items()}
    alarms = {label: _share_at_least(known.absent) for label, known in evidence.items()}
    low, high = 0.0, 1000.0
    for _ in range(40):
        price = (low + high) / 2
        chosen = {label: int(np.argmax(recalls[label] - price * alarms[label])) for label in evidence}
        if sum(alarms[label][at] for label, at in chosen.items()) > false_alarms:
            low = price
        else:
            high = price
    chosen = {label: int(np.argmax(recalls[label] - high * alarms[label])) for label in evidence}
    return {label: float(CANDIDATES[at]) for label, at in chosen.items()}


def _share_at_least(scores: list[float]) -> NDArray[np.float64]:
    """For each candidate threshold the share of scores that reach it."""
    values = np.array(scores or [0.0])
    return np.array([float((values >= threshold).mean()) for threshold in CANDIDATES])
