"""Sampling in worker processes: a video that crashes, hangs or balloons one is refused and harms nothing else."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import resource
import signal
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WorkerTimeout
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

import structlog
from pebble import ProcessExpired, ProcessPool

from wildgate_server.errors import BackendUnavailable, CorruptVideo, ShuttingDown
from wildgate_server.manifest import ModelManifest
from wildgate_server.sampler import SampledVideo, VideoLimits, sample_video
from wildgate_server.sampling import SamplingConfig
from wildgate_server.settings import SamplingSettings, SourceSettings

__all__ = ["SamplingPool"]

_log = structlog.get_logger()

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_ATTEMPTS = 2  # a worker may have died since its last video; the next one is new

Result = TypeVar("Result")
SampleTask = Callable[[bytes | Path, SamplingConfig, VideoLimits], SampledVideo]


class SamplingPool:
    """Processes that turn videos into clip windows of F places.

    Each worker is a pebble pool of one process, and has one video at a time: videos wait here, where leaving costs
    nothing, and what befalls a worker or its pipe is between it and its video. `task`, a function that workers can
    import, is what they do with a video; `read_coding` is whether how clips are coded is of use.
    """

    def __init__(
        self,
        settings: SamplingSettings,
        source: SourceSettings,
        manifest: ModelManifest,
        task: SampleTask = sample_video,
        *,
        read_coding: bool = True,
    ) -> None:
        self._task = task
        self._timeout_s = settings.timeout_s
        self._config = SamplingConfig(
            frames_per_window=manifest.frames_per_window,
            max_gap_s=settings.max_gap_s,
            max_frames=settings.max_frames,
            max_decoded_frames=settings.max_decoded_frames,
            max_clip_bytes=settings.max_clip_mb << 20,
            read_coding=read_coding,
        )
        self._limits = VideoLimits(
            max_bytes=source.max_bytes, max_pixels=manifest.max_frame_pixels, max_seconds=source.max_seconds
        )
        self._workers = [_Worker(settings.worker_memory_mb << 20) for _ in range(settings.workers)]
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        for worker in self._workers:
            self._idle.put_nowait(worker)
        self._closed = False

    async def warm_up(self) -> None:
        """Starts the workers, so that the first videos do not wait for them."""
        await asyncio.gather(*(asyncio.wrap_future(worker.schedule(_prepared)) for worker in self._workers))

    async def sample(self, source: bytes | Path) -> SampledVideo:
        """Samples one video in a worker.

        Raises what `sample_video` raises, and CorruptVideo when the worker crashed on the video, ran out of memory or
        exceeded `timeout_s`; BackendUnavailable when workers die before they begin; ShuttingDown after `close`. A
        cancelled caller leaves its worker to finish: killing it would cost more.
        """
        for _ in range(_ATTEMPTS):
            if self._closed:
                raise ShuttingDown("this server is stopping")
            worker = await self._idle.get()
            try:
                return await asyncio.shield(asyncio.wrap_future(self._start(worker, source)))
            except WorkerTimeout:
                _log.warning("sampling_timed_out", timeout_s=self._timeout_s)
                message = f"reading the video took longer than {self._timeout_s:g} s"
                raise CorruptVideo(message, field="source") from None
            except ProcessExpired as crash:
                _log.warning("sampling_worker_crashed", exit_code=crash.exitcode)
                raise CorruptVideo("the video crashed the process that read it", field="source") from None
            except MemoryError:
                _log.warning("sampling_out_of_memory")
                message = "reading the video took more memory than a worker has"
                raise CorruptVideo(message, field="source") from None
            except BrokenProcessPool:
                _log.warning("sampling_worker_died_idle")
        raise BackendUnavailable("sampling workers die before they begin", retry_after_s=1.0)

    def _start(self, worker: _Worker, source: bytes | Path) -> Future[SampledVideo]:
        """Has an idle worker sample a video; it is idle again when that is done, whoever waits for it."""
        loop = asyncio.get_running_loop()
        try:
            task = worker.schedule(self._task, source, self._config, self._limits, timeout_s=self._timeout_s)
        except BaseException:
            self._idle.put_nowait(worker)
            raise
        task.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release, worker, task))
        return task

    def _release(self, worker: _Worker, task: Future[SampledVideo]) -> None:
        if not task.cancelled() and isinstance(task.exception(), BrokenProcessPool):
            worker.renew()
        self._idle.put_nowait(worker)

    def close(self) -> None:
        """Ends the workers, finished or not. Blocks until they are gone."""
        self._closed = True
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join()


class _Worker:
    """One process, started anew when it dies.

    It is spawned, never forked: a fork of a process that has used gRPC may hang.
    """

    def __init__(self, max_memory: int) -> None:
        self._max_memory = max_memory
        self._pool = self._new_pool()
        self._given_up: list[ProcessPool] = []

    def schedule(
        self, function: Callable[..., Result], *args: object, timeout_s: float | None = None
    ) -> Future[Result]:
        """Has the process call the function; the future raises BrokenProcessPool when it had died before."""
        if not self._pool.active:
            self.renew()
        return self._pool.schedule(function, args=args, timeout=timeout_s)

    def renew(self) -> None:
        """Takes a new pool for one that pebble gave up, as it does when a process dies without a task."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._given_up.append(self._pool)
        self._pool = self._new_pool()

    def stop(self) -> None:
        """Ends the process without waiting for it."""
        for pool in (self._pool, *self._given_up):
            pool.stop()  # type: ignore[no-untyped-call]

    def join(self) -> None:
        """Waits for what `stop` began."""
        for pool in (self._pool, *self._given_up):
            pool.join()

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            context=multiprocessing.get_context("spawn"),
            initializer=_prepare_worker,
            initargs=(self._max_memory,),
        )


def _prepare_worker(max_memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (max_memory, max_memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the gateway's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pebble's own handler never runs while C code hangs
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a killed gateway leaves no workers behind


def _prepared() -> None:
    """Does nothing, in a worker that has imported all it needs."""
