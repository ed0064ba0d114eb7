"""Evidence frames with the detections drawn on them, as JPEG files for people to look at."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
from pathlib import Path, PurePath

from PIL import Image, ImageDraw, ImageFont

from wildgate_client import Action, Detection, EvidenceFrame, StreamResult, Verdict

__all__ = ["Annotator", "annotated_frame", "without_evidence"]

ACTION_COLOURS = {
    Action.BLOCK: (230, 30, 30),
    Action.REVIEW: (240, 160, 0),
    Action.ALLOW: (0, 170, 90),
    Action.UNSPECIFIED: (200, 0, 200),
}
# A label that calls for no action is drawn in grey, and only if the detector was fairly sure.
OTHER_COLOUR = (150, 150, 150)
OTHER_MIN_SCORE = 0.3
# Detections far below their label's best are left out: mostly second guesses at the same object.
LABEL_MIN_SHARE = 0.6
# A frame's detections carry its time; they differ by rounding only.
SAME_FRAME_S = 1e-3
JPEG_QUALITY = 90


def annotated_frame(frame: EvidenceFrame, verdict: Verdict) -> bytes:
    """The frame as JPEG, with box, label and score of its likely detections in the colour of the label's action."""
    labels = {label.label: label for label in verdict.labels}
    with Image.open(io.BytesIO(frame.jpeg)) as picture:
        image = picture.convert("RGB")
    # About 1/240 of the picture, so that lines and text stay readable at any size.
    line_px = max(2, round(min(image.size) / 240))
    font = ImageFont.load_default(size=max(12.0, min(image.size) / 32))
    draw = ImageDraw.Draw(image)
    # The likeliest last, so that it is drawn on top.
    for detection in sorted(verdict.detections, key=lambda detection: detection.score):
        label = labels.get(detection.label)
        min_score = OTHER_MIN_SCORE if label is None else label.score * LABEL_MIN_SHARE
        if abs(detection.time_s - frame.time_s) > SAME_FRAME_S or detection.score < min_score:
            continue
        colour = OTHER_COLOUR if label is None else ACTION_COLOURS[label.action]
        _draw_detection(draw, image.size, detection, colour, line_px, font)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


class Annotator:
    """Writes evidence frames into a directory, which it creates if need be, as `<video>-<seconds>s.jpg`.

    `paths` are the files written so far. Videos of the same name from different folders get `-2`, `-3` ... appended.
    Raises `OSError` if the directory cannot be created or written to.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._taken: set[str] = set()
        self.paths: list[Path] = []

    def write(self, result: StreamResult) -> None:
        """Writes the result's evidence frames; a video that was not scored has none."""
        if result.verdict is None or not result.verdict.evidence:
            return
        name = self._free_name(PurePath(result.video_id).stem or "video")
        for frame in result.verdict.evidence:
            path = self._directory / f"{name}-{frame.time_s:07.3f}s.jpg"
            path.write_bytes(annotated_frame(frame, result.verdict))
            self.paths.append(path)

    def _free_name(self, stem: str) -> str:
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        name = next(name for name in names if name not in self._taken)
        self._taken.add(name)
        return name


def without_evidence(result: StreamResult) -> StreamResult:
    """The result without its JPEGs, so that many can be kept."""
    if result.verdict is None:
        return result
    return dataclasses.replace(result, verdict=dataclasses.replace(result.verdict, evidence=()))


def _draw_detection(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    detection: Detection,
    colour: tuple[int, int, int],
    line_px: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    width, height = size
    box = detection.box
    left, right = sorted(_pixel(x, width) for x in (box.x1, box.x2))
    top, bottom = sorted(_pixel(y, height) for y in (box.y1, box.y2))
    draw.rectangle((left, top, right, bottom), outline=colour, width=line_px)

    text = f"{detection.label} {detection.score:.2f}"
    text_left, text_top, text_right, text_bottom = draw.textbbox((0, 0), text, font=font)
    text_width, text_height = math.ceil(text_right - text_left), math.ceil(text_bottom - text_top)
    # Above the box if there is room, otherwise inside it; never past the right edge.
    x = max(0, min(left, width - text_width - 2 * line_px))
    y = top - text_height - 2 * line_px
    if y < 0:
        y = top
    draw.rectangle((x, y, x + text_width + 2 * line_px, y + text_height + 2 * line_px), fill=colour)
    draw.text((x + line_px - text_left, y + line_px - text_top), text, fill=(255, 255, 255), font=font)


def _pixel(fraction: float, size: int) -> int:
    return round(min(max(fraction, 0.0), 1.0) * (size - 1))
