"""clip_decoder: the wanted frames of a clip window as they are displayed, letterboxed, RGB, on the CPU (PyAV, FFmpeg).

CLIP is a small media file whose packets form runs, each from a keyframe up to a wanted frame; there may be
gaps between the runs. FRAME_INDEX counts the clip's frames in presentation order, that is by rank among the
packets' timestamps. Only wanted frames are scaled, and nothing after a run's last wanted frame is decoded.
DISPLAY says how a stored picture is shown: degrees counter-clockwise, whether it is mirrored before that, and the
width and height of a pixel.

SOUND says of each frame whether the decoder vouches for it (1), shows it although it is damaged in the file itself, as
players do (2), or cannot show it as it is (0; FRAMES has the letterbox value there): it does not decode, or is made
from pictures that are missing here, its run not having begun with one that stands for itself. The decoder's own word
counts for that, not the container's. What FFmpeg 8.1 was seen to tell:

- H.264 and HEVC mark all that is made from missing pictures, and H.264 what a recovery point has not healed yet.
- Damaged slices that are concealed are marked in H.264, MPEG-4 and MPEG-1/2, in HEVC, VP8, VP9 and AV1 they are not.
  What is then predicted from a damaged picture is not marked. After an H.264 I-picture without IDR or recovery point,
  some pictures that are right are.
- VP8, VP9, AV1, Snow and ZMBV refuse what does not begin with a keyframe. Other codecs show grey, so there the type of
  the pictures decides. QuickTime Animation, Microsoft Video 1, Flash Screen Video and RoQ tell none: the container's
  keyframes are believed.

A stock tritonserver loads this file: it imports numpy, av, Triton's own module and `tone_mapping.py` beside it. Frames
and side come from the model's config, the letterbox value from a config parameter.
"""

from __future__ import annotations

import importlib.util
import io
import json
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import av
import numpy as np
import triton_python_backend_utils as pb_utils
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter


