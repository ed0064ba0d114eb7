"""NAL units of H.264 and HEVC: the parts of a packet, and the parameter sets of a decoder configuration record.

Untrusted bytes: whatever is missing, cut short or unusual gives None, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from wildgate_server.media.picture_headers import is_h264_intra_slice

__all__ = [
    "MAX_NAL_UNITS",
    "avcc_units",
    "hvcc_units",
    "is_h264_keyframe",
    "nal_units",
    "only_parameter_set",
]

_H264_SPS = 7
_H264_SLICES = frozenset({1, 2, 5})
_H264_IDR, _H264_SEI, _H264_RECOVERY_POINT = 5, 6, 6
MAX_NAL_UNITS = 256  # in one packet; real ones have some tens at most
_START_CODE = b"\0\0\1"


def nal_units(data: bytes, length_size: int | None) -> list[bytes] | None:
    """The NAL units of a packet of H.264 or HEVC, the empty ones left out.

    `length_size` is how many bytes hold each unit's length (ISO/IEC 14496-15), None for start codes (Annex B). None
    where there are more than MAX_NAL_UNITS, where one is cut short, and where a start code lies within one that has a
    length: a decoder may take what follows for another unit.
    """
    cut = _between_start_codes(data) if length_size is None else _after_lengths(data, length_size)
    try:
        units = list(islice(cut, MAX_NAL_UNITS + 1))
    except ValueError:
        return None
    return [unit for unit in units if unit] if len(units) <= MAX_NAL_UNITS else None


def _after_lengths(data: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        start = at + length_size
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data) or data.find(_START_CODE, start, at) >= 0:
            raise ValueError("no plain NAL unit")
        yield data[start:at]


def _between_start_codes(data: bytes) -> Iterator[bytes]:
    start = data.find(_START_CODE)
    while start >= 0:
        end = data.find(_START_CODE, start + 3)
        yield data[start + 3 : end if end >= 0 else len(data)].rstrip(b"\0")
        start = end


def is_h264_keyframe(packet: bytes | memoryview, extradata: bytes, parsed: Callable[[bytes], bool]) -> bool:
    """Whether decoding an H.264 stream can begin with a packet, and its picture is sound at once.

    That is so for an IDR picture, and for one of intra slices that says that decoding can begin there, as that of an
    open GOP does: by a recovery point that takes no frame to recover, or, where it has none, as `parsed` tells by
    FFmpeg's parser. Of a picture in two fields the first one counts.
    """
    packet = bytes(packet)
    is_record = extradata[:1] == b"\1" and len(extradata) > 4
    units = nal_units(packet, (extradata[4] & 3) + 1 if is_record else None)
    if units is None:
        return parsed(packet)
    slices = [unit for unit in units if unit[0] & 31 in _H264_SLICES]
    firsts = [at for at, unit in enumerate(slices) if unit[1:2] >= b"\x80"]  # first_mb_in_slice is zero
    first_picture = slices[: firsts[1] if len(firsts) > 1 else None]
    if not first_picture:
        return False
    if all(unit[0] & 31 == _H264_IDR for unit in first_picture):
        return True
    if not all(map(is_h264_intra_slice, first_picture)):
        return False
    recovery = [_frames_to_recover_is_zero(unit) for unit in units if unit[0] & 31 == _H264_SEI]
    told = [is_zero for is_zero in recovery if is_zero is not None]
    return all(told) if told else parsed(packet)


def _frames_to_recover_is_zero(unit: bytes) -> bool | None:
    """Whether `recovery_frame_cnt` of an SEI unit's recovery point is zero; None where it has no recovery point.

    ITU-T H.264, 7.3.2.3.1 (SEI messages) and D.1: payloadType 6, recovery_point, begins with it.
    """
    at, end = 1, len(unit) - 1  # the last byte is the end of the unit's data
    while at < end:
        numbers = []
        for _ in ("payloadType", "payloadSize"):
            start = at
            while at < end and unit[at] == 0xFF:
                at += 1
            numbers.append(0xFF * (at - start) + unit[at])
            at += 1
            if at > end:
                return None
        if numbers[0] == _H264_RECOVERY_POINT:
            return unit[at] >= 0x80
        at += numbers[-1]
    return None


def avcc_units(record: bytes) -> list[bytes] | None:
    """The parameter sets of an `avcC` record (ISO/IEC 14496-15, 5.3.3.1); None when it cannot be read."""
    try:
        sequence_sets, at = _counted_units(record, 6, record[5] & 31)
        picture_sets, _ = _counted_units(record, at + 1, record[at])
    except (ValueError, IndexError):
        return None
    return sequence_sets + picture_sets


def hvcc_units(record: bytes) -> list[bytes] | None:
    """The NAL units of an `hvcC` record (ISO/IEC 14496-15, 8.3.3.1); None when it cannot be read."""
    units: list[bytes] = []
    try:
        at = 23
        for _ in range(record[22]):
            found, at = _counted_units(record, at + 3, int.from_bytes(record[at + 1 : at + 3], "big"))
            units += found
    except (ValueError, IndexError):
        return None
    return units


def _counted_units(record: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """`count` units from `at` on, each after two bytes of length, and where they end."""
    if count > MAX_NAL_UNITS or at > len(record):
        raise ValueError("too many units, or none")
    units = []
    for _ in range(count):
        start = at + 2
        at = start + int.from_bytes(record[at:start], "big")
        if at > len(record):
            raise ValueError("past the end")
        units.append(record[start:at])
    return units, at


def only_parameter_set(extradata: bytes) -> bytes | None:
    """The only H.264 sequence parameter set of an `avcC` record or of Annex B; None where there are none or several."""
    units = avcc_units(extradata) if extradata[:1] == b"\1" else nal_units(extradata, None)
    found = {unit for unit in units or () if unit and unit[0] & 31 == _H264_SPS}
    return found.pop() if len(found) == 1 else None
