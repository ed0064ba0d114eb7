"""The live animals' curve: how probable a label is, given what the looked-at frames of a clip say together.

A logistic curve over accumulated evidence (Platt 1999), fitted to photographs as a moving camera shows them. Each
photograph gives the evidence for the label that it shows, and the strongest for another; both kinds weigh the same in
all, so the probability is that of a world where half of what is shown is listed. Of what is photographed half serves to
fit the curve, and the other half to judge it. The probability that calls for REVIEW is chosen on both: few of the
photographs alarm at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wildgate_detector.labels import ANIMALS
from wildgate_detector.offline import Detector, best_scores
from wildgate_detector.photographs import LOOKS, Photograph, looks
from wildgate_detector.scenes import letterboxed
from wildgate_server.accumulation import accumulate, probability
from wildgate_server.persistence import ShownFrame
from wildgate_server.policy import Policy

APART_S: Final = 2.0
"""Looked-at frames of a short clip lie so far apart."""
BINS: Final = 5


@dataclass(frozen=True)
class Known:
    """A photograph, what it shows, and the evidence for each live animal."""

    name: str
    label: str | None
    evidence: Mapping[str, float]

    @property
    def strongest_other(self) -> float:
        """The strongest evidence for what is not shown."""
        return max(value for label, value in self.evidence.items() if label != self.label)


@dataclass(frozen=True)
class Evidence:
    """Evidence for the labels that were shown, and the strongest for another in each picture."""

    shown: NDArray[np.float64]
    other: NDArray[np.float64]

    @classmethod
    def of(cls, known: Iterable[Known]) -> "Evidence":
        """What photographs give."""
        each = tuple(known)
        shown = [one.evidence[one.label] for one in each if one.label]
        return cls(np.array(shown), np.array([one.strongest_other for one in each]))

    def fit(self) -> tuple[float, float]:
        """Bias and weight of the curve, by Newton's method on the weighted likelihood with a slight ridge."""
        x = np.concatenate((self.shown, self.other))
        y = np.concatenate((np.ones(len(self.shown)), np.zeros(len(self.other))))
        mass = np.where(y > 0, 0.5 / len(self.shown), 0.5 / len(self.other))
        design, curve = np.stack((np.ones_like(x), x), 1), np.zeros(2)
        for _ in range(50):
            likely = 1 / (1 + np.exp(-design @ curve))
            slope = design.T @ (mass * (likely - y)) + 1e-3 * curve
            bend = (design * (mass * likely * (1 - likely))[:, None]).T @ design + 1e-3 * np.eye(2)
            curve = curve - np.linalg.solve(bend, slope)
        return float(curve[0]), float(curve[1])

    def reliability(self, bias: float, weight: float) -> tuple[list[tuple[float, float]], float]:
        """For each bin of probability the mean probability and the share that was right, and the expected
        calibration error, in the same world of halves.
        """
        likely = np.array([probability(value, bias, weight) for value in (*self.shown, *self.other)])
        right = np.arange(len(likely)) < len(self.shown)
        mass = np.where(right, 0.5 / len(self.shown), 0.5 / len(self.other))
        which = np.minimum((likely * BINS).astype(int), BINS - 1)
        bins, error = [], 0.0
        for at in np.unique(which):
            inside, held = which == at, mass[which == at].sum()
            told, true = float((mass * likely)[inside].sum() / held), float((mass * right)[inside].sum() / held)
            bins.append((told, true))
            error += float(held) * abs(told - true)
        return bins, error


def gather(detector: Detector, policy: Policy, shown: Iterable[Photograph]) -> list[Known]:
    """Look at photographs as a moving camera shows them, with the policy's reference scores."""
    rng = np.random.default_rng(3)
    frames = [ShownFrame(APART_S * at) for at in range(LOOKS)]
    known = []
    for photograph in shown:
        squares = np.stack([letterboxed(look, detector.side)[0] for look in looks(rng, photograph.picture)])
        scores = best_scores(detector(squares))
        evidence = {}
        for label in ANIMALS:
            each = [best.get(label, 0.0) for best in scores]
            together = accumulate(frames, each, policy.labels[label].review.score, APART_S)
            evidence[label] = together.evidence if together else 0.0
        known.append(Known(photograph.name, photograph.label, evidence))
    return known


def halves(known: Iterable[Known]) -> tuple[list[Known], list[Known]]:
    """Half of what was photographed, by turns, and the other half; pictures of one thing stay together."""
    parts: tuple[list[Known], list[Known]] = ([], [])
    turns: dict[tuple[str, bool], int] = {}
    counts = [0, 0]
    for one in known:
        key = one.name, one.label is None
        if key not in turns:
            turns[key] = counts[one.label is None] % 2
            counts[one.label is None] += 1
        parts[turns[key]].append(one)
    return parts


def least_evidence(known: Iterable[Known], false_alarms: float) -> float:
    """The least evidence that at most a share `false_alarms` of the pictures without a label reaches."""
    alarms = sorted((one.strongest_other for one in known if one.label is None), reverse=True)
    allowed = int(false_alarms * len(alarms))
    return alarms[allowed] + 0.01 if allowed < len(alarms) else 0.0


def interval(found: int, of: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927)."""
    if of == 0:
        return 0.0, 1.0
    z, share = 1.96, found / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    reach = z / (1 + z * z / of) * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(middle - reach, 0.0), min(middle + reach, 1.0)
