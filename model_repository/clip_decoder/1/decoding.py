"""The wanted frames of a clip, and whether the decoder vouches for each (PyAV, FFmpeg).

A clip's packets form runs, each from a keyframe up to a wanted frame; there may be gaps between the runs. Nothing after
a run's last wanted frame is decoded.

A frame is WHOLE, or DAMAGED in the file itself and shown all the same, as players do. It cannot be shown as it is where
it does not decode, or is made from pictures that are missing here because its run did not begin with one that stands
for itself. That is the decoder's word, not the container's. What FFmpeg 8.1 was seen to tell:

- H.264 and HEVC mark all that is made from missing pictures, and H.264 what a recovery point has not healed yet.
- Damaged slices that are concealed are marked in H.264, MPEG-4 and MPEG-1/2, in HEVC, VP8, VP9 and AV1 they are not.
  What is then predicted from a damaged picture is not marked. After an H.264 I-picture without IDR or recovery point,
  some pictures that are right are.
- VP8, VP9, AV1, Snow and ZMBV refuse what does not begin with a keyframe. Other codecs show grey, so there the type of
  the pictures decides. QuickTime Animation, Microsoft Video 1, Flash Screen Video and RoQ tell none: the container's
  keyframes are believed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from enum import IntEnum
from time import process_time

import av
from av.video.frame import PictureType

OPEN_OPTIONS = {
    # What the gateway sends. Other demuxers (playlists, concatenations) would open further files and addresses.
    "format_whitelist": "mov,matroska,avi,nut,apng",
    # Opening would decode up to seven frames to guess what the header leaves out, and throw them away.
    "codec_whitelist": "none",
    # The clip's times are the packets' own; edit lists would hide some.
    "ignore_editlist": "1",
    # Keyframes are what the gateway took for such, for it left out packets before them, right or wrong. FFmpeg's
    # parsers would put that right, and a picture that has lost its reference would join the run before it.
    "fflags": "+noparse",
}
# Decoders whose "non-reference" frames no other frame needs, so that unwanted ones can be left out (half the work
# from a sparse keyframe to the wanted frame). HEVC's are such only within their temporal layer.
_EXACT_NON_REFERENCE = frozenset({"h264"})
# Where a picture is made this many times smaller anyway, the decoder's smoothing of block edges (an eighth of the work
# on a keyframe) changes it by less than one grey level on average; docs/performance.md has the figures.
_DEBLOCKED_BELOW_REDUCTION = 3
_SMOOTHED_BY_OPTION = frozenset({"h264", "hevc"})
# Decoders that mark each frame that is made from missing pictures. A run of theirs may heal without an intra picture.
_MARK_MISSING_PICTURES = frozenset({"h264", "hevc"})
# What bounds the memory of a decoder: the largest picture in 10 bit 4:2:0 has so many; in 4:4:4 of more than 8 bits a
# picture may have half as many pixels.
_MAX_BYTES_PER_PIXEL = 3


class ClipRefusedError(Exception):
    """The clip is at fault: what is wrong with it, and whether it is only its codec that has no decoder."""

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.unsupported = unsupported


class TooCostlyError(Exception):
    """Decoding the clip takes more processor time than it may."""


class Meter:
    """What decoding has cost so far: `processor_s`, of all threads of this process, and `pixels` of decoded pictures.

    It is read between packets; a picture that is under way is finished.
    """

    def __init__(self, max_processor_s: float) -> None:
        self._max_processor_s = max_processor_s
        self._began_s = process_time()
        self.pixels = 0

    @property
    def processor_s(self) -> float:
        """Processor seconds so far."""
        return process_time() - self._began_s

    def check(self) -> None:
        """Raises TooCostlyError past the limit."""
        if self.processor_s > self._max_processor_s:
            raise TooCostlyError


class Sound(IntEnum):
    """The values of SOUND for frames that can be shown; 0 is for those that cannot.

    COSTLY is for a frame that cannot be shown either, since decoding was given up before it.
    """

    WHOLE = 1
    DAMAGED = 2
    COSTLY = 3


def wanted_frames(
    clip: bytes, frame_index: Sequence[int], max_pixels: int, side: int, meter: Meter
) -> Iterator[tuple[list[int], av.VideoFrame, Sound]]:
    """The frames `frame_index` of `clip` that can be shown, in any order, each with its places in `frame_index`.

    `side` pixels are what the frames will be scaled to. Raises ClipRefusedError where nothing of the clip can be
    decoded at all, or it does not hold the frames, TooCostlyError when `meter` says so.
    """
    try:
        container = av.open(io.BytesIO(clip), container_options=OPEN_OPTIONS, metadata_errors="ignore")
    except MemoryError:  # FFmpeg's too, which is an FFmpegError: the clip is not at fault
        raise
    except av.FFmpegError as error:
        raise ClipRefusedError(f"the clip cannot be opened: {error.strerror}") from error
    with container:
        if not container.streams.video:
            raise ClipRefusedError("the clip has no video stream")
        stream = container.streams.video[0]
        codec = _decoder(container, stream)
        packets = _read_packets(container, stream)
        places: dict[int, list[int]] = {}
        for place, pts in enumerate(_wanted_times(packets, frame_index)):
            places.setdefault(pts, []).append(place)
        for frame, sound in _shown_frames(codec, packets, set(places), max_pixels, side, meter):
            if at := places.pop(frame.pts, None):
                yield at, frame, sound


def _decoder(container: av.container.InputContainer, stream: av.VideoStream) -> av.VideoCodecContext:
    """The decoder of the clip's codec, or of the one that it names where its container has no tag for it."""
    name, codec = container.metadata.get("wildgate_codec"), stream.codec_context
    if codec is None:
        raise ClipRefusedError("there is no decoder for the clip's codec", unsupported=True)
    if name is None:
        return codec
    try:
        named = av.VideoCodecContext.create(name, "r")
    except ValueError:
        named = None
    if not isinstance(named, av.VideoCodecContext):
        raise ClipRefusedError("there is no decoder for the clip's codec", unsupported=True)
    named.extradata, named.width, named.height = codec.extradata, codec.width, codec.height
    return named


