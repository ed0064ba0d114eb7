"""What the CPU decoder saves by not smoothing the block edges of large keyframes, and what that changes.

    python perf/decoder_shortcuts.py VIDEO...

The first clip window of each video is decoded with and without, in turns within one process: read the ratio of
processor time, the mean difference in grey levels of the letterboxed frames, and that in the best score of any label.
"""

from __future__ import annotations

import argparse
from math import inf
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from wildgate_perf.plain_scoring import file_source, model_module, sampling_arguments
from wildgate_perf.server_process import MODEL_REPOSITORY
from wildgate_server.errors import WildgateError
from wildgate_server.media.sampled_video import SampledVideo
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.repository.releases import load_rollout, version_directory
from wildgate_server.sampling.sampler import sample_video

ROUNDS = 7
COUNTED_SCORE = 0.1

Frames = npt.NDArray[np.uint8]


class Decoder:
    """The CPU decoder's code, with deblocking as it is served or always."""

    def __init__(self, *, always_deblocks: bool) -> None:
        manifest = load_manifest(MODEL_REPOSITORY)
        self._module: Any = model_module(MODEL_REPOSITORY / CLIP_DECODER / "1" / "model.py")
        if always_deblocks:
            self._module.DEBLOCKED_BELOW_REDUCTION = inf
        self._scaler = self._module.FrameScaler(manifest.frame_side_px, manifest.letterbox_value)
        self._max_pixels = manifest.max_frame_pixels

    def decode(self, video: SampledVideo) -> tuple[Frames, float]:
        """FRAMES [1, F, S, S, 3] of the first window, and the processor seconds they took."""
        began, window = process_time(), video.windows[0]
        frames = self._module.decode_window(
            window.clip, window.frame_index, video.rotation, self._scaler, self._max_pixels
        )
        return frames[None], process_time() - began


def best_scores(detections: npt.NDArray[np.float32]) -> dict[int, float]:
    """The best score of each class in DETECTIONS [1, F, K, 6]."""
    best: dict[int, float] = {}
    for row in detections.reshape(-1, 6):
        best[int(row[5])] = max(best.get(int(row[5]), 0.0), float(row[4]))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    options = parser.parse_args()
    detector = version_directory(MODEL_REPOSITORY, load_rollout(MODEL_REPOSITORY).serving)
    session = model_module(detector / "model.py").open_session(detector / "model.onnx")
    served, plain = Decoder(always_deblocks=False), Decoder(always_deblocks=True)
    table = Table("video", "codec", "picture", "time", "grey levels", "score")
    for file in options.videos:
        try:
            video = sample_video(file_source(file), *sampling_arguments(MODEL_REPOSITORY))
        except WildgateError as error:
            table.add_row(file.name, f"{error.reason}")
            continue
        rounds = [(served.decode(video), plain.decode(video)) for _ in range(ROUNDS)]
        ratio = median(fast / slow for (_, fast), (_, slow) in rounds)
        (ours, _), (truth, _) = rounds[-1]
        ours_best, true_best = (best_scores(session.run(None, {"FRAMES": frames})[0]) for frames in (ours, truth))
        gaps = [
            abs(ours_best.get(label, 0.0) - true_best.get(label, 0.0))
            for label in ours_best | true_best
            if max(ours_best.get(label, 0.0), true_best.get(label, 0.0)) > COUNTED_SCORE
        ]
        difference = np.abs(ours.astype(np.int16) - truth).mean()
        picture = f"{video.width}x{video.height}"
        table.add_row(
            file.name, video.codec, picture, f"{ratio:.2f}", f"{difference:.2f}", f"{max(gaps, default=0):.3f}"
        )
    Console(soft_wrap=True).print(table)


if __name__ == "__main__":
    main()