def _beside(name: str) -> ModuleType:
    """The module `name`.py of this model version; Triton does not say where a model's own modules are found."""
    spec = importlib.util.spec_from_file_location(f"clip_decoder_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_tone_mapping = _beside("tone_mapping")

_OPEN_OPTIONS = {
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
# AVColorSpace values that swscale converts from; others count as unspecified, which FFmpeg reads as BT.601.
_CONVERTIBLE_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_UNSPECIFIED, _BT2020 = 2, 9
# Without full chroma, swscale's shortcut makes pictures one to two grey levels too dark, DALI's are not.
_AREA = Interpolation.AREA | Interpolation.FULL_CHR_H_INT
# Decoders whose "non-reference" frames no other frame needs, so that unwanted ones can be left out (half the work
# from a sparse keyframe to the wanted frame). HEVC's are such only within their temporal layer.
_EXACT_NON_REFERENCE = frozenset({"h264"})
# Where a picture is made this many times smaller anyway, the decoder's smoothing of block edges (an eighth of the work
# on a keyframe) changes it by less than one grey level on average; docs/performance.md has the figures.
DEBLOCKED_BELOW_REDUCTION = 3
_SMOOTHED_BY_OPTION = frozenset({"h264", "hevc"})
# Decoders that mark each frame that is made from missing pictures. A run of theirs may heal without an intra picture.
_MARK_MISSING_PICTURES = frozenset({"h264", "hevc"})
# What bounds the memory of a decoder: the largest picture in 10 bit 4:2:0 has so many; in 4:4:4 of more than 8 bits a
# picture may have half as many pixels.
_MAX_BYTES_PER_PIXEL = 3
_MAX_SIDE = (1 << 31) - 1  # of a displayed picture: PICTURE_SIZE is INT32


class ClipRefusedError(Exception):
    """The clip is at fault: what is wrong with it, and whether it is only its codec that has no decoder."""

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.unsupported = unsupported


@dataclass(frozen=True)
class Display:
    """How a stored picture is shown: mirrored left to right, then turned; `aspect` is a pixel's width and height."""

    rotation: int = 0
    mirrored: bool = False
    aspect: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, row: Sequence[int]) -> Display:
        """A row of DISPLAY. Raises ClipRefusedError where it says what cannot be."""
        rotation, mirrored, width, height = row
        if rotation not in (0, 90, 180, 270):
            raise ClipRefusedError(f"DISPLAY has the rotation {rotation}, not 0, 90, 180 or 270")
        if mirrored not in (0, 1):
            raise ClipRefusedError(f"DISPLAY has {mirrored} for mirrored, not 0 or 1")
        if width < 1 or height < 1:
            raise ClipRefusedError(f"DISPLAY has pixels of {width}:{height}, not of a width and a height above 0")
        return cls(rotation, bool(mirrored), (width, height))

    @property
    def sideways(self) -> bool:
        """Whether the displayed picture's width is the stored one's height."""
        return self.rotation % 180 == 90

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height at which a stored picture is displayed: one side is stretched, none loses pixels."""
        wide, high = self.aspect
        if wide > high:
            width = min(round(width * wide / high), _MAX_SIDE)
        elif high > wide:
            height = min(round(height * high / wide), _MAX_SIDE)
        return (height, width) if self.sideways else (width, height)


class Sound(IntEnum):
    """The values of SOUND."""

    NOT = 0
    WHOLE = 1
    DAMAGED = 2


class DecodedWindow(NamedTuple):
    """FRAMES uint8 [F, side, side, 3], SOUND uint8 [F], PICTURE_SIZE int32 [F, 2] (width, height) of one row."""

    frames: np.ndarray
    sound: np.ndarray
    picture_size: np.ndarray


@dataclass(frozen=True)
class Letterbox:
    """Where a displayed picture lies in the square; mapping boxes back to the picture inverts exactly this.

    With S the square's side: scale = S / max(width, height); a side becomes max(1, round(side * scale)) with
    Python's round (halves go to the even number); the offset is (S - new side) // 2. All in pixels.
    """

    width: int
    height: int
    left: int
    top: int

    @classmethod
    def of(cls, width: int, height: int, side: int) -> Letterbox:
        """The place of a displayed picture of `width` x `height` pixels in a square of `side`."""
        scale = side / max(width, height)
        new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
        return cls(new_width, new_height, (side - new_width) // 2, (side - new_height) // 2)


class FrameScaler:
    """Makes letterboxed RGB squares of decoded frames; keeps swscale's tables between frames of one kind."""

    def __init__(self, side: int, letterbox_value: int) -> None:
        self.side = side
        self.letterbox_value = letterbox_value
        self._reformatter = VideoReformatter()

    def square(self, frame: av.VideoFrame, display: Display) -> np.ndarray:
        """`frame` as it is displayed, as uint8 [side, side, 3].

        Scaling, colour matrix and range are one swscale pass straight to the small picture; mirroring and turning that
        one gives what doing so to the large picture first would, for less. HDR keeps its depth until it is mapped.
        """
        box = Letterbox.of(*display.size(frame.width, frame.height), self.side)
        width, height = (box.height, box.width) if display.sideways else (box.width, box.height)
        is_hdr = frame.color_trc in (_tone_mapping.PQ, _tone_mapping.HLG)
        if frame.colorspace not in _CONVERTIBLE_MATRICES or (is_hdr and frame.colorspace == _UNSPECIFIED):
            frame.colorspace = _BT2020 if is_hdr else _UNSPECIFIED
        picture = self._reformatter.reformat(
            frame, width, height, format="rgb48le" if is_hdr else "rgb24", interpolation=_AREA, threads=1
        ).to_ndarray()
        if is_hdr:
            picture = _tone_mapping.to_sdr(picture, frame.color_trc, frame.color_primaries)
        if display.mirrored:
            picture = picture[:, ::-1]
        square = np.full((self.side, self.side, 3), self.letterbox_value, np.uint8)
        shown = np.rot90(picture, display.rotation // 90)
        square[box.top : box.top + box.height, box.left : box.left + box.width] = shown
        return square


def decode_window(
    clip: bytes, frame_index: Sequence[int], display: Sequence[int], scaler: FrameScaler, max_pixels: int
) -> DecodedWindow:
    """The frames `frame_index` of `clip`, shown as `display`, a row of DISPLAY, says; zeros after its end do no harm.

    Raises ClipRefusedError where nothing of the clip can be decoded at all, or it does not hold the frames.
    """
    shown_as = Display.of(display)
    try:
        container = av.open(io.BytesIO(clip), container_options=_OPEN_OPTIONS, metadata_errors="ignore")
    except MemoryError:  # FFmpeg's too, which is an FFmpegError: no fault of the clip's, and it passes
        raise
    except av.FFmpegError as error:
        raise ClipRefusedError(f"the clip is no Matroska or MP4 file: {error.strerror}") from error
    with container:
        if not container.streams.video:
            raise ClipRefusedError("the clip has no video stream")
        stream = container.streams.video[0]
        codec = _decoder(container, stream)
        packets = _read_packets(container, stream)
        wanted = _wanted_times(packets, frame_index)
        places: dict[int, list[int]] = {}
        for place, pts in enumerate(wanted):
            places.setdefault(pts, []).append(place)
        window = _nothing_seen(len(wanted), scaler)
        for frame, sound in _shown_frames(codec, packets, set(wanted), max_pixels, scaler.side):
            if at := places.pop(frame.pts, None):
                window.frames[at] = scaler.square(frame, shown_as)
                window.sound[at] = sound
                window.picture_size[at] = shown_as.size(frame.width, frame.height)
    return window


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


def _nothing_seen(places: int, scaler: FrameScaler) -> DecodedWindow:
    return DecodedWindow(
        np.full((places, scaler.side, scaler.side, 3), scaler.letterbox_value, np.uint8),
        np.zeros(places, np.uint8),
        np.zeros((places, 2), np.int32),
    )


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
    codec: av.VideoCodecContext, packets: Sequence[av.Packet], wanted: set[int], max_pixels: int, side: int
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
        and max(codec.width, codec.height) >= DEBLOCKED_BELOW_REDUCTION * side
        and all(len(run) == 1 for run in runs)  # no other picture is made from these
    ):
        codec.options = {**codec.options, "skip_loop_filter": "all"}
    unsure: list[av.VideoFrame] = []
    tells_types = False
    for run in runs:
        begun = False  # with a picture that stands for itself
        for frame in _decode_run(codec, run, wanted):
            if frame.width * frame.height * frame.format.padded_bits_per_pixel > 8 * _MAX_BYTES_PER_PIXEL * max_pixels:
                raise ClipRefusedError(f"a picture of {frame.width}x{frame.height} {frame.format.name} is too large")
            begun = begun or frame.key_frame or frame.pict_type == PictureType.I
            tells_types = tells_types or begun or frame.pict_type != PictureType.NONE
            if frame.pts not in wanted:
                continue
            if begun:
                yield frame, Sound.DAMAGED if frame.is_corrupt else Sound.WHOLE
            elif codec.name in _MARK_MISSING_PICTURES and not frame.is_corrupt:
                yield frame, Sound.WHOLE
            elif not tells_types:
                unsure.append(frame)
    if not tells_types:
        yield from ((frame, Sound.WHOLE) for frame in unsure)


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


def _decode_run(codec: av.VideoCodecContext, run: Sequence[av.Packet], wanted: set[int]) -> Iterator[av.VideoFrame]:
    skips = codec.name in _EXACT_NON_REFERENCE
    for packet in (*run, None):  # None drains what the decoder holds back for reordering.
        if skips and packet is not None:
            codec.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        try:
            yield from codec.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError:
            continue  # One broken packet is not the end: a full decode goes on as well.
    codec.flush_buffers()


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads shape and letterbox value from the model's config."""
        av.logging.set_level(None)  # What is wrong with a clip is in the answer; FFmpeg's notes would flood the log.
        config = json.loads(args["model_config"])
        dims = pb_utils.get_output_config_by_name(config, "FRAMES")["dims"]
        self._frames, side = int(dims[0]), int(dims[1])
        self._scaler = FrameScaler(side, int(config["parameters"]["letterbox_value"]["string_value"]))
        self._max_pixels = int(config["parameters"]["max_frame_pixels"]["string_value"])

    def execute(self, requests: list) -> list:
        """One response for each request; a clip at fault fails its own request and no other."""
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        try:
            outputs = tensors_of(self._decode_rows(request))
        except ClipRefusedError as refusal:
            code = pb_utils.TritonError.UNSUPPORTED if refusal.unsupported else pb_utils.TritonError.INVALID_ARG
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(refusal), code))
        except Exception as surprise:
            pb_utils.Logger.log_error(f"clip_decoder: {traceback.format_exc()}")
            message = f"clip_decoder failed: {type(surprise).__name__}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, tensor) for name, tensor in outputs.items()])

    def _decode_rows(self, request) -> list[DecodedWindow]:
        clips = pb_utils.get_input_tensor_by_name(request, "CLIP").as_numpy()
        indices = pb_utils.get_input_tensor_by_name(request, "FRAME_INDEX").as_numpy()
        displays = pb_utils.get_input_tensor_by_name(request, "DISPLAY").as_numpy()
        return decode_rows(clips, indices, displays, self._scaler, self._max_pixels)


