"""Frames as the detector sees them in the server: sampled by wildgate's sampler, decoded by wildgate's decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wildgate_build.errors import FramesError
from wildgate_build.frames.decoder import ClipDecoder
from wildgate_server.repository.manifest import ManifestError, load_manifest
from wildgate_server.sampling.offline import NotAVideo, WildgateError, default_config, default_limits, sample_file

__all__ = ["FrameSource", "VideoFile", "VideoFrames", "video_files"]


@dataclass(frozen=True, eq=False)
class VideoFrames:
    """A video's looked-at frames: uint8 [n, S, S, 3], shown at `times_s` (ascending) for `shown_s` seconds."""

    path: Path
    times_s: tuple[float, ...]
    shown_s: tuple[float, ...]
    frames: npt.NDArray[np.uint8]


class FrameSource:
    """Samples and decodes videos as a server with default settings and this model repository does.

    `frames` and `side` are the detector's F and S. Raises FramesError without a manifest or a decoder.
    """

    def __init__(self, repository: Path, frames: int, side: int) -> None:
        try:
            manifest = load_manifest(repository)
        except ManifestError as error:
            raise FramesError(f"videos are decoded by the manifest: {error}") from error
        self._sampling = default_config(frames)
        self._limits = default_limits(manifest.max_frame_pixels)
        self._decoder = ClipDecoder(repository, manifest, side)

    def look(self, path: Path) -> VideoFrames:
        """The looked-at frames of one video. Raises FramesError, naming it."""
        try:
            track = sample_file(path, self._sampling, self._limits).default_track
            shown_s = {
                time_s: s for window in track.windows for time_s, s in zip(window.times_s, window.shown_s, strict=True)
            }
            frames = {
                time_s: frame
                for window in track.windows
                for time_s, frame in self._decoder.frames(window, track.display).items()
            }
        except WildgateError as error:
            raise FramesError(f"{path}: {error.message}") from error
        except FramesError as refusal:
            raise FramesError(f"{path}: {refusal}") from refusal
        if not frames:
            raise FramesError(f"{path}: no frame that was to be looked at can be decoded")
        return VideoFrames(
            path, tuple(frames), tuple(shown_s[time_s] for time_s in frames), np.stack([*frames.values()])
        )

    def look_at_all(self, videos: Sequence[VideoFile]) -> Iterator[VideoFrames]:
        """The looked-at frames of each video; files in a folder that are not videos are skipped.

        Raises FramesError, naming the video, or if all were skipped.
        """
        looked_at = 0
        for video in videos:
            try:
                seen = self.look(video.path)
            except FramesError as error:
                if video.asked_for or not isinstance(error.__cause__, NotAVideo):
                    raise
                continue
            looked_at += 1
            yield seen
        if not looked_at:
            raise FramesError(f"no video in {', '.join(sorted({str(v.path.parent) for v in videos}))}")


@dataclass(frozen=True)
class VideoFile:
    """A file to look at: `asked_for` by name, or found in a folder."""

    path: Path
    asked_for: bool


def video_files(places: Sequence[Path]) -> list[VideoFile]:
    """The given files, and the files in the given folders by name, without hidden ones.

    Raises FramesError for a place that does not exist, and when there is no file.
    """
    files = []
    for place in places:
        if place.is_dir():
            found = sorted(file for file in place.iterdir() if file.is_file() and not file.name.startswith("."))
            files += [VideoFile(file, asked_for=False) for file in found]
        elif place.is_file():
            files.append(VideoFile(place, asked_for=True))
        else:
            raise FramesError(f"{place}: there is no such file or folder")
    if not files:
        raise FramesError(f"no file in {', '.join(map(str, places))}")
    return files
