"""What the index of a media file tells: its coded frames, or that it cannot be relied on."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Sample", "UnfitIndex"]


class Sample(NamedTuple):
    """One coded frame of the video stream; its place in the list of samples is its place in decode order.

    `time_s` is its presentation time in seconds; `displayed` is false where an edit list cuts the frame away (it may
    still be needed to decode others). A tuple: a video has thousands.
    """

    time_s: float
    is_keyframe: bool
    displayed: bool = True
    size_bytes: int = 0


class UnfitIndex(Exception):
    """The index of a file cannot be relied on, or does not suffice: it is to be read whole. Never reaches a caller."""
