"""The scorer that every peer gets: a whole video's bytes in, keyframes through wildgate's own ONNX file, an answer out.

Decoding is the idea of PyAV's documentation ("Saving Keyframes" in its cookbook: `codec_context.skip_frame =
"NONKEY"`), with what an engineer who profiles it would add:

- one scaling pass straight from the decoder's YUV to the small RGB picture (`VideoReformatter.reformat`), not to full
  size RGB first;
- the area filter with full chroma, which measured fastest and is the one nearest to how the detector was trained;
- one thread per decode: there are as many worker processes as cores, and frame threads make keyframes wait for each
  other.

Eight keyframes of a 720x1280 H.264 video took 28 ms on one core that way. With bilinear scaling it was 34 ms, by way of
full-size RGB 37 ms before any scaling, with frame threads on two idle cores 62 ms, and with slice threads on two idle
cores, which no busy server has, 25 ms.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import numpy.typing as npt
import onnxruntime
from av.video.reformatter import Interpolation, VideoReformatter

LEAST_SCORE = 0.05
"""Detections below this are left out of answers, as a service would; the gateway's policy asks for more."""

Answer = dict[str, Any]
"""`times_s`: when each looked-at frame is shown; `detections`: rows of [frame, x1, y1, x2, y2, score, class]."""

Pixels = npt.NDArray[np.uint8]
Squares = list[Pixels]
_AREA = Interpolation.AREA | Interpolation.FULL_CHR_H_INT


class Scorer:
    """The detector in `graph`, warmed up, in an ONNX Runtime session of one thread.

    It takes squares of S = `side` pixels, padded with `letterbox_value`.
    """

    def __init__(self, graph: Path, letterbox_value: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.fspath(graph), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0]
        self.side = int(self._input.shape[2])
        self._letterbox_value = letterbox_value
        self.detect([np.zeros((self.side, self.side, 3), np.uint8)], [0.0])  # the first run allocates

    def score(self, video: bytes) -> Answer:
        """The answer to one video. Raises what PyAV raises."""
        return self.detect(*self.keyframes(video))

    def keyframes(
        self, video: bytes, skip_frame: Literal["NONKEY", "DEFAULT"] = "NONKEY"
    ) -> tuple[Squares, list[float]]:
        """The keyframes of a media file, letterboxed, UINT8 RGB [S, S, 3], and when they are shown, in seconds.

        `skip_frame` says which frames the decoder leaves out, as FFmpeg calls them.
        """
        squares, times_s = [], []
        reformatter = VideoReformatter()
        with av.open(io.BytesIO(video), "r") as container:
            stream = container.streams.video[0]
            stream.codec_context.skip_frame = skip_frame
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                if frame.key_frame:
                    squares.append(self._letterboxed(frame, reformatter))
                    times_s.append(float(frame.time or 0.0))
        return squares, times_s

    def detect(self, squares: Sequence[Pixels], times_s: Sequence[float]) -> Answer:
        """The answer for squares, one or more, shown at `times_s`."""
        return answer_of(self._session.run(None, {self._input.name: np.stack(squares)[None]})[0], times_s)

    def fitted(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a picture when it is scaled to fit the square."""
        scale = self.side / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def centred(self, picture: npt.NDArray[Any]) -> Pixels:
        """`picture`, UINT8 [h, w, 3] of at most S a side, in the middle of a square of the letterbox value."""
        height, width = picture.shape[:2]
        left, top = (self.side - width) // 2, (self.side - height) // 2
        square = np.full((self.side, self.side, 3), self._letterbox_value, np.uint8)
        square[top : top + height, left : left + width] = picture
        return square

    def _letterboxed(self, frame: av.VideoFrame, reformatter: VideoReformatter) -> Pixels:
        width, height = self.fitted(frame.width, frame.height)
        small = reformatter.reformat(frame, width=width, height=height, format="rgb24", interpolation=_AREA, threads=1)
        return self.centred(small.to_ndarray())


def answer_of(found: npt.NDArray[np.float32], times_s: Sequence[float]) -> Answer:
    """What callers get of detections FP32 [1, n, K, 6] of frames shown at `times_s`."""
    [frames] = found
    frame, row = np.nonzero(frames[..., 4] >= LEAST_SCORE)
    rows = np.column_stack([frame, frames[frame, row]])
    return {"times_s": list(times_s), "detections": rows.round(4).tolist()}
