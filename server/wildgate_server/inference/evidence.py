"""Evidence frames: the looked-at frames that count most, as JPEG.

They come from Triton's decoder, so that a reviewer sees what the detector saw and the gateway decodes nothing.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from time import monotonic

import numpy as np
import numpy.typing as npt
from PIL import Image

from wildgate_server.blocks.keypoints import Picture
from wildgate_server.inference.detections import Detection
from wildgate_server.inference.observation import Observation, SeenTrack
from wildgate_server.triton.client import ClipRow

__all__ = ["EvidenceFrame", "Frames", "as_evidence", "evidence_frames", "jpeg_of", "pictures_of", "strongest"]

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
    wanted = strongest(seen.detections, max_frames)
    return await as_evidence(await pictures_of(frames, seen.decoder, seen.tracks, wanted, deadline))


async def as_evidence(pictures: Mapping[tuple[int, float], Picture]) -> tuple[EvidenceFrame, ...]:
    """The pictures, each of a track's number and a time, in time order."""
    evidence = [
        EvidenceFrame(time_s, await asyncio.to_thread(jpeg_of, picture)) for (_, time_s), picture in pictures.items()
    ]
    # A second look has windows of its own, at times between those of the first.
    return tuple(sorted(evidence, key=attrgetter("time_s")))


async def pictures_of(
    frames: Frames, decoder: str, tracks: Sequence[SeenTrack], wanted: Collection[tuple[int, float]], deadline: float
) -> dict[tuple[int, float], Picture]:
    """Those of the `wanted` looked-at frames, each a track's number and a time, that are sound: without letterbox.

    `frames` is as in `evidence_frames`; raises what that raises.
    """
    pictures: dict[tuple[int, float], Picture] = {}
    for shown, seen_window in ((track, window) for track in tracks for window in track.windows):
        window = seen_window.window
        number = shown.track.number
        places = [at for at, time_s in enumerate(window.times_s) if (number, time_s) in {*wanted} - {*pictures}]
        if not places:
            continue
        row = ClipRow(window.clip, window.frame_index, shown.track.display)
        [decoded] = await frames(decoder, [row], deadline - monotonic())
        for at in places:
            if letterbox := seen_window.letterboxes[at]:
                pictures[number, window.times_s[at]] = letterbox.crop(decoded[at])
    return pictures


def strongest(detections: Iterable[Detection], count: int) -> list[tuple[int, float]]:
    """The `count` looked-at frames with the highest scores, best first, each a track's number and a time."""
    best: dict[tuple[int, float], float] = {}
    for found in detections:
        shown = (found.track, found.time_s)
        best[shown] = max(found.score, best.get(shown, 0.0))
    return sorted(best, key=lambda shown: (-best[shown], shown))[:count]


def jpeg_of(frame: Picture) -> bytes:
    """The picture as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
