"""Scoring without a server: the same sampler, decoder, model and policy, called one after the other in one thread.

The decoder's and the detector's code is that of the model repository, loaded as Triton loads it. One such loop per core
is the machine's own limit.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from wildgate_perf.loops import Ask, Stages
from wildgate_perf.server_parts import (
    Detection,
    Judgement,
    Letterbox,
    Sampler,
    Sighting,
    View,
    load_policy,
    read_detections,
)
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.repository.releases import load_release, load_rollout, version_directory

_TRITON_MODULE = "triton_python_backend_utils"


class OfflineScorer:
    """Scores videos by the models of `repository`; `cpu_ms` is this thread's processor time for each part of the last.

    Raises ManifestError when the repository is broken.
    """

    def __init__(self, repository: Path) -> None:
        manifest, version = load_manifest(repository), load_rollout(repository).serving
        directory = version_directory(repository, version)
        self._decoder: Any = model_module(repository / CLIP_DECODER / "1" / "model.py")
        self._session = model_module(directory / "model.py").open_session(directory / "model.onnx")
        self._labels = load_release(repository, version, manifest).labels
        self._policy = load_policy()
        self._side = manifest.frame_side_px
        self._limits = self._decoder.Limits(manifest.max_frame_pixels)
        self._scaler = self._decoder.FrameScaler(self._side, manifest.letterbox_value)
        self._sampler = Sampler(repository)
        self.cpu_ms: defaultdict[str, float] = defaultdict(float)

    def score(self, source: bytes | Path) -> Judgement:
        """The judgement on one video, by its bytes or where it lies. Raises what sampler and decoder raise."""
        self.cpu_ms.clear()
        with self._timed("sampling"):
            track = self._sampler.sample(source).default_track
        found: list[Detection] = []
        for window in track.windows:
            with self._timed("decoding"):
                decoded = self._decoder.decode_window(
                    window.clip, window.frame_index, track.display.row, self._scaler, self._limits
                )
            with self._timed("detecting"):
                rows = self._session.run(["DETECTIONS"], {"FRAMES": decoded.frames[None, : len(window.times_s)]})[0]
            letterboxes = [
                Letterbox.of(width, height, self._side) if sound else None
                for (width, height), sound in zip(decoded.picture_size.tolist(), decoded.sound, strict=True)
            ][: len(window.times_s)]
            found += read_detections(rows[0], window.times_s, self._labels, letterboxes)
        with self._timed("policy"):
            times_s = [time_s for window in track.windows for time_s in window.times_s]
            shown_s = [duration_s for window in track.windows for duration_s in window.shown_s]
            sightings = [Sighting(each.label, each.score, each.time_s) for each in found]
            return self._policy.judge(sightings, View.of_frames(times_s, shown_s))

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.thread_time()
        yield
        self.cpu_ms[part] += (time.thread_time() - began) * 1e3


def model_module(file: Path) -> Any:
    """A model's code as a module. Triton's own is empty here: only Triton's hooks use it, and nobody calls them."""
    sys.modules.setdefault(_TRITON_MODULE, ModuleType(_TRITON_MODULE))
    spec = importlib.util.spec_from_file_location(f"{file.parents[1].name}_{file.stem}", file)
    assert spec is not None  # for a name that ends in .py there always is one
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Offline:
    """A workload that scores videos in the load generator's own process; its stages are processor times."""

    repository: Path
    videos: tuple[bytes | Path, ...] = field(repr=False)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Ask]:
        """See `wildgate_perf.workloads.Workload`."""
        scorer = _scorer(self.repository)

        async def ask(number: int) -> Stages:
            scorer.score(self.videos[number % len(self.videos)])
            return scorer.cpu_ms

        yield ask


_scorer = functools.cache(OfflineScorer)  # kept by the process from loop to loop
