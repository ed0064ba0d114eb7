"""Scoring without a server: the same sampler, decoder, model and policy, called one after the other in one thread.

The decoder's and the detector's code is that of the model repository, loaded as Triton loads it. One such loop per core
is the machine's own limit.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, Self

from wildgate_perf.processes import Processes
from wildgate_perf.server_parts import (
    Detection,
    Judgement,
    Letterbox,
    Sampler,
    Sighting,
    keep_freed_memory,
    load_policy,
    read_detections,
)
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.model_configs import CLIP_DECODER
from wildgate_server.repository.releases import load_release, load_rollout, version_directory

Videos = Sequence[bytes | Path]
_TRITON_MODULE = "triton_python_backend_utils"


class OfflineScorer:
    """Scores videos by the models of `repository`; `cpu_s` counts what each part took of this thread's processor time.

    Raises ManifestError when the repository is broken.
    """

    def __init__(self, repository: Path) -> None:
        manifest, version = load_manifest(repository), load_rollout(repository).serving
        directory = version_directory(repository, version)
        self._decoder: Any = _model_module(repository / CLIP_DECODER / "1" / "model.py")
        self._session = _model_module(directory / "model.py").open_session(directory / "model.onnx")
        self._labels = load_release(repository, version, manifest).labels
        self._policy = load_policy()
        self._side, self._max_pixels = manifest.frame_side_px, manifest.max_frame_pixels
        self._scaler = self._decoder.FrameScaler(self._side, manifest.letterbox_value)
        self._sampler = Sampler(repository)
        self.cpu_s: defaultdict[str, float] = defaultdict(float)

    def score(self, source: bytes | Path) -> Judgement:
        """The judgement on one video, by its bytes or where it lies. Raises what sampler and decoder raise."""
        with self._timed("sampling"):
            video = self._sampler.sample(source)
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
        began = time.thread_time()
        yield
        self.cpu_s[part] += time.thread_time() - began


def _model_module(file: Path) -> Any:
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
class OfflineRound:
    """What one process did, or all of them: videos, videos per second, processor seconds, and those by part."""

    videos: int
    per_s: float
    cpu_s: float
    parts_s: dict[str, float]

    def cpu_ms(self) -> dict[str, float]:
        """Processor milliseconds per video, by part; `rest` is what belongs to none."""
        parts = {part: seconds * 1e3 / self.videos for part, seconds in self.parts_s.items()}
        return parts | {"rest": self.cpu_s * 1e3 / self.videos - sum(parts.values())}


def total(rounds: Sequence[OfflineRound]) -> OfflineRound:
    """Processes that ran at the same time, as one."""
    parts: Counter[str] = Counter()
    for each in rounds:
        parts.update(each.parts_s)
    videos, per_s, cpu_s = (sum(getattr(each, name) for each in rounds) for name in ("videos", "per_s", "cpu_s"))
    return OfflineRound(int(videos), per_s, cpu_s, dict(parts))


class Scorer(Protocol):
    """Scores one video; `cpu_s` counts processor time by part."""

    cpu_s: defaultdict[str, float]

    def score(self, source: Any) -> Any: ...


class ScoringLoop(Processes):
    """A context manager: `count` processes, each with a scorer of its own and the videos, that score when told to.

    `scorer` makes one; it crosses into the processes. Entering and scoring raise what it raises, and ProcessEnded.
    """

    def __init__(self, scorer: Callable[[], Scorer], videos: Videos, count: int) -> None:
        super().__init__("scoring loop", count)
        self._arguments = [(scorer, [*videos[place:], *videos[:place]]) for place in range(count)]

    def __enter__(self) -> Self:
        super().__enter__()
        self.run_each(_prepare, self._arguments)
        return self

    def score(self, seconds: float) -> OfflineRound:
        """All processes score for `seconds`, and finish the video they are at."""
        return total(self.run(_score, seconds))

    def answers(self, videos: Videos) -> list[Any]:
        """What the first scorer says of `videos`."""
        return self.run(_answers, videos)[0]


_prepared: tuple[Scorer, Videos]  # of this process


def _prepare(scorer: Callable[[], Scorer], videos: Videos) -> None:
    global _prepared
    keep_freed_memory()  # as the server's processes do: the ratio must not be that of an allocator
    _prepared = (scorer(), videos)
    _prepared[0].score(videos[0])


def _answers(videos: Videos) -> list[Any]:
    return [_prepared[0].score(video) for video in videos]


def _score(seconds: float) -> OfflineRound:
    scorer, videos = _prepared
    scorer.cpu_s.clear()
    began, cpu = time.perf_counter(), time.process_time()
    count, now = 0, began
    while now < began + seconds:
        scorer.score(videos[count % len(videos)])
        count, now = count + 1, time.perf_counter()
    # To the end of the last video, so that no part of one counts for nothing.
    return OfflineRound(count, count / (now - began), time.process_time() - cpu, dict(scorer.cpu_s))