def decode_rows(
    clips: Sequence[np.ndarray], indices: np.ndarray, displays: np.ndarray, scaler: FrameScaler, max_pixels: int
) -> list[DecodedWindow]:
    """The rows of a request; neighbours with the same clip are decoded in one pass, as what continues a window is."""
    rows = zip(clips, indices.tolist(), displays.tolist(), strict=True)
    decoded = []
    for (clip, display), same in groupby(((clip.tobytes(), index, display) for clip, index, display in rows), _clip_of):
        windows = [index for _, index, _ in same]
        together = decode_window(clip, [frame for index in windows for frame in index], display, scaler, max_pixels)
        parted = (np.split(tensor, len(windows)) for tensor in together)
        decoded += [DecodedWindow(*window) for window in zip(*parted, strict=True)]
    return decoded


def _clip_of(row: tuple[bytes, list[int], list[int]]) -> tuple[bytes, list[int]]:
    clip, _, display = row
    return clip, display


def tensors_of(rows: Sequence[DecodedWindow]) -> dict[str, np.ndarray]:
    """The outputs of a request with these rows, by their names."""
    frames, sound, picture_size = (np.stack(members) for members in zip(*rows, strict=True))
    return {"FRAMES": frames, "SOUND": sound, "PICTURE_SIZE": picture_size}
