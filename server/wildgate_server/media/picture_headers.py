"""The headers of coded pictures, read bit by bit: H.264 parameter sets, VP9 frame headers, and whose type says I.

Untrusted bytes: whatever is missing, cut short or unusual gives None, never an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

__all__ = [
    "Packet",
    "ParameterSet",
    "Vp9Header",
    "is_h263_keyframe",
    "is_h264_intra_slice",
    "is_sorenson_keyframe",
    "is_wmv3_keyframe",
    "vp9_step",
]

Packet: TypeAlias = "bytes | memoryview"

_H264_PROFILES_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})


class _Bits:
    """Reads bits; raises ValueError past the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("past the end")
        return (self._value >> self._left) & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.take(1) == 1

    def golomb(self) -> int:
        """ue(v), ITU-T H.264, 9.1."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > 32:
                raise ValueError("no Exp-Golomb code")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """An H.264 sequence parameter set; sizes in pixels of the shown picture.

    `transfer`, `matrix`, `full_range` and `pixel_aspect`, width to height of a pixel, are None where it does not say
    them.
    """

    width: int
    height: int
    chroma: str
    bit_depth: int
    interlaced: bool
    transfer: int | None
    matrix: int | None
    full_range: bool | None
    pixel_aspect: Fraction | None

    @classmethod
    def of(cls, unit: bytes) -> ParameterSet | None:
        """Reads the NAL unit `unit` (ITU-T H.264, 7.3.2.1.1 and E.1.1); None when it cannot be read."""
        try:
            return cls._read(_Bits(unit[1:200].replace(b"\0\0\3", b"\0\0")))
        except (ValueError, IndexError):
            return None

    @classmethod
    def _read(cls, bits: _Bits) -> ParameterSet:
        profile = bits.take(8)
        bits.take(16)
        bits.golomb()
        chroma_format, bit_depth, separate_planes = 1, 8, False
        if profile in _H264_PROFILES_WITH_CHROMA:
            chroma_format = bits.golomb()
            separate_planes = chroma_format == 3 and bits.flag()
            bit_depth = 8 + max(bits.golomb(), bits.golomb())
            bits.flag()
            if bits.flag():
                _skip_scaling_lists(bits, 12 if chroma_format == 3 else 8)
        bits.golomb()
        _skip_picture_order(bits)
        bits.golomb()
        bits.flag()
        width, height = bits.golomb() + 1, bits.golomb() + 1
        interlaced = not bits.flag()
        if interlaced:
            bits.flag()
        bits.flag()
        across = 2 if chroma_format in (1, 2) and not separate_planes else 1
        down = (2 if chroma_format == 1 else 1) * (1 + interlaced)
        width, height = width * 16, height * 16 * (1 + interlaced)
        if bits.flag():
            width -= across * (bits.golomb() + bits.golomb())
            height -= down * (bits.golomb() + bits.golomb())
        signal = _signal(bits) if bits.flag() else (None, None, None, None)
        chroma = {0: "4:0:0", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}.get(chroma_format, "unknown")
        return cls(width, height, chroma, bit_depth, interlaced, *signal)


def _skip_scaling_lists(bits: _Bits, count: int) -> None:
    for number in range(count):
        if not bits.flag():
            continue
        last = following = 8
        for _ in range(16 if number < 6 else 64):
            if following:
                following = (last + bits.signed_golomb()) % 256
            last = following or last


def _skip_picture_order(bits: _Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.flag()
        bits.golomb()
        bits.golomb()
        cycle = bits.golomb()
        if cycle > 255:
            raise ValueError("too long a cycle")
        for _ in range(cycle):
            bits.golomb()


# aspect_ratio_idc, ITU-T H.264, table E-1, from 1 on
_ASPECTS = ["1/1", "12/11", "10/11", "16/11", "40/33", "24/11", "20/11", "32/11", "80/33", "18/11", "15/11", "64/33"]
_ASPECTS += ["160/99", "4/3", "3/2", "2/1"]
_EXTENDED_SAR = 255


def _signal(bits: _Bits) -> tuple[int | None, int | None, bool | None, Fraction | None]:
    """Transfer, matrix, range and pixel aspect ratio of the video usability information."""
    aspect: Fraction | None = None
    if bits.flag():
        if (code := bits.take(8)) == _EXTENDED_SAR:
            width, height = bits.take(16), bits.take(16)
            aspect = Fraction(width, height) if width and height else None
        elif 1 <= code <= len(_ASPECTS):
            aspect = Fraction(_ASPECTS[code - 1])
    if bits.flag():  # overscan
        bits.flag()
    if not bits.flag():
        return None, None, None, aspect
    bits.take(3)
    full_range = bits.flag()
    if not bits.flag():
        return None, None, full_range, aspect
    bits.take(8)
    return bits.take(8), bits.take(8), full_range, aspect


# VP9 bitstream specification, 7.2.2: color_space, as MatrixCoefficients of H.273.
_VP9_MATRICES = {0: 2, 1: 5, 2: 1, 3: 6, 4: 7, 5: 9, 7: 0}
_VP9_SYNC = 0x498342


@dataclass(frozen=True, slots=True)
class Vp9Header:
    """What a VP9 packet of profile 0 begins with.

    Only keyframes have matrix and range. Size is None where it is that of a frame before or is not read.
    """

    plain: bool
    width: int | None = None
    height: int | None = None
    matrix: int | None = None
    full_range: bool | None = None

    @property
    def is_keyframe(self) -> bool:
        """Whether it is, whatever the container says."""
        return self.full_range is not None

    @classmethod
    def of(cls, packet: Packet) -> Vp9Header | None:
        """Reads the uncompressed header (VP9 bitstream specification, 6.2); None if it is not one of profile 0.

        `plain` is false for a superframe, a frame shown again and a hidden frame.
        """
        try:
            return cls._read(
                _Bits(bytes(packet[:32])), in_superframe=packet[-1] & 0xE0 == 0xC0 and _is_superframe(packet)
            )
        except (ValueError, IndexError):
            return None

    @classmethod
    def _read(cls, bits: _Bits, *, in_superframe: bool) -> Vp9Header | None:
        if bits.take(4) != 0b1000:  # frame_marker, profile
            return None
        if bits.flag():  # show_existing_frame
            return cls(plain=False)
        is_keyframe = not bits.flag()
        is_shown = bits.flag()
        plain = is_shown and not in_superframe
        error_resilient = bits.flag()
        if not is_keyframe:
            return cls(plain, *(_vp9_inter_size(bits, error_resilient) if is_shown else (None, None)))
        if bits.take(24) != _VP9_SYNC:
            return None
        color_space = bits.take(3)
        full_range = bits.flag() if color_space != 7 else True
        return cls(plain, bits.take(16) + 1, bits.take(16) + 1, _VP9_MATRICES.get(color_space), full_range)


def _vp9_inter_size(bits: _Bits, error_resilient: bool) -> tuple[int | None, int | None]:
    """The size that a shown inter frame tells, None when it has that of a reference (6.2, frame_size_with_refs)."""
    # Reset of the context, refreshed frames, three references with their sign.
    bits.take((0 if error_resilient else 2) + 8 + 3 * 4)
    if any(bits.flag() for _ in range(3)):
        return None, None
    return bits.take(16) + 1, bits.take(16) + 1


def vp9_step(packet: Packet) -> float | None:
    """How coarsely the first frame of a VP9 packet of profile 0 is quantised: its step, 1 being the finest.

    By `base_q_idx` (VP9 bitstream specification, 6.2). The table of steps (8.6.1) is near to powers of two.
    """
    bits = _Bits(bytes(packet[:40]))
    try:
        if bits.take(4) != 0b1000 or bits.flag():  # frame marker, profile; a frame shown again
            return None
        is_keyframe, is_shown, error_resilient = not bits.flag(), bits.flag(), bits.flag()
        if is_keyframe:
            bits.take(24 + 3 + 1 + 32)  # sync code, colour space and range, size
        elif is_shown or not bits.flag():
            _vp9_inter_size(bits, error_resilient)
        else:
            return None
        if bits.flag():  # a size to be shown at
            bits.take(32)
        if not is_keyframe:
            bits.take(1)
            if not bits.flag():  # the filter is the same for the whole frame
                bits.take(2)
        bits.take((0 if error_resilient else 2) + 2 + 6 + 3)  # contexts, the loop filter's level and sharpness
        if bits.flag() and bits.flag():  # its adjustments
            for _ in range(6):
                if bits.flag():
                    bits.take(7)
        return float(2 ** (bits.take(8) / 28.9))
    except ValueError:
        return None


def _is_superframe(packet: Packet) -> bool:
    """Whether it ends in a superframe index, whose first byte is its last (VP9 bitstream specification, annex B)."""
    marker = packet[-1]
    size = 2 + ((marker & 7) + 1) * ((marker >> 3 & 3) + 1)
    return len(packet) >= size and packet[-size] == marker


def is_h264_intra_slice(unit: bytes) -> bool:
    """Whether a slice, given as its NAL unit's beginning, is predicted from no other picture (ITU-T H.264, 7.3.3)."""
    bits = _Bits(unit[1:24].replace(b"\0\0\3", b"\0\0"))
    try:
        bits.golomb()  # first_mb_in_slice
        return bits.golomb() % 5 in (2, 4)  # I and SI, table 7-6
    except ValueError:
        return False