def _read_packets(container: av.container.InputContainer, stream: av.VideoStream) -> list[av.Packet]:
    packets, palette = [], None
    try:
        for packet in container.demux(stream):
            if packet.has_sidedata("palette"):
                palette = packet.get_sidedata("palette")
            elif palette is not None:  # told once, and in force for all that follow, whichever of them are decoded
                packet.set_sidedata(palette)
            if packet.size and packet.pts is not None:
                packets.append(packet)
    except MemoryError:
        raise
    except av.FFmpegError:
        pass  # A clip cut short still has the packets before the cut.
    return packets


def _wanted_times(packets: Sequence[av.Packet], frame_index: Sequence[int]) -> list[int]:
    times = sorted(packet.pts for packet in packets)
    for index in frame_index:
        if not 0 <= index < len(times):
            raise ClipRefusedError(f"FRAME_INDEX asks for frame {index} of a clip of {len(times)} frames")
    return [times[index] for index in frame_index]


def _shown_frames(
    codec: av.VideoCodecContext,
    packets: Sequence[av.Packet],
    wanted: set[int],
    max_pixels: int,
    side: int,
    meter: Meter,
) -> Iterator[tuple[av.VideoFrame, Sound]]:
    """The wanted frames that can be shown as they are."""
    codec.thread_count = 1  # Instances share the cores; threads within one would only wait for each other.
    codec.flags |= av.codec.context.Flags.output_corrupt  # As a full decode with FFmpeg's own tools does.
    # A picture past this fails in the decoder instead of filling the memory: the header may promise less.
    codec.options = {"max_pixels": str(max_pixels)}
    if codec.name == "h264":
        # Where the stream does not say how far it reorders, hold back as many frames as it could: an early guess
        # drops frames. Every run is drained, so nothing waits for it.
        codec.options = {**codec.options, "strict": "strict"}
    runs = _runs(packets, wanted)
    if (
        codec.name in _SMOOTHED_BY_OPTION
        and max(codec.width, codec.height) >= _DEBLOCKED_BELOW_REDUCTION * side
        and all(len(run) == 1 for run in runs)  # no other picture is made from these
    ):
        codec.options = {**codec.options, "skip_loop_filter": "all"}
    unsure: list[av.VideoFrame] = []
    tells_types = False
    for run in runs:
        begun = False  # with a picture that stands for itself
        for frame in _decode_run(codec, run, wanted, meter):
            if frame.width * frame.height * frame.format.padded_bits_per_pixel > 8 * _MAX_BYTES_PER_PIXEL * max_pixels:
                raise ClipRefusedError(f"a picture of {frame.width}x{frame.height} {frame.format.name} is too large")
            begun = begun or frame.key_frame or frame.pict_type == PictureType.I
            tells_types = tells_types or begun or frame.pict_type != PictureType.NONE
            if frame.pts not in wanted:
                continue
            if begun and not frame.is_corrupt:
                yield frame, Sound.WHOLE
            elif begun:
                if not _is_blank(frame):
                    yield frame, Sound.DAMAGED
            elif codec.name in _MARK_MISSING_PICTURES and not frame.is_corrupt:
                yield frame, Sound.WHOLE
            elif not tells_types:
                unsure.append(frame)
    if not tells_types:
        yield from ((frame, Sound.WHOLE) for frame in unsure)


def _is_blank(frame: av.VideoFrame) -> bool:
    """Whether it is of one grey: of a damaged picture nothing was decoded then, as where it is encrypted."""
    grey = frame.to_ndarray(format="gray")
    return bool(grey.min() == grey.max())


def _runs(packets: Sequence[av.Packet], wanted: set[int]) -> list[list[av.Packet]]:
    """The packets in runs for a freshly flushed decoder, without runs and tails that hold nothing wanted.

    A run begins at each keyframe, since packets before it may be missing: what the decoder then carries
    over a gap (H.264 picture order counts above all) could hide frames. Only a wanted leading picture
    (shown before its keyframe, sent after it) needs the run before, and then that one is there.
    """
    runs: list[list[av.Packet]] = []
    for packet in packets:
        if packet.is_keyframe or not runs:
            runs.append([])
        runs[-1].append(packet)
    joined: list[list[av.Packet]] = []
    for run in runs:
        if joined and any(packet.pts in wanted and packet.pts < run[0].pts for packet in run):
            joined[-1] += run
        else:
            joined.append(run)
    trimmed = []
    for run in joined:
        last = max((place for place, packet in enumerate(run) if packet.pts in wanted), default=None)
        if last is not None:
            trimmed.append(run[: last + 1])
    return trimmed


def _decode_run(
    codec: av.VideoCodecContext, run: Sequence[av.Packet], wanted: set[int], meter: Meter
) -> Iterator[av.VideoFrame]:
    skips = codec.name in _EXACT_NON_REFERENCE
    for packet in (*run, None):  # None drains what the decoder holds back for reordering.
        if skips and packet is not None:
            codec.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        meter.check()
        try:
            for frame in codec.decode(packet):
                meter.pixels += frame.width * frame.height
                yield frame
        except MemoryError:
            raise
        except av.FFmpegError:
            continue  # One broken packet is not the end: a full decode goes on as well.
    codec.flush_buffers()
