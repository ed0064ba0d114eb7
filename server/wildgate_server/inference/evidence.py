"""Evidence frames: the looked-at frames that count most, as JPEG.

They come from Triton's decoder, so that a reviewer sees what the detector saw and the gateway decodes nothing.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from wildgate_server.inference.detections import Detection
from wildgate_server.inference.observation import Observation
from wildgate_server.triton.client import ClipRow

__all__ = ["EvidenceFrame", "Frames", "evidence_frames"]

_JPEG_QUALITY = 90

Frames = Callable[[str, Sequence[ClipRow], float], Awaitable[npt.NDArray[np.uint8]]]


@dataclass(frozen=True, slots=True)
class EvidenceFrame:
    """The displayed frame at `time_s`, at the detector's resolution, as JPEG."""

    time_s: float
    jpeg: bytes


async def evidence_frames(
    frames: Frames, seen: Observation, max_frames: int, deadline: float
) -> tuple[EvidenceFrame, ...]:
    """The `max_frames` frames with the highest scores, in time order; fewer when fewer show anything.

    `frames(decoder, rows, timeout_s)` returns UINT8 RGB [len(rows), F, S, S, 3], letterboxed, from the model `decoder`.
    Raises what that raises.
    """
    wanted = _best_times(seen.detections, max_frames)
    evidence: dict[tuple[int, float], EvidenceFrame] = {}
    for shown, seen_window in ((track, window) for track in seen.tracks for window in track.windows):
        window = seen_window.window
        number = shown.track.number
        places = [at for at, time_s in enumerate(window.times_s) if (number, time_s) in wanted - {*evidence}]
        if not places:
            continue
        row = ClipRow(window.clip, window.frame_index, shown.track.display)
        [decoded] = await frames(seen.decoder, [row], max(deadline - monotonic(), 0.001))
        for at in places:
            if letterbox := seen_window.letterboxes[at]:
                jpeg = await asyncio.to_thread(_jpeg, letterbox.crop(decoded[at]))
                evidence[number, window.times_s[at]] = EvidenceFrame(window.times_s[at], jpeg)
    # A second look has windows of its own, at times between those of the first.
    return tuple(sorted(evidence.values(), key=attrgetter("time_s")))


def _best_times(detections: Sequence[Detection], count: int) -> set[tuple[int, float]]:
    best: dict[tuple[int, float], float] = {}
    for found in detections:
        shown = (found.track, found.time_s)
        best[shown] = max(found.score, best.get(shown, 0.0))
    return set(sorted(best, key=lambda shown: (-best[shown], shown))[:count])


def _jpeg(frame: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