def is_h263_keyframe(packet: Packet) -> bool:
    """Whether the picture type of an H.263 packet is I (ITU-T H.263, 5.1.3 and 5.1.4)."""
    bits = _Bits(bytes(packet[:16]))
    try:
        bits.take(35)  # start code, temporal reference, and five bits of PTYPE
        if bits.take(3) != 7:
            return not bits.flag()
        if bits.take(3) == 1:  # UFEP: OPPTYPE follows
            bits.take(18)
        return bits.take(3) == 0
    except ValueError:
        return False


def is_sorenson_keyframe(packet: Packet) -> bool:
    """Whether the picture type of a Sorenson H.263 packet is I (Adobe's SWF specification, H263VIDEOPACKET)."""
    bits = _Bits(bytes(packet[:16]))
    try:
        bits.take(30)  # start code, version, temporal reference
        bits.take({0: 16, 1: 32}.get(bits.take(3), 0))  # a size of its own
        return bits.take(2) == 0
    except ValueError:
        return False


def is_wmv3_keyframe(packet: Packet, extradata: bytes) -> bool:
    """Whether the picture type of a packet of VC-1's simple and main profiles is I (SMPTE 421M, 7.1.1 and annex J)."""
    sequence, bits = _Bits(extradata[:4]), _Bits(bytes(packet[:4]))
    try:
        sequence.take(24)
        range_reduced, most_b_frames, _, interpolated = (
            sequence.flag(),
            sequence.take(3),
            sequence.take(2),
            sequence.flag(),
        )
        bits.take(interpolated + 2 + range_reduced)
        return not bits.flag() and (not most_b_frames or bits.flag())
    except ValueError:
        return False
