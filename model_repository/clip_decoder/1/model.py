"""clip_decoder: the wanted frames of a clip window, turned, letterboxed and RGB, on the CPU (PyAV, FFmpeg).

CLIP is a small media file whose packets form runs, each from a keyframe up to a wanted frame; there may be
gaps between the runs. FRAME_INDEX counts the clip's frames in presentation order, that is by rank among the
packets' timestamps. Only wanted frames are scaled, and nothing after a run's last wanted frame is decoded.

A stock tritonserver loads this file: it imports numpy, av and Triton's own module, nothing else. Frames and
side come from the model's config, the letterbox value from a config parameter.
"""

from __future__ import annotations

import io
import json
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np
import triton_python_backend_utils as pb_utils
from av.video.reformatter import Interpolation, VideoReformatter

_OPEN_OPTIONS = {
    # What the gateway sends. Other demuxers (playlists, concatenations) would open further files and addresses.
    "format_whitelist": "mov,matroska,avi,nut,apng",
    # Opening would decode up to seven frames to guess what the header leaves out, and throw them away.
    "codec_whitelist": "none",
    # The clip's times are the packets' own; edit lists would hide some.
    "ignore_editlist": "1",
}
# AVColorSpace values that swscale converts from; others count as unspecified, which FFmpeg reads as BT.601.
_CONVERTIBLE_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_UNSPECIFIED = 2
# Without full chroma, swscale's shortcut makes pictures one to two grey levels too dark, DALI's are not.
_AREA = Interpolation.AREA | Interpolation.FULL_CHR_H_INT
# Decoders whose "non-reference" frames no other frame needs, so that unwanted ones can be left out (half the work
# from a sparse keyframe to the wanted frame). HEVC's are such only within their temporal layer.
_EXACT_NON_REFERENCE = frozenset({"h264"})
# Where a picture is made this many times smaller anyway, the decoder's smoothing of block edges (an eighth of the work
# on a keyframe) changes it by less than one grey level on average; docs/performance.md has the figures.
DEBLOCKED_BELOW_REDUCTION = 3
_SMOOTHED_BY_OPTION = frozenset({"h264", "hevc"})


class ClipRefusedError(Exception):
    """The clip is at fault: what is wrong with it, and whether it is only its codec that has no decoder."""

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.unsupported = unsupported


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
        self._letterbox_value = letterbox_value
        self._reformatter = VideoReformatter()

    def square(self, frame: av.VideoFrame, rotation: int) -> np.ndarray:
        """`frame` turned by `rotation` degrees counter-clockwise, as uint8 [side, side, 3].

        Scaling, colour matrix and range are one swscale pass straight to the small picture; turning that one
        gives what turning the large picture first would, for less.
        """
        quarter_turns = rotation // 90
        sideways = quarter_turns % 2 == 1
        shown = (frame.height, frame.width) if sideways else (frame.width, frame.height)
        box = Letterbox.of(*shown, self.side)
        if frame.colorspace not in _CONVERTIBLE_MATRICES:
            frame.colorspace = _UNSPECIFIED
        small = self._reformatter.reformat(
            frame,
            width=box.height if sideways else box.width,
            height=box.width if sideways else box.height,
            format="rgb24",
            interpolation=_AREA,
            threads=1,
        )
        square = np.full((self.side, self.side, 3), self._letterbox_value, np.uint8)
        picture = np.rot90(small.to_ndarray(), quarter_turns)
        square[box.top : box.top + box.height, box.left : box.left + box.width] = picture
        return square


def decode_window(
    clip: bytes, frame_index: Sequence[int], rotation: int, scaler: FrameScaler, max_pixels: int
) -> np.ndarray:
    """The frames `frame_index` of `clip` as uint8 [len(frame_index), side, side, 3].

    Raises ClipRefusedError when the clip does not hold them; zeros after the clip's end do no harm.
    """
    if rotation not in (0, 90, 180, 270):
        raise ClipRefusedError(f"ROTATION is {rotation}, not 0, 90, 180 or 270")
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
        if stream.codec_context is None:
            raise ClipRefusedError("there is no decoder for the clip's codec", unsupported=True)
        packets = _read_packets(container, stream)
        wanted = _wanted_times(packets, frame_index)
        squares = {
            frame.pts: scaler.square(frame, rotation)
            for frame in _decode_wanted(stream.codec_context, packets, set(wanted), max_pixels, scaler.side)
        }
    for index, pts in zip(frame_index, wanted, strict=True):
        if pts not in squares:
            raise ClipRefusedError(f"frame {index} of the clip cannot be decoded")
    return np.stack([squares[pts] for pts in wanted])


def _read_packets(container: av.container.InputContainer, stream: av.VideoStream) -> list[av.Packet]:
    packets = []
    try:
        for packet in container.demux(stream):
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


def _decode_wanted(
    codec: av.VideoCodecContext, packets: Sequence[av.Packet], wanted: set[int], max_pixels: int, side: int
):
    """Yields the wanted frames, each once."""
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
    missing = set(wanted)
    for run in runs:
        for frame in _decode_run(codec, run, wanted):
            if frame.pts in missing:
                missing.discard(frame.pts)
                yield frame


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


def _decode_run(codec: av.VideoCodecContext, run: Sequence[av.Packet], wanted: set[int]):
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
            frames = self._decode_rows(request)
        except ClipRefusedError as refusal:
            code = pb_utils.TritonError.UNSUPPORTED if refusal.unsupported else pb_utils.TritonError.INVALID_ARG
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(refusal), code))
        except Exception as surprise:
            pb_utils.Logger.log_error(f"clip_decoder: {traceback.format_exc()}")
            message = f"clip_decoder failed: {type(surprise).__name__}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))
        return pb_utils.InferenceResponse([pb_utils.Tensor("FRAMES", frames)])

    def _decode_rows(self, request) -> np.ndarray:
        clips = pb_utils.get_input_tensor_by_name(request, "CLIP").as_numpy()
        indices = pb_utils.get_input_tensor_by_name(request, "FRAME_INDEX").as_numpy()
        rotations = pb_utils.get_input_tensor_by_name(request, "ROTATION").as_numpy()
        rows = zip(clips, indices.tolist(), rotations[:, 0].tolist(), strict=True)
        return np.stack(
            [
                decode_window(clip.tobytes(), index, rotation, self._scaler, self._max_pixels)
                for clip, index, rotation in rows
            ]
        )
