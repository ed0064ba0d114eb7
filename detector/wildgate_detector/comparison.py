"""Two standard graphs on the same frames and clips: what a change of precision, or of weights, costs.

Both run in ONNX Runtime in this process, judged by the same policy, so that nothing but the graphs differs.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from wildgate_detector.evaluate import Tally
from wildgate_detector.filming import LabelledClip
from wildgate_detector.frame_quality import AveragePrecision, KnownFrame, mean_precision
from wildgate_detector.labels import PRODUCTS
from wildgate_detector.offline import Detector, OfflineScorer
from wildgate_server.policy import Policy


@dataclass(frozen=True)
class Quality:
    """What one graph achieves: average precision by label, and what it found in clips."""

    precision: dict[str, float]
    tally: Tally

    @property
    def map50(self) -> float:
        """Mean average precision of products at IoU 0.5."""
        return mean_precision({label: self.precision[label] for label in PRODUCTS})


def qualities(
    detectors: list[Detector], policy: Policy, frames: Iterable[KnownFrame], clips: Iterable[LabelledClip]
) -> list[Quality]:
    """Measure every detector on all `frames` and clips, each of which is made once."""
    precisions = [AveragePrecision() for _ in detectors]
    for frame in frames:
        for detector, precision in zip(detectors, precisions, strict=True):
            precision.add(frame, detector(frame.square[None])[0])
    scorers = [OfflineScorer(detector, policy) for detector in detectors]
    tallies = [Tally() for _ in detectors]
    for clip in clips:
        for scorer, tally in zip(scorers, tallies, strict=True):
            tally.add(clip, scorer(clip.path))
    return [Quality(p.by_label(), tally) for p, tally in zip(precisions, tallies, strict=True)]
