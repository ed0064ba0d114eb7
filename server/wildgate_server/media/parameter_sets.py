"""Parameter sets of H.264 and HEVC that come in packets: a clip that leaves these out still needs what they set."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from struct import Struct

from av.packet import Packet
from av.video.stream import VideoStream

from wildgate_server.media.nal_syntax import NAL_SYNTAX, NalSyntax
from wildgate_server.media.nal_units import nal_units

__all__ = ["missing_parameter_sets"]

_MOST_IN_FORCE = 64  # real streams have two or three
_LENGTHS = {1: Struct(">B"), 2: Struct(">H"), 4: Struct(">I")}


def missing_parameter_sets(codec: str, extradata: bytes, packets: Sequence[Packet[VideoStream]]) -> dict[int, bytes]:
    """What to put before keyframes, by their places, for a decoder that has seen none of the packets before them.

    That is, framed as the packets' units are, all parameter sets of packets before that neither `extradata` nor the
    keyframe has, the latest of each kind last: whichever they replace, those in force are in force then.
    """
    syntax = NAL_SYNTAX.get(codec)
    if syntax is None:
        return {}
    length_size = syntax.length_size(extradata)
    known = set(syntax.header_units(extradata) or ())

    def sets_of(packet: Packet[VideoStream]) -> dict[bytes, int]:
        units = nal_units(bytes(packet), length_size) or ()
        return {unit: kind for unit in units if (kind := syntax.kind(unit)) in syntax.parameter_sets}

    if known and all(known <= sets_of(packet).keys() for packet in packets if packet.is_keyframe):
        return {}  # the usual stream without a header: each keyframe sets everything anew
    has_sets = _search(syntax, length_size)
    in_force: dict[bytes, int] = {}  # types, by units, the latest last
    missing: dict[int, bytes] = {}
    for place, packet in enumerate(packets):
        own = sets_of(packet) if has_sets(memoryview(packet)) else {}
        if in_force and packet.is_keyframe:
            lacking = sorted((unit for unit in in_force if unit not in own), key=in_force.__getitem__)
            if lacking:
                missing[place] = b"".join(_framed(unit, length_size) for unit in lacking)
        for unit, kind in own.items():
            if in_force or unit not in known:
                in_force.pop(unit, None)
                in_force[unit] = kind
        while len(in_force) > _MOST_IN_FORCE:
            del in_force[next(iter(in_force))]
    return missing


def _framed(unit: bytes, length_size: int | None) -> bytes:
    return (b"\0\0\0\1" if length_size is None else len(unit).to_bytes(length_size, "big")) + unit


def _search(syntax: NalSyntax, length_size: int | None) -> Callable[[memoryview], bool]:
    """Whether any unit of a packet is a parameter set, without copying; it may take other units for one."""
    first_bytes = syntax.first_bytes(syntax.parameter_sets)
    if length_size not in _LENGTHS:
        found = re.compile(b"\0\0\1[" + re.escape(bytes(sorted(first_bytes))) + b"]").search
        return lambda packet: length_size is not None or found(packet) is not None
    unpack_from = _LENGTHS[length_size].unpack_from

    def walked(packet: memoryview) -> bool:
        at, end = 0, len(packet) - length_size
        while at < end:
            if packet[at + length_size] in first_bytes:
                return True
            at += length_size + unpack_from(packet, at)[0]
        return False

    return walked
