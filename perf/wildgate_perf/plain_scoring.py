"""Scoring without a server: the same sampler, decoder, model and policy, called one after the other in one thread.

The decoder's and the detector's code is that of the model repository, loaded as Triton loads it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import thread_time
from types import ModuleType
from typing import Any

from wildgate_server.inference.detections import Detection, Letterbox, read_detections
from wildgate_server.media.sampled_video import VideoLimits
from wildgate_server.policy import Judgement, Sighting, load_policy
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.repository.releases import load_release, load_rollout, version_directory
from wildgate_server.sampling.offline import default_config, default_limits
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.sampler import sample_video
from wildgate_server.source.content import Content
from wildgate_server.source.local_file import VideoFile

__all__ = ["PlainScorer", "file_source", "model_module", "sampling_arguments"]

_TRITON_MODULE = "triton_python_backend_utils"


def sampling_arguments(repository: Path) -> tuple[SamplingConfig, VideoLimits]:
    """How `wildgate serve` samples with its default settings and profile."""
    manifest = load_manifest(repository)
    config = default_config(manifest.frames_per_window)
    return config, default_limits(manifest.max_frame_pixels)


def file_source(file: Path) -> VideoFile:
    """What the sampler is given for a `file:` URI."""
    return VideoFile(file)


class PlainScorer:
    """Scores videos by the models of `repository`; `cpu_s` counts what each part took of this thread's processor time.

    Raises ManifestError when the repository is broken.
    """

    def __init__(self, repository: Path) -> None:
        manifest = load_manifest(repository)
        version = load_rollout(repository).serving
        directory = version_directory(repository, version)
        self._decoder: Any = model_module(repository / CLIP_DECODER / "1" / "model.py")
        self._session = model_module(directory / "model.py").open_session(directory / "model.onnx")
        self._labels = load_release(repository, version, manifest).labels
        self._policy = load_policy()
        self._side, self._max_pixels = manifest.frame_side_px, manifest.max_frame_pixels
        self._scaler = self._decoder.FrameScaler(self._side, manifest.letterbox_value)
        self._config, self._limits = sampling_arguments(repository)
        self.cpu_s: defaultdict[str, float] = defaultdict(float)

    def score(self, source: Any) -> Judgement:
        """The judgement on one video, its bytes or anything that `sample_video` takes. Raises what they raise."""
        with self._timed("sampling"):
            given = Content(source) if isinstance(source, bytes) else source
            video = sample_video(given, self._config, self._limits)
        letterbox = Letterbox.of(video.width, video.height, video.rotation, self._side)
        found: list[Detection] = []
        for window in video.windows:
            with self._timed("decoding"):
                frames = self._decoder.decode_window(
                    window.clip, window.frame_index, video.rotation, self._scaler, self._max_pixels
                )
            with self._timed("detecting"):
                rows = self._session.run(["DETECTIONS"], {"FRAMES": frames[None]})[0]
            found += read_detections(rows[0], window.times_s, self._labels, letterbox)
        with self._timed("policy"):
            looked_at_s = [time_s for window in video.windows for time_s in window.times_s]
            return self._policy.judge([Sighting(each.label, each.score, each.time_s) for each in found], looked_at_s)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = thread_time()
        yield
        self.cpu_s[part] += thread_time() - began


def model_module(file: Path) -> Any:
    """A model's code as a module. Triton's own is empty here: only Triton's hooks, which nobody calls, use it."""
    sys.modules.setdefault(_TRITON_MODULE, ModuleType(_TRITON_MODULE))
    spec = importlib.util.spec_from_file_location(f"{file.parents[1].name}_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
