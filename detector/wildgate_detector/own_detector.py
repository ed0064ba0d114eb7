"""How good a head for a team's own labels is, by the pictures held out: figures, thresholds, a model card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from wildgate_build.durable_files import write_files
from wildgate_build.standard_file import StandardFile
from wildgate_detector.curve import interval
from wildgate_detector.frame_quality import AveragePrecision, KnownFrame
from wildgate_detector.layers import Seen
from wildgate_detector.offline import Detector, best_scores
from wildgate_detector.own_pictures import Marked, OwnPictures, OwnPicturesError, read_picture
from wildgate_detector.scenes import letterboxed

THRESHOLDS: Final = np.round(np.arange(0.20, 0.96, 0.01), 2)


@dataclass(frozen=True)
class LabelFigures:
    """One label over the held-out pictures, at the `threshold` that lets `alarms` of the `others` alarm."""

    label: str
    precision: float
    threshold: float
    found: int
    shown: int
    alarms: int
    others: int


def judge(model: Path, own: OwnPictures, false_alarms: float) -> list[LabelFigures]:
    """What the standard graph `model` makes of the held-out pictures, label by label.

    A label's threshold is the lowest at which at most a share `false_alarms` of the pictures without it alarm.

    Raises:
        OwnPicturesError: the graph has not these labels, or a picture cannot be read.
    """
    labels = StandardFile.read(model).properties.labels
    if missing := set(own.labels) - set(labels):
        raise OwnPicturesError(f"{model}: was not trained on {', '.join(sorted(missing))}")
    detector = Detector(model)
    precision = AveragePrecision(labels)
    best = []
    for one in own.held_out:
        frame = _known(one, detector.side)
        rows = detector(frame.square[None])
        precision.add(frame, rows[0])
        best += best_scores(rows, labels)
    by_label = precision.by_label()
    figures = []
    for label in own.labels:
        has = np.array([any(label == name for name, _ in one.objects) for one in own.held_out])
        scores = np.array([each.get(label, 0.0) for each in best])
        quiet = scores[~has]
        fits = [at for at in THRESHOLDS if (quiet >= at).sum() <= false_alarms * len(quiet)]
        threshold = float(fits[0] if fits else THRESHOLDS[-1])
        counts = (int((part >= threshold).sum()) for part in (scores[has], quiet))
        found, alarms = counts
        figures.append(LabelFigures(label, by_label[label], threshold, found, int(has.sum()), alarms, len(quiet)))
    return figures


def model_card(model: Path, own: OwnPictures, figures: list[LabelFigures]) -> str:
    """What was trained on how many pictures, and how good it is, in Markdown."""
    properties = StandardFile.read(model).properties
    rows = [
        f"| {one.label} | {one.precision:.2f} | {one.threshold:.2f} | {one.found} of {one.shown} "
        f"({_between(one.found, one.shown)}) | {one.alarms} of {one.others} ({_between(one.alarms, one.others)}) |"
        for one in figures
    ]
    return f"""# A detector for {", ".join(own.labels)}

The head was trained on {len(own.trained)} pictures and judged by {len(own.held_out)} others, which it has not seen;
the two networks under it, one with ImageNet's weights and one that knows composed pictures of products, were not
trained. The live animals are those of the reference detector
(docs/model-card.md); the pictures say nothing about them. These figures are of {properties.precision.upper()}, frame by
frame.

| label | AP50 | threshold | found at it (95 %) | pictures without it that alarm (95 %) |
|---|---|---|---|---|
{chr(10).join(rows)}

The thresholds were chosen on the pictures that they are judged by: judge them on others before trusting them. Pictures
that resemble each other, such as frames of one video, make figures better than they are.
"""


def policy_rules(figures: list[LabelFigures]) -> str:
    """Rules for the labels, to be completed and put into the policy file, in YAML."""
    rules = [
        f"  {one.label}:\n    group: product\n    taxon: to be named\n    cites_appendix: ''\n"
        f"    review: {{score: {one.threshold:.2f}, seconds: 0.4}}\n"
        for one in figures
    ]
    return "labels:\n" + "".join(rules)


def write_account(model: Path, own: OwnPictures, figures: list[LabelFigures], folder: Path) -> tuple[Path, Path]:
    """Write the model card and the rules into `folder`; where they lie."""
    folder.mkdir(parents=True, exist_ok=True)
    card, rules = folder / "model-card.md", folder / "policy-labels.yaml"
    write_files({card: model_card(model, own, figures).encode(), rules: policy_rules(figures).encode()})
    return card, rules


def _known(one: Marked, side: int) -> KnownFrame:
    picture = read_picture(one.path)
    square, scale, left, top = letterboxed(picture, side)
    whole = (0.0, 0.0, float(picture.shape[1]), float(picture.shape[0]))
    objects = [(label, box or whole, 1.0) for label, box in one.objects]
    objects += [(label, box, 0.0) for box in one.unsure for label in {label for label, _ in one.objects}]
    seen = (
        Seen(label, (x1 * scale + left, y1 * scale + top, x2 * scale + left, y2 * scale + top), visible)
        for label, (x1, y1, x2, y2), visible in objects
    )
    return KnownFrame(square, tuple(seen))


def _between(count: int, of: int) -> str:
    low, high = interval(count, of)
    return f"{low:.2f} to {high:.2f}"
