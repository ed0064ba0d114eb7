"""A coded frame as the index of a media file knows it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Sample"]


class Sample(NamedTuple):
    """One coded frame of the video stream; its place in the list of samples is its place in decode order.

    `time_s` is its presentation time in seconds; `displayed` is false where an edit list cuts the frame away (it may
    still be needed to decode others). A tuple: a video has thousands.
    """

    time_s: float
    is_keyframe: bool
    displayed: bool = True
    size_bytes: int = 0
