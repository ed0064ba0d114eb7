"""Choosing each label's threshold: as many finds as possible for a fixed share of harmless clips that alarm.

It scores clips, for that is what a verdict is about, each by its best looked-at frame: what is seen in one is looked at
again close by, where it mostly looks the same. The clips come from a random stream of their own, so the evaluation says
how well the choice carries over. They hold only the frames that are looked at, each a keyframe.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wildgate_detector.filming import LabelledClip
from wildgate_detector.labels import PRODUCTS
from wildgate_detector.offline import Detector, look

CANDIDATES: Final = np.round(np.arange(0.20, 0.96, 0.01), 2)
"""Thresholds among which to choose."""
LEAST_PRICE: Final = 1e-3
DEAREST_PRICE: Final = 1e4
"""What a false-alarm rate of 1 costs, in recall: never nothing, so that alarms which win no find are left out."""


@dataclass
class Evidence:
    """A label's scores, one for each clip: of those that show it, and of those that show no label at all."""

    shown: list[float] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)


def collect(detector: Detector, clips: Iterable[LabelledClip]) -> dict[str, Evidence]:
    """Look at the clips of `clips` and note the scores; each clip is deleted once it is looked at."""
    evidence = {label: Evidence() for label in PRODUCTS}
    for clip in clips:
        _, scores = look(detector, clip.path, gap_s=0.0)
        clip.path.unlink()
        for label, known in evidence.items():
            score = max(best.get(label, 0.0) for best in scores)
            if label in clip.labels:
                known.shown.append(score)
            elif not clip.labels:
                known.absent.append(score)
    return evidence


def choose(evidence: Mapping[str, Evidence], false_alarms: float, least_recall: float = 0.0) -> dict[str, float]:
    """The thresholds with the best mean recall whose false-alarm rates sum to at most `false_alarms`.

    All labels pay the same price for a false alarm (a Lagrange multiplier, found by bisection). Among thresholds
    that are equally good the middle one is taken. No label is given up for the others: none gets a threshold that
    finds less than `least_recall` of its clips, even if the false alarms then sum to more.
    """

    def worth(label: str, price: float) -> NDArray[np.float64]:
        found = recalls[label]
        return np.where(found >= min(least_recall, found.max()), found - price * alarms[label], -np.inf)

    recalls = {label: _share_at_least(known.shown) for label, known in evidence.items()}
    alarms = {label: _share_at_least(known.absent) for label, known in evidence.items()}
    low, high = LEAST_PRICE, DEAREST_PRICE
    for _ in range(60):
        price = (low + high) / 2
        chosen = {label: _middle_of_best(worth(label, price)) for label in evidence}
        if sum(alarms[label][at] for label, at in chosen.items()) > false_alarms:
            low = price
        else:
            high = price
    chosen = {label: _middle_of_best(worth(label, high)) for label in evidence}
    return {label: float(CANDIDATES[at]) for label, at in chosen.items()}


def _middle_of_best(worth: NDArray[np.float64]) -> int:
    best = np.flatnonzero(worth >= worth.max() - 1e-12)
    first = int(best[0])
    last = first
    while last + 1 < worth.size and worth[last + 1] >= worth.max() - 1e-12:
        last += 1
    return (first + last) // 2


def _share_at_least(scores: Sequence[float]) -> NDArray[np.float64]:
    """For each candidate threshold the share of scores that reach it."""
    values = np.array(scores or [0.0])
    return np.array([float((values >= threshold).mean()) for threshold in CANDIDATES])
