"""What is kept of a confirmed video to recognise parts of it by: keypoints of some of its frames, as versioned bytes.

The bytes come back from a disk or from another platform: what does not fit is refused, and nothing in them is code.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wildgate_server.blocks.keypoints import DESCRIPTOR_BYTES, Keypoints

__all__ = ["MAX_ORIGINAL_BYTES", "MAX_ORIGINAL_FRAMES", "BrokenOriginal", "Original", "OriginalFrame"]

MAX_ORIGINAL_FRAMES = 48
MAX_ORIGINAL_BYTES = 512 << 10
"""More than 48 frames of 256 keypoints take, which are 0.45 MB."""

_VERSION = 1
_HEAD = struct.Struct("<4sHH")  # "wgkp", version, frames
_MAGIC = b"wgkp"
_FRAME = np.dtype([("track", "<i4"), ("count", "<u2"), ("time_s", "<f8")])
_KEYPOINT = np.dtype([("point", "<f4", 2), ("descriptor", "u1", DESCRIPTOR_BYTES)])


class BrokenOriginal(ValueError):
    """The bytes are no original, or of a version that is not known here; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class OriginalFrame:
    """The keypoints of the frame at `time_s` of a video track."""

    track: int
    time_s: float
    keypoints: Keypoints


@dataclass(frozen=True, slots=True)
class Original:
    """Frames of a confirmed video, by track and time."""

    frames: tuple[OriginalFrame, ...]

    @classmethod
    def of(cls, frames: Iterable[OriginalFrame]) -> Original:
        """Of those with the most frames that may be kept, evenly, of those that show anything."""
        shown = [frame for frame in frames if len(frame.keypoints)]
        most = min(len(shown), MAX_ORIGINAL_FRAMES)
        return cls(tuple(shown[at * len(shown) // most] for at in range(most)))

    def encode(self) -> bytes:
        """At most MAX_ORIGINAL_BYTES."""
        heads = np.array([(frame.track, len(frame.keypoints), frame.time_s) for frame in self.frames], _FRAME)
        parts = [_HEAD.pack(_MAGIC, _VERSION, len(self.frames)), heads.tobytes()]
        for frame in self.frames:
            keypoints = np.zeros(len(frame.keypoints), _KEYPOINT)
            keypoints["point"], keypoints["descriptor"] = frame.keypoints.points, frame.keypoints.descriptors
            parts.append(keypoints.tobytes())
        return b"".join(parts)

    @classmethod
    def decode(cls, content: bytes) -> Original:
        """What `encode` made. Raises BrokenOriginal."""
        if len(content) > MAX_ORIGINAL_BYTES:
            raise BrokenOriginal(f"{len(content)} bytes are more than {MAX_ORIGINAL_BYTES}")
        try:
            magic, version, count = _HEAD.unpack_from(content)
            heads = np.frombuffer(content, _FRAME, count, _HEAD.size)
            keypoints = np.frombuffer(content, _KEYPOINT, offset=_HEAD.size + heads.nbytes)
        except (struct.error, ValueError) as error:
            raise BrokenOriginal(f"it is cut short, or no original: {error}") from None
        if magic != _MAGIC or version != _VERSION:
            raise BrokenOriginal(f"it is {magic!r} of version {version}, not {_MAGIC!r} of version {_VERSION}")
        if int(heads["count"].sum()) != len(keypoints):
            raise BrokenOriginal(f"it has {len(keypoints)} keypoints and says {int(heads['count'].sum())}")
        if not (np.isfinite(heads["time_s"]).all() and np.isfinite(keypoints["point"]).all()):
            raise BrokenOriginal("it has times or places that are no numbers")
        parts = np.split(keypoints, np.cumsum(heads["count"])[:-1]) if count else []
        frames = (
            OriginalFrame(int(head["track"]), float(head["time_s"]), Keypoints(part["point"], part["descriptor"]))
            for head, part in zip(heads, parts, strict=True)
        )
        return cls(tuple(frames))
