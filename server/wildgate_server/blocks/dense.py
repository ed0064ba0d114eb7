"""A confirmed video looked at densely: what it, and what uploaders often make of it, is recognised by."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from time import monotonic
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from wildgate_server.blocks.fingerprint import (
    MIN_QUALITY,
    FrameFingerprint,
    VideoFingerprint,
    read_fingerprint,
    without_repeats,
)
from wildgate_server.blocks.keypoints import Picture, keypoints_of
from wildgate_server.blocks.original import Original, OriginalFrame
from wildgate_server.errors import CorruptVideo, RowRefused
from wildgate_server.media.letterbox import Letterbox
from wildgate_server.media.sampled_video import ClipWindow, SampledTrack, SampledVideo
from wildgate_server.sampling.sampling_config import SamplingConfig
from wildgate_server.triton.client import ClipRow

__all__ = ["ConfirmedVideo", "Fingerprinter", "dense_config", "look_densely", "with_usual_looks"]

_GAP_S = 0.25
_MOST_FRAMES = 720  # three minutes; what is longer is looked at less densely
_MOST_DECODED_FRAMES = 12_000
_CROPS = (0.0, 0.08, 0.16)
"""Shares of each side that an uploader may cut off; what lies between them is near one of them."""

Frames = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int32]


class Fingerprinter(Protocol):
    """What is asked of Triton: `TritonClient` does it."""

    async def pictures(self, decoder: str, rows: Sequence[ClipRow], timeout_s: float) -> tuple[Frames, Sizes]:
        """FRAMES and PICTURE_SIZE of the rows."""
        ...

    async def fingerprint(self, frames: Frames, picture_size: Sizes, timeout_s: float) -> tuple[Frames, Sizes]:
        """FINGERPRINT and FINGERPRINT_QUALITY."""
        ...


@dataclass(frozen=True, slots=True)
class ConfirmedVideo:
    """What is kept of it: fingerprints of its frames and, at the same times, of what is made of them; and keypoints.

    `pictures` are the displayed frames, each with its time in seconds.
    """

    fingerprint: VideoFingerprint
    original: Original
    pictures: tuple[tuple[float, Picture], ...] = ()


def dense_config(config: SamplingConfig) -> SamplingConfig:
    """How a confirmed video is sampled where others are sampled as `config` says."""
    return replace(
        config,
        max_gap_s=_GAP_S,
        max_frames=_MOST_FRAMES,
        max_decoded_frames=_MOST_DECODED_FRAMES,
        random_share=0.0,
    )


def with_usual_looks(dense: SampledVideo, usual: SampledVideo) -> SampledVideo:
    """A densely sampled video with those frames, too, that are looked at of any upload.

    The first is among these, which dense looks need not have, and with which copies begin.
    """
    windows = {track.number: track.windows for track in usual.tracks}
    tracks = (replace(track, windows=windows.get(track.number, ()) + track.windows) for track in dense.tracks)
    return replace(dense, tracks=tuple(tracks))


async def look_densely(video: SampledVideo, triton: Fingerprinter, decoder: str, deadline: float) -> ConfirmedVideo:
    """Has every window of a video, sampled as it is to be, decoded by the model `decoder` and fingerprinted.

    Plain frames are left out: of a video that has no others, no fingerprint is left. Raises CorruptVideo where no frame
    can be decoded, BackendUnavailable, DeadlineExceeded; `deadline` is monotonic seconds.
    """
    seen: list[_SeenFrame] = []
    for track in video.tracks:
        for window in track.windows:
            seen += await _look(track, window, triton, decoder, deadline)
    if not seen:
        raise CorruptVideo("no frame can be decoded", field="source")
    duration_s = max(track.last_s - track.first_s for track in video.tracks)
    return await asyncio.to_thread(_kept, seen, duration_s)


def _kept(seen: Sequence[_SeenFrame], duration_s: float) -> ConfirmedVideo:
    by_frame = {(frame.track, frame.time_s): frame for frame in seen if frame.fingerprints[0].quality >= MIN_QUALITY}
    kept = [
        by_frame[one.track, one.time_s] for one in without_repeats(frame.fingerprints[0] for frame in by_frame.values())
    ]
    return ConfirmedVideo(
        VideoFingerprint(tuple(one for frame in kept for one in frame.fingerprints), duration_s),
        Original.of(OriginalFrame(frame.track, frame.time_s, keypoints_of(frame.picture)) for frame in kept),
        tuple((frame.time_s, frame.picture) for frame in kept),
    )


@dataclass(frozen=True, slots=True)
class _SeenFrame:
    """The displayed picture, and fingerprints of it and of what is made of it, its own first."""

    track: int
    time_s: float
    picture: Picture
    fingerprints: tuple[FrameFingerprint, ...]


async def _look(
    track: SampledTrack, window: ClipWindow, triton: Fingerprinter, decoder: str, deadline: float
) -> list[_SeenFrame]:
    """The frames of one window that can be decoded."""
    row = ClipRow(window.clip, window.frame_index, track.display)
    try:
        frames, sizes = await triton.pictures(decoder, [row], max(deadline - monotonic(), 0.001))
    except RowRefused:
        return []
    side = frames.shape[2]
    there = [place for place in range(len(window.times_s)) if sizes[0, place].all()]
    boxes = {place: Letterbox.of(int(sizes[0, place, 0]), int(sizes[0, place, 1]), side) for place in there}
    found: dict[int, list[FrameFingerprint]] = {place: [] for place in there}
    for mirrored, crop in product((False, True), _CROPS):
        made = await asyncio.to_thread(_made, frames, boxes, mirrored, crop)
        hashes, quality = await triton.fingerprint(made, sizes, max(deadline - monotonic(), 0.001))
        for place in there:
            found[place].append(
                read_fingerprint(hashes[0, place], quality[0, place], window.times_s[place], track.number)
            )
    return [
        _SeenFrame(track.number, window.times_s[place], boxes[place].crop(frames[0, place]), tuple(found[place]))
        for place in there
    ]


def _made(frames: Frames, boxes: Mapping[int, Letterbox], mirrored: bool, crop: float) -> Frames:
    made = frames.copy()
    for place, box in boxes.items():
        box.crop(made[0, place])[:] = _changed(box.crop(frames[0, place]), mirrored, crop)
    return made


def _changed(picture: Picture, mirrored: bool, crop: float) -> Picture:
    """The picture mirrored, or less its edges and as large as before."""
    height, width = picture.shape[:2]
    top, left = round(height * crop / 2), round(width * crop / 2)
    inner = picture[top : height - top, left : width - left]
    turned = np.ascontiguousarray(inner[:, ::-1] if mirrored else inner)
    return cv2.resize(turned, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
