"""Where H.264 and HEVC have what in their NAL units."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wildgate_server.media.nal_units import avcc_units, hvcc_units, nal_units

__all__ = ["NAL_SYNTAX", "NalSyntax"]

_START_CODE = b"\0\0\1"
_UNIT_START = re.compile(_START_CODE + b".", re.DOTALL)


@dataclass(frozen=True, slots=True)
class NalSyntax:
    """Where a codec's NAL units have what (ITU-T H.264, 7.3.1 and table 7-1; H.265, 7.3.1.2 and table 7-1).

    `length_at` is where `avcC` or `hvcC` has the size of the units' lengths. In both codecs the first bit of a slice
    after its unit's header says whether a picture begins: it is the code of first_mb_in_slice = 0, or
    first_slice_segment_in_pic_flag. A parameter set draws on sets of lower types only.
    """

    length_at: int
    record_units: Callable[[bytes], list[bytes] | None]
    header_bytes: int
    kind_shift: int
    kind_mask: int
    slices: frozenset[int]
    resets: frozenset[int]
    parameter_sets: frozenset[int]

    def kind(self, unit: bytes) -> int:
        """The type of a unit."""
        return unit[0] >> self.kind_shift & self.kind_mask

    def first_bytes(self, kinds: frozenset[int]) -> frozenset[int]:
        """What units of these types begin with."""
        return frozenset(byte for byte in range(1 << 7) if byte >> self.kind_shift & self.kind_mask in kinds)

    def begins_picture(self, slice_unit: bytes) -> bool:
        """Whether a slice is the first of its picture."""
        return slice_unit[self.header_bytes : self.header_bytes + 1] >= b"\x80"

    def length_size(self, extradata: bytes) -> int | None:
        """How many bytes hold each unit's length in packets; None for start codes (Annex B)."""
        is_record = extradata[:1] == b"\1" and len(extradata) > self.length_at
        return (extradata[self.length_at] & 3) + 1 if is_record else None

    def header_units(self, extradata: bytes) -> list[bytes] | None:
        """The units of a decoder configuration record, or of Annex B; None when they cannot be read."""
        return nal_units(extradata, None) if self.length_size(extradata) is None else self.record_units(extradata)

    def holds_picture(self, packet: bytes | memoryview, extradata: bytes) -> bool:
        """Whether a decoder finds a slice in a packet, as FFmpeg's do (h2645_parse.c).

        These drop a packet whole of which any length is wrong, and find start codes within units that have a length.
        """
        packet, length_size, slices = bytes(packet), self.length_size(extradata), self.first_bytes(self.slices)
        if length_size is not None and not packet.startswith(b"\0" + _START_CODE):
            if (first_bytes := _after_lengths(packet, length_size)) is None:
                return False
            if not slices.isdisjoint(first_bytes):
                return True
        return any(found[-1] in slices for found in _UNIT_START.findall(packet))


def _after_lengths(packet: bytes, length_size: int) -> list[int] | None:
    """The first bytes of a packet's units; None where one is empty, or longer than the packet."""
    first_bytes: list[int] = []
    at = 0
    while at + length_size < len(packet):
        start = at + length_size
        at = start + int.from_bytes(packet[at:start], "big")
        if not start < at <= len(packet):
            return None
        first_bytes.append(packet[start])
    return first_bytes


NAL_SYNTAX: Mapping[str, NalSyntax] = {
    "h264": NalSyntax(
        length_at=4,
        record_units=avcc_units,
        header_bytes=1,
        kind_shift=0,
        kind_mask=31,
        slices=frozenset({1, 2, 5}),
        resets=frozenset({5}),
        parameter_sets=frozenset({7, 8}),
    ),
    "hevc": NalSyntax(
        length_at=21,
        record_units=hvcc_units,
        header_bytes=2,
        kind_shift=1,
        kind_mask=63,
        slices=frozenset(range(32)),
        resets=frozenset({19, 20}),
        parameter_sets=frozenset({32, 33, 34}),
    ),
}
"""By FFmpeg's names of the codecs."""
