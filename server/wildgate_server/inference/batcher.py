"""Clip windows of many requests become few Triton requests.

Rows that share a clip stay together, for the decoder then decodes it once: they are one entry.

One loop blocks for the first row, then gives it company until the batch is full or one timer ends; batches under way
are bounded, so that rows gather while Triton is busy. A batch that Triton refuses, or ends over, is asked again row by
row: one bad video never fails its batch-mates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from time import monotonic

import numpy as np
import numpy.typing as npt
import structlog
from pydantic import Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    Overloaded,
    RowRefused,
    ShuttingDown,
    WildgateError,
)
from wildgate_server.triton.client import BackendLost, ClipRow, DetectionBatch

__all__ = ["BatchSettings", "Batcher", "RowResult"]

_log = structlog.get_logger()

_MOST_LOSSES = 3
_LOSS_PAUSE_S = 0.2
_HELD_S = 30.0  # longer than the decoder that is patient takes for a window, whatever else the machine does

Detect = Callable[[Sequence[ClipRow], float], Awaitable[DetectionBatch]]


class BatchSettings(ConfigSection):
    """How clip windows become Triton requests."""

    max_rows: int = Field(8, ge=1)
    """Windows in one Triton request, at most."""
    max_wait_ms: float = Field(0.0, ge=0)
    """How long the first window of a batch waits for company. Without waiting, a batch is what gathered while all
    requests were under way, so batches grow with the load; on CPUs that measured best."""
    max_batch_mb: int = Field(64, ge=1)
    """Largest Triton request, padding included."""
    max_in_flight: int = Field(4, ge=1)
    """Triton requests under way at once."""
    max_waiting: int = Field(64, ge=1)
    """Windows that take long to decode and wait their turn, at most; further videos are OVERLOADED."""


@dataclass(frozen=True, slots=True)
class RowResult:
    """The tensors of a DetectionBatch for one row, and the detector's version that made them.

    `queue_ms` is how long the row waited for its batch, `infer_ms` how long Triton took.
    """

    detections: npt.NDArray[np.float32]
    sound: npt.NDArray[np.uint8]
    picture_size: npt.NDArray[np.int32]
    fingerprint: npt.NDArray[np.uint8]
    fingerprint_quality: npt.NDArray[np.int32]
    cost: npt.NDArray[np.float32]
    version: int
    queue_ms: float
    infer_ms: float

    @property
    def decode_ms(self) -> float:
        """Milliseconds of `infer_ms`, 0 where it is not known."""
        return min(float(self.cost[2]) * 1e3, self.infer_ms)


@dataclass(eq=False, slots=True)
class _Entry:
    """Rows that go together, and what becomes of them."""

    rows: Sequence[ClipRow]
    deadline: float
    result: asyncio.Future[list[RowResult]]
    queued: float = field(default_factory=monotonic)

    @property
    def gone(self) -> bool:
        return self.result.done()


class Batcher:
    """Gathers rows into batches for `detect`; owns its loop and its batches from `start` to `close`.

    `alone` is for rows that take long: each goes by itself, and no other in its place before Triton is done with it, so
    that little of what its caller has left goes on. At most `max_waiting` of these wait. `detect(rows, timeout_s)`
    answers all rows or raises what `TritonClient.detect` does.
    """

    def __init__(self, settings: BatchSettings, detect: Detect, *, alone: bool = False) -> None:
        self._settings = settings
        self._alone = alone
        self._detect = detect
        self._max_bytes = settings.max_batch_mb << 20
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue()  # bounded by admission: a video has few windows
        self._held: _Entry | None = None
        self._forming: list[_Entry] = []
        self._places = asyncio.Semaphore(settings.max_in_flight)
        self._batches: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Rows that wait for a batch, those that share a clip as one."""
        return self._queue.qsize() + (self._held is not None)

    @property
    def healthy(self) -> bool:
        """Whether the loop runs."""
        return self._loop is not None and not self._loop.done()

    def start(self) -> None:
        """Begins to take rows."""
        self._loop = asyncio.create_task(self._run(), name="batcher")

    async def close(self) -> None:
        """Ends; rows that still wait fail with ShuttingDown."""
        tasks = [task for task in (self._loop, *self._batches) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail_waiting(ShuttingDown("this server is stopping"))

    async def submit(self, rows: Sequence[ClipRow], deadline: float) -> list[RowResult]:
        """The detections of rows that share a clip, asked for before `deadline` (monotonic seconds).

        They go in one request, as far as one takes them. Raises RowRefused when Triton cannot decode them by
        themselves, BackendUnavailable, DeadlineExceeded.
        """
        if not self.healthy:
            raise BackendUnavailable("the batcher has stopped")
        if self._alone and self.depth >= self._settings.max_waiting:
            raise Overloaded(f"{self.depth} windows that take long to decode are waiting", retry_after_s=1.0)
        loop, most = asyncio.get_running_loop(), self._settings.max_rows
        entries = [
            _Entry(rows[start : start + most], deadline, loop.create_future()) for start in range(0, len(rows), most)
        ]
        for entry in entries:
            self._queue.put_nowait(entry)
        try:
            async with asyncio.timeout(deadline - monotonic()):
                answers = await asyncio.gather(*(entry.result for entry in entries))
        except TimeoutError:
            raise DeadlineExceeded("the detector did not answer in time") from None
        return [result for answer in answers for result in answer]

    async def _run(self) -> None:
        try:
            while True:
                self._forming.append(await self._next())
                await self._places.acquire()
                try:
                    batch = await self._gather()
                except BaseException:
                    self._places.release()
                    raise
                if not batch:
                    self._places.release()
                    continue
                task = asyncio.create_task(self._ask(batch), name="batch")
                self._batches.add(task)
                task.add_done_callback(partial(self._batch_done, batch))
        except Exception:
            _log.exception("batcher_died")
            self._fail_waiting(BackendUnavailable("the batcher has stopped"))

    def _batch_done(self, batch: list[_Entry], task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._places.release()
        self._fail(batch, ShuttingDown("this server is stopping"))  # a task cancelled before it began resolves nothing

    async def _next(self) -> _Entry:
        """The next row whose caller still waits."""
        while True:
            entry, self._held = self._held, None
            entry = entry or await self._queue.get()
            if not entry.gone:
                return entry

    async def _gather(self) -> list[_Entry]:
        """A batch that begins with the row in `_forming`, less those whose callers have left."""
        forming, most = self._forming, self._most_together()
        try:
            async with asyncio.timeout(self._settings.max_wait_ms / 1000):
                while len(forming) < most and sum(len(entry.rows) for entry in forming) < self._settings.max_rows:
                    forming.append(await self._next())
                    rows = [row for entry in forming for row in entry.rows]
                    longest = max(len(row.clip) for row in rows)
                    if len(rows) > self._settings.max_rows or longest * len(rows) > self._max_bytes:
                        self._held = forming.pop()  # too large together: it opens the next batch
                        break
        except TimeoutError:
            pass
        self._forming = []
        return [entry for entry in forming if not entry.gone]

    def _most_together(self) -> int:
        """Entries of a batch: an equal part, for each request that may go now, of what is there.

        Else those that come at the same moment would go as one, end as one, and so on, while Triton's other instances
        have nothing to do.
        """
        if self._alone:
            return 1
        if self._settings.max_wait_ms:
            return self._settings.max_rows  # company is wanted
        free = self._settings.max_in_flight - len(self._batches)  # the place that this batch has is one of them
        return ceil((1 + self._queue.qsize()) / free)

    async def _ask(self, batch: list[_Entry]) -> None:
        """Asks for a batch, whose place is taken until Triton has answered, whoever has left meanwhile."""
        try:
            await self._resolve(batch)
        except Exception as error:
            if not isinstance(error, WildgateError | RowRefused):
                _log.exception("batch_failed")
                error = BackendUnavailable("the batch failed unexpectedly")
            self._fail(batch, error)

    async def _resolve(self, batch: list[_Entry], losses: int = 0) -> None:
        try:
            await self._resolve_together(batch)
        except RowRefused as refusal:
            if len(batch) == 1:
                self._fail(batch, refusal)
                return
            await self._resolve_one_by_one(batch, losses)
        except BackendLost:
            if losses == _MOST_LOSSES:
                raise
            await asyncio.sleep(_LOSS_PAUSE_S * 2**losses)
            await self._resolve_one_by_one(batch, losses + 1)  # one of them may be what ended it

    async def _resolve_one_by_one(self, batch: list[_Entry], losses: int) -> None:
        for entry in batch:
            if entry.gone:
                continue
            try:
                await self._resolve([entry], losses)
            except BackendLost as error:
                self._fail([entry], error)
                losses = _MOST_LOSSES  # where Triton is away, the others need not find that out as slowly
                await asyncio.sleep(_LOSS_PAUSE_S)
            except WildgateError as error:
                self._fail([entry], error)

    async def _resolve_together(self, batch: list[_Entry]) -> None:
        started = monotonic()
        timeout_s = max(entry.deadline for entry in batch) - started + self._alone * _HELD_S
        answer = await self._detect([row for entry in batch for row in entry.rows], timeout_s)
        infer_ms = (monotonic() - started) * 1e3
        pictures = zip(answer.detections, answer.sound, answer.picture_size, strict=True)
        rows = zip(pictures, answer.fingerprint, answer.fingerprint_quality, answer.cost, strict=True)
        for entry in batch:
            own = [next(rows) for _ in entry.rows]
            if not entry.gone:
                queue_ms = (started - entry.queued) * 1e3
                entry.result.set_result(
                    [
                        RowResult(*picture, hashes, quality, cost, answer.version, queue_ms, infer_ms)
                        for picture, hashes, quality, cost in own
                    ]
                )

    def _fail(self, batch: Sequence[_Entry], error: Exception) -> None:
        for entry in batch:
            if not entry.gone:
                entry.result.set_exception(error)

    def _fail_waiting(self, error: Exception) -> None:
        waiting = self._forming + ([self._held] if self._held else [])
        self._forming, self._held = [], None
        while not self._queue.empty():
            waiting.append(self._queue.get_nowait())
        self._fail(waiting, error)
