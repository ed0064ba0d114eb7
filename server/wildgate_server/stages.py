"""The stages of a video's way: one name each, in answers, metrics and reports."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Stage", "Timings"]


class Stage(StrEnum):
    """A stage of a video's way. An answer has those that it went through; all but TOTAL add up to about TOTAL.

    Windows of a video go in parallel.
    """

    CACHE = "cache"
    """Digest of the content, and looking for a verdict on it."""
    SHARED = "shared"
    """Waiting for the verdict on an equal video that another request asked for; no later stage comes with it."""
    READ = "read"
    """Reading the file; nothing for content given as bytes."""
    SAMPLE = "sample"
    """Index, choice of frames, copying of packets, in the worker."""
    HANDOVER = "handover"
    """Waiting for a sampling worker, and moving the video there and the clips back."""
    QUEUE = "queue"
    """Waiting for a turn to be looked at, and for a batch; the longest of the windows."""
    DECODE = "decode"
    """Triton: decoding, of the window that Triton took longest for."""
    DETECT = "detect"
    """All else that Triton did with that window: it waited there, things were seen in it, its fingerprint was made."""
    INFER = "infer"
    """In place of these two, where the decoder does not say how long it took: both together."""
    SECOND_LOOK = "second_look"
    """Sampling and looking once more: at other frames where pictures were not sound, or around what was seen."""
    POLICY = "policy"
    """Detections to verdict."""
    BLOCKS = "blocks"
    """Looking for it on the list of blocks, comparing pictures included."""
    EVIDENCE = "evidence"
    """Evidence frames, where asked for, and for a case."""
    CASE = "case"
    """Opening a case, or keeping it on disk until one can be opened."""
    TOTAL = "total"
    """From the place at the door to the verdict, and its case."""


Timings = dict[Stage, float]  # milliseconds
