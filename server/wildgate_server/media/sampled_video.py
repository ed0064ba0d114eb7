"""What sampling makes of a video: clip windows that the detector is asked about, and what is known of the file."""

from __future__ import annotations

from dataclasses import dataclass

from wildgate_server.media.coding import UNKNOWN_CODING, Coding

__all__ = ["ClipWindow", "SampledVideo", "VideoLimits"]


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What a video may hold: bytes of the file, pixels of a stored picture, seconds from first to last frame."""

    max_bytes: int
    max_pixels: int
    max_seconds: float


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """One request row for Triton.

    `frame_index` has F places, each the rank of a frame among the clip's frames in presentation order; `times_s` are
    the presentation times of the looked-at frames, so places from `len(times_s)` on repeat the last one.
    `coded_frames` is how many frames the clip holds.
    """

    clip: bytes
    frame_index: tuple[int, ...]
    times_s: tuple[float, ...]
    coded_frames: int

    def frames(self) -> list[ClipWindow]:
        """The same clip with each looked-at frame as a window of its own."""
        places = len(self.frame_index)
        return [
            ClipWindow(self.clip, (index,) * places, (time_s,), self.coded_frames)
            for index, time_s in zip(self.frame_index, self.times_s, strict=False)
        ]


@dataclass(frozen=True, slots=True)
class SampledVideo:
    """What is known of a video without decoding it, and its windows in presentation order.

    `first_s` and `last_s` are the presentation times of its first and last frame, in seconds, whether they can be
    decoded or not; of a video that cannot be read to its end, `last_s` is the end that it declares. `coding` is how the
    windows' clips are coded, all unknown where `read_coding` is off. `content_bytes` is the size of the media file,
    of which `read_bytes` were read by `read_requests` requests (none for bytes that were handed over). `read_ms` was
    spent waiting for them, `sample_ms` on the rest. `content_digest` is "blake3:<hex>" of content that was
    given, or "blake3-sampled:<hex>", for what lies at a URI, of all that its verdict rests on.
    """

    format: str
    codec: str
    profile: str
    width: int
    height: int
    rotation: int
    first_s: float
    last_s: float
    windows: tuple[ClipWindow, ...]
    content_bytes: int = 0
    content_digest: str = ""
    read_bytes: int = 0
    read_requests: int = 0
    read_ms: float = 0.0
    sample_ms: float = 0.0
    coding: Coding = UNKNOWN_CODING

    @property
    def clip_bytes(self) -> int:
        """Bytes that go on to Triton, padding aside."""
        return sum(len(window.clip) for window in self.windows)
