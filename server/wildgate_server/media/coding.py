"""How the clips of a video are coded: what a GPU's decoder has to know of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BT709", "UNKNOWN_CODING", "UNSPECIFIED", "Coding"]

# MatrixCoefficients, ITU-T H.273, table 4; FFmpeg's AVColorSpace has the same numbers.
BT709, UNSPECIFIED = 1, 2


@dataclass(frozen=True, slots=True)
class Coding:
    """How a video's clips are coded; None stands for unknown.

    `matrix` is MatrixCoefficients of ITU-T H.273. `clean_keyframes`: every keyframe of the clips
    resets the decoder, so that a gap before it does no harm. `plain_packets`: every packet is one picture, and shown.
    `steady`: size and parameter sets are the same in all packets and in the container. `delay` is the largest number
    of places by which a frame is coded before its turn to be shown.
    """

    chroma: str | None = None
    bit_depth: int | None = None
    interlaced: bool | None = None
    matrix: int | None = None
    full_range: bool | None = None
    clean_keyframes: bool | None = None
    plain_packets: bool | None = None
    steady: bool | None = None
    delay: int | None = None


UNKNOWN_CODING = Coding()
