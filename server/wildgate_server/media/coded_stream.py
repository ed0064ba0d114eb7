"""How a video is coded, as far as headers tell: enough to know which decoders get it right.

Untrusted bytes: whatever is missing, cut short or unusual becomes "unknown" (None), never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from av.video.codeccontext import VideoCodecContext

from wildgate_server.media.nal_syntax import NAL_SYNTAX, NalSyntax
from wildgate_server.media.nal_units import hvcc_units, nal_units, only_parameter_set
from wildgate_server.media.picture_headers import Packet, ParameterSet, Vp9Header
from wildgate_server.media.sampled_video import UNKNOWN_CODING, Coding

__all__ = ["DeclaredStream"]

# What is walked through of a video, far more than a real one's clips have; what is past it stays unknown.
_MAX_NAL_UNITS, _MAX_BYTES, _MAX_EXTRADATA_BYTES = 1 << 15, 32 << 20, 1 << 16
_HEVC_SPS = 33
_FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG
# FFmpeg's names of what can be told apart; others count as unknown.
_PIXEL_FORMATS = {
    "yuv420p": ("4:2:0", 8),
    "yuvj420p": ("4:2:0", 8),
    "yuv422p": ("4:2:2", 8),
    "yuv444p": ("4:4:4", 8),
    "yuv420p10le": ("4:2:0", 10),
    "yuv422p10le": ("4:2:2", 10),
}


@dataclass(frozen=True, slots=True)
class DeclaredStream:
    """What container and FFmpeg's parsers say of a video stream before anything is decoded.

    `pixel_format` is FFmpeg's name, if known; `matrix`, `range` and `transfer` are FFmpeg's AVColorSpace, AVColorRange
    and AVColorTransferCharacteristic.
    """

    codec: str
    extradata: bytes
    width: int
    height: int
    pixel_format: str | None
    matrix: int
    range: int
    transfer: int

    @classmethod
    def of(cls, context: VideoCodecContext) -> DeclaredStream:
        """The stream of an opened container that has this codec context."""
        return cls(
            codec=context.codec.canonical_name,
            extradata=context.extradata or b"",
            width=context.width,
            height=context.height,
            pixel_format=context.pix_fmt,
            matrix=int(context.colorspace),
            range=int(context.color_range),
            transfer=int(context.color_trc),
        )

    def coding(self, packets: Iterable[tuple[bool, Packet]], delay: int) -> Coding:
        """How `packets` are coded, each with whether it is a keyframe; for codecs other than these three: unknown."""
        read = {"h264": self._h264, "hevc": self._hevc, "vp9": self._vp9}.get(self.codec)
        if read is None or len(self.extradata) > _MAX_EXTRADATA_BYTES:
            return Coding(delay=delay)
        return replace(read(list(packets)), delay=delay)

    def _of_units(self, packets: Sequence[tuple[bool, Packet]], syntax: NalSyntax) -> Coding:
        """What the units of all packets tell; `steady` if the container has every parameter set among them."""
        length_size, known = syntax.length_size(self.extradata), syntax.header_units(self.extradata)
        if known is None:
            return UNKNOWN_CODING
        known_units = frozenset(known)
        clean = plain = steady = True
        units_left, bytes_left = _MAX_NAL_UNITS, _MAX_BYTES
        for is_key, data in packets:
            bytes_left -= len(data)
            units = nal_units(bytes(data), length_size) if bytes_left >= 0 else None
            if units is None or (units_left := units_left - len(units)) < 0:
                return UNKNOWN_CODING
            kinds = [(syntax.kind(unit), unit) for unit in units]
            slices = [(kind, unit) for kind, unit in kinds if kind in syntax.slices]
            plain = plain and sum(syntax.begins_picture(unit) for _, unit in slices) == 1
            clean = clean and (not is_key or all(kind in syntax.resets for kind, _ in slices))
            steady = steady and all(unit in known_units for kind, unit in kinds if kind in syntax.parameter_sets)
        return Coding(clean_keyframes=clean, plain_packets=plain, steady=steady)

    def _h264(self, packets: Sequence[tuple[bool, Packet]]) -> Coding:
        unit = only_parameter_set(self.extradata)
        parameters = None if unit is None else ParameterSet.of(unit)
        if parameters is None:
            return UNKNOWN_CODING
        coding = self._of_units(packets, NAL_SYNTAX["h264"])
        said = parameters.full_range
        return replace(
            coding,
            chroma=parameters.chroma,
            bit_depth=parameters.bit_depth,
            interlaced=parameters.interlaced,
            matrix=self.matrix if parameters.matrix is None else parameters.matrix,
            transfer=self.transfer if parameters.transfer is None else parameters.transfer,
            # Where the stream says nothing, only FFmpeg goes by what the container says.
            full_range=said if said is not None else (None if self.range == _FULL_RANGE else False),
            steady=coding.steady and (parameters.width, parameters.height) == (self.width, self.height),
        )

    def _hevc(self, packets: Sequence[tuple[bool, Packet]]) -> Coding:
        # FFmpeg has read the parameter sets of an `hvcC` record; for Annex B it has not, and all stays unknown.
        if self.extradata[:1] != b"\1" or len(self.extradata) < 23 or self.pixel_format is None:
            return UNKNOWN_CODING
        if (
            sum(NAL_SYNTAX["hevc"].kind(unit) == _HEVC_SPS for unit in set(hvcc_units(self.extradata) or ()) if unit)
            != 1
        ):
            return UNKNOWN_CODING  # Which one is in force, only the pictures tell.
        chroma, bit_depth = _PIXEL_FORMATS.get(self.pixel_format, (None, None))
        progressive, interlaced = bool(self.extradata[6] & 0x80), bool(self.extradata[6] & 0x40)
        return replace(
            self._of_units(packets, NAL_SYNTAX["hevc"]),
            chroma=chroma,
            bit_depth=bit_depth,
            interlaced=None if progressive == interlaced else interlaced,
            matrix=self.matrix,
            transfer=self.transfer,
            full_range=None if self.range == _FULL_RANGE else False,  # FFmpeg does not tell who says so.
        )

    def _vp9(self, packets: Sequence[tuple[bool, Packet]]) -> Coding:
        headers = [header for _, data in packets if (header := Vp9Header.of(data))]
        signals = {(header.matrix, header.full_range) for header in headers if header.is_keyframe}
        if len(headers) != len(packets) or len(signals) != 1:
            return UNKNOWN_CODING
        [(matrix, full_range)] = signals
        sizes = {(header.width, header.height) for header in headers if header.width is not None}
        return Coding(
            chroma="4:2:0",
            bit_depth=8,
            interlaced=False,
            matrix=matrix,
            transfer=self.transfer,
            full_range=full_range,
            clean_keyframes=all(
                header.is_keyframe for (is_key, _), header in zip(packets, headers, strict=True) if is_key
            ),
            plain_packets=all(header.plain for header in headers),
            steady=sizes == {(self.width, self.height)},
        )
