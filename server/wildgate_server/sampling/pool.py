"""Sampling in worker processes: a video that crashes, hangs or balloons one is refused and harms nothing else."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import structlog

from wildgate_server.box import Box, held, landlock_abi
from wildgate_server.box_settings import BoxSettings, worker_box
from wildgate_server.budget import Budget
from wildgate_server.errors import BackendUnavailable, ShuttingDown
from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.sampling.look import PLAIN_LOOK, Look
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.process import ProcessDied, SamplingProcess
from wildgate_server.sampling.sampler import sample_video
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.sampling.worker import SampleTask, WorkerOrders
from wildgate_server.source.origins import Origins
from wildgate_server.source.video_source import VideoSource

__all__ = ["SamplingPool"]

_log = structlog.get_logger()

_ATTEMPTS = 2  # a worker may have died since its last video; the next one is new


class SamplingPool:
    """Processes that turn videos into clip windows of F places.

    Each has one video at a time: videos wait here, where leaving costs nothing, and what happens to a worker is between
    it and its video. Remote sources have workers of their own, started when they are needed: they mostly wait, and
    slow hosts would leave none for the rest. `task`, a function that workers can import, is what they do with a video.
    """

    def __init__(
        self,
        settings: SamplingSettings,
        config: SamplingConfig,
        limits: VideoLimits,
        task: SampleTask = sample_video,
        boxes: BoxSettings | None = None,
    ) -> None:
        self._timeout_s = settings.timeout_s

        def group(workers: int, *, fetches: bool) -> _WorkerGroup:
            box = worker_box(boxes, fetches=fetches) if boxes else Box()
            orders = WorkerOrders(task, config, limits, settings.worker_memory_mb << 20, settings.processor_s, box)
            return _WorkerGroup(orders, workers, boxes.videos_per_worker if boxes else None)

        self._readers = group(settings.workers, fetches=False)
        self._fetchers = group(settings.fetch_workers, fetches=True)
        self._origins = Origins(settings.fetch_workers)
        self._under_way: set[asyncio.Task[SampledVideo]] = set()

    async def warm_up(self) -> None:
        """Starts the workers, except those that fetch, so that the first videos do not wait for them.

        Says in the log what holds of their box. Raises BackendUnavailable when a worker dies at its start.
        """
        try:
            await asyncio.gather(*(worker.ready() for worker in self._readers.workers))
        except ProcessDied:
            raise _no_worker() from None
        _log.info("sampling_workers_boxed", landlock=landlock_abi() > 0, **held(self._readers.workers[0].pid))

    async def sample(self, source: VideoSource, look: Look = PLAIN_LOOK, budget: Budget | None = None) -> SampledVideo:
        """Samples one video in a worker, as `look` asks and its `budget` allows.

        Raises what `SamplingProcess.sample` raises, but BackendUnavailable when workers die before they begin. A
        cancelled caller leaves its worker to finish: killing it would cost more.
        """
        group = self._readers if source.origin is None else self._fetchers
        for _ in range(_ATTEMPTS):
            with ExitStack() as held:
                if source.origin is not None:
                    held.callback(await self._origins.turn(source.origin))
                worker = await group.idle.get()
                held.callback(group.take_back, worker)
                done = held.pop_all()  # the work's: it may go on when its caller has left
            work = asyncio.create_task(self._work(done, worker, source, look, budget), name="sampling")
            self._under_way.add(work)
            work.add_done_callback(self._ended)
            try:
                return await asyncio.shield(work)
            except ProcessDied as death:
                _log.warning("sampling_worker_died_idle", exit_code=death.exit_code)
        raise _no_worker()

    async def _work(
        self, done: ExitStack, worker: SamplingProcess, source: VideoSource, look: Look, budget: Budget | None
    ) -> SampledVideo:
        """Has an idle worker sample a video; it is idle again when that is done, even if the caller has left."""
        with done:
            return await worker.sample(source, self._timeout_s, look, budget)

    def _ended(self, work: asyncio.Task[SampledVideo]) -> None:
        self._under_way.remove(work)
        if not work.cancelled():
            work.exception()  # else asyncio would log an error that nobody takes, as when its caller has left

    @property
    def deaths(self) -> int:
        """How many workers have ended unasked."""
        return self._readers.deaths + self._fetchers.deaths

    @property
    def workers(self) -> dict[tuple[str, ...], float]:
        """How many workers there are, by kind (reader, fetcher) and state (idle, busy)."""
        workers: dict[tuple[str, ...], float] = {}
        for kind, group in (("reader", self._readers), ("fetcher", self._fetchers)):
            idle = group.idle.qsize()
            workers |= {(kind, "idle"): idle, (kind, "busy"): len(group.workers) - idle}
        return workers

    def close(self) -> None:
        """Ends the workers, finished or not. Blocks until they are gone."""
        for worker in (*self._readers.workers, *self._fetchers.workers):
            worker.close()


class _WorkerGroup:
    """Workers that take turns: who takes one from `idle` gives it back by `take_back`.

    One that has had `most_videos` is replaced: whoever has taken it over shall not see all that come. `deaths` is how
    many have ended unasked.
    """

    def __init__(self, orders: WorkerOrders, count: int, most_videos: int | None) -> None:
        self._most_videos = most_videos
        self.deaths = 0
        self.workers = [SamplingProcess(orders) for _ in range(count)]
        # The last one to have worked is the next: its memory is in the caches, and the others' need not grow.
        self.idle: asyncio.LifoQueue[SamplingProcess] = asyncio.LifoQueue()
        for worker in self.workers:
            self.idle.put_nowait(worker)
        self._restarting: set[asyncio.Task[None]] = set()

    def take_back(self, worker: SamplingProcess) -> None:
        """Makes a worker idle; one that has died or had its videos, once its new process is ready."""
        if worker.is_ready and not self._is_worn(worker):
            self.idle.put_nowait(worker)
            return
        self.deaths += worker.pid > 0 and not worker.lives
        task = asyncio.create_task(self._restarted(worker), name="sampling worker")
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    def _is_worn(self, worker: SamplingProcess) -> bool:
        return self._most_videos is not None and worker.sampled >= self._most_videos

    async def _restarted(self, worker: SamplingProcess) -> None:
        try:
            if self._is_worn(worker):
                await asyncio.to_thread(worker.end)
            await worker.ready()
        except ShuttingDown:
            pass
        except (ProcessDied, OSError) as error:  # its next video tries again
            _log.warning("sampling_worker_not_replaced", error=str(error))
        finally:
            self.idle.put_nowait(worker)


def _no_worker() -> BackendUnavailable:
    return BackendUnavailable("sampling workers die before they begin", retry_after_s=1.0)
