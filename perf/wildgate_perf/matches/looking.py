"""Videos as a server looks at them, in this process: its sampler, its decoder, its fingerprints, without Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wildgate_perf.offline import model_module
from wildgate_perf.server_parts import (
    Block,
    ClipRow,
    Letterbox,
    RowRefused,
    Sampler,
    VideoFingerprint,
    block_of,
    look_densely,
    read_fingerprint,
    with_usual_looks,
    without_repeats,
)
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.model_configs import CLIP_DECODER, FRAME_FINGERPRINT

__all__ = ["Looker", "SeenVideo"]

Frames = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SeenVideo:
    """A video's fingerprint, and its looked-at pictures by track and time."""

    fingerprint: VideoFingerprint
    pictures: dict[tuple[int, float], Frames]


class Looker:
    """Looks by the models of `repository`; stands in for `TritonClient` where a video is looked at densely."""

    def __init__(self, repository: Path) -> None:
        manifest = load_manifest(repository)
        self._decoder: Any = model_module(repository / CLIP_DECODER / "1" / "model.py")
        directory = repository / FRAME_FINGERPRINT / "1"
        self._session = model_module(directory / "model.py").open_session(directory / "model.onnx")
        self._scaler = self._decoder.FrameScaler(manifest.frame_side_px, manifest.letterbox_value)
        self._side = manifest.frame_side_px
        self._limits = self._decoder.Limits(manifest.max_frame_pixels)
        self._sampler, self._dense = Sampler(repository), Sampler(repository, dense=True)

    def look(self, video: bytes | Path) -> SeenVideo:
        """As the gateway does with every video. Raises what the sampler raises."""
        sampled = self._sampler.sample(video)
        found, pictures = [], {}
        windows = [(track, window) for track in sampled.tracks for window in track.windows]
        for track, window in windows:
            try:
                frames, sizes = self._pictures(ClipRow(window.clip, window.frame_index, track.display))
            except RowRefused:
                continue
            hashes, quality = self._fingerprint(frames, sizes)
            for place, time_s in enumerate(window.times_s):
                if sizes[0, place].all():
                    found.append(read_fingerprint(hashes[0, place], quality[0, place], time_s, track.number))
                    box = Letterbox.of(int(sizes[0, place, 0]), int(sizes[0, place, 1]), self._side)
                    pictures[track.number, time_s] = box.crop(frames[0, place]).copy()
        duration_s = max(track.last_s - track.first_s for track in sampled.tracks)
        return SeenVideo(VideoFingerprint(without_repeats(found), duration_s), pictures)

    def confirmed(self, video: bytes | Path) -> Block:
        """The entry for a video that is to be blocked. Raises what sampler and `look_densely` raise."""
        sampled = with_usual_looks(self._dense.sample(video), self._sampler.sample(video))
        return block_of(asyncio.run(look_densely(sampled, self, CLIP_DECODER, inf)))

    async def pictures(self, decoder: str, rows: Sequence[ClipRow], timeout_s: float) -> tuple[Frames, Sizes]:
        """See `Fingerprinter`."""
        [row] = rows
        return self._pictures(row)

    async def fingerprint(self, frames: Frames, picture_size: Sizes, timeout_s: float) -> tuple[Frames, Sizes]:
        """See `Fingerprinter`."""
        return self._fingerprint(frames, picture_size)

    def _pictures(self, row: ClipRow) -> tuple[Frames, Sizes]:
        try:
            decoded = self._decoder.decode_window(
                row.clip, row.frame_index, row.display.row, self._scaler, self._limits
            )
        except self._decoder.ClipRefusedError as refusal:
            raise RowRefused(str(refusal)) from refusal
        return decoded.frames[None], decoded.picture_size[None]

    def _fingerprint(self, frames: Frames, sizes: Sizes) -> tuple[Frames, Sizes]:
        hashes, quality = self._session.run(None, {"FRAMES": frames, "PICTURE_SIZE": sizes})
        return hashes, quality
