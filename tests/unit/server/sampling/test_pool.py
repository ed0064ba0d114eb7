"""Real worker processes that crash, hang and balloon; each test ends with a video that is sampled."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from clips import ClipSpec, make_clip
from misbehaving_sampling import OF_SOMEBODY_ELSE, sample_or_misbehave

from wildgate_server.errors import (
    BackendUnavailable,
    CorruptVideo,
    NotAVideo,
    ShuttingDown,
    VideoTooCostly,
    VideoTooLarge,
    WildgateError,
)
from wildgate_server.media.sampled_video import UNKNOWN_CODING, SampledVideo, VideoLimits
from wildgate_server.sampling.checked_reply import TaskFailed
from wildgate_server.sampling.offline import sample_content
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.sampling.sampler import sample_video
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.sampling.worker import SampleTask
from wildgate_server.source.content import Content, content_digest
from wildgate_server.source.fetching import FetchConfig
from wildgate_server.source.local_file import VideoFile
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.remote_uri import HttpUrl

SETTINGS = SamplingSettings(workers=1, timeout_s=60, worker_memory_mb=1024)
CONFIG = SamplingConfig(8, max_gap_s=1.0, max_frames=3)
LIMITS = VideoLimits(1 << 20, 1 << 20, 600.0)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def video() -> bytes:
    return make_clip(ClipSpec(width=64, height=64))


@contextmanager
def pool_with(
    config: SamplingConfig = CONFIG, task: SampleTask = sample_or_misbehave, **settings: object
) -> Iterator[SamplingPool]:
    pool = SamplingPool(SETTINGS.model_copy(update=settings), config, LIMITS, task)
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[SamplingPool]:
    """One worker, so that what a video does to it shows in the next."""
    with pool_with() as pool:
        yield pool


@pytest_asyncio.fixture(loop_scope="module")
async def pool(shared_pool: SamplingPool, video: bytes) -> AsyncIterator[SamplingPool]:
    """The shared pool, proven alive afterwards."""
    yield shared_pool
    assert (await shared_pool.sample(Content(video))).windows


def remote(uri: str) -> RemoteObject:
    return RemoteObject(HttpUrl.parsed(uri), FetchConfig())


class Held:
    """A video whose sampling has started and goes on when it is told to."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "held"
        self._started = directory / "started"
        self._go_on = directory / "go on"
        self.file.write_text(f"{self._started}\n{self._go_on}")

    async def started(self) -> int:
        """Waits until a worker is at it; its process id."""
        await until(lambda: bool(written(self._started)))
        return int(written(self._started))

    def go_on(self) -> None:
        self._go_on.touch()

    @property
    def was_started(self) -> bool:
        return self._started.exists()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def lives(process: int) -> bool:
    """Whether a process runs; one that has ended, and waits for its parent to notice, does not."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def worker_of(video: SampledVideo) -> int:
    return int(video.format.removeprefix("worker "))


def written(file: Path) -> str:
    return file.read_text() if file.exists() else ""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[str], Held]]:
    everything: list[Held] = []

    def hold(name: str) -> Held:
        (tmp_path / name).mkdir()
        everything.append(Held(tmp_path / name))
        return everything[-1]

    yield hold
    for video in everything:
        video.go_on()


async def test_a_worker_samples_as_the_function_does(pool: SamplingPool, video: bytes) -> None:
    sampled = await pool.sample(Content(video))
    expected = sample_content(video, CONFIG, LIMITS)
    assert sampled.windows == expected.windows
    assert len(sampled.windows[0].frame_index) == 8


async def test_settings_reach_the_worker(pool: SamplingPool) -> None:
    sampled = await pool.sample(Content(make_clip(ClipSpec(width=64, height=64, seconds=12))))
    assert len(sampled.windows[0].times_s) == 3, "max_frames"
    with pytest.raises(VideoTooLarge) as refusal:
        await pool.sample(Content(bytes((1 << 20) + 1)))
    assert refusal.value.metadata["limit"] == "max_bytes"


@pytest.mark.parametrize("read_coding", [True, False])
async def test_how_clips_are_coded_is_found_out_if_that_is_of_use(video: bytes, read_coding: bool) -> None:
    with pool_with(replace(CONFIG, read_coding=read_coding), sample_video) as pool:
        assert ((await pool.sample(Content(video))).default_track.coding != UNKNOWN_CODING) is read_coding


async def test_the_digest_of_content_is_never_a_worker_s_word(pool: SamplingPool) -> None:
    content = Content(b"another digest")
    assert (await pool.sample(content)).content_digest == content_digest(content.content)
    assert (await pool.sample(Content(b"another digest", "blake3:00"))).content_digest == "blake3:00"


async def test_what_lies_at_a_uri_is_not_taken_for_content(pool: SamplingPool) -> None:
    with pytest.raises(CorruptVideo):
        await pool.sample(remote(OF_SOMEBODY_ELSE))


@pytest.mark.parametrize(
    ("content", "error", "told"),
    [
        pytest.param(b"no video", NotAVideo, "not a media file", id="a refusal comes back whole"),
        pytest.param(b"surprise", TaskFailed, "ZeroDivisionError", id="a bug comes back as one"),
        pytest.param(b"crash", CorruptVideo, "crashed", id="a crash is the video's own"),
        pytest.param(b"exit", CorruptVideo, "crashed", id="so is an exit"),
        pytest.param(b"balloon", VideoTooCostly, "memory", id="so is taking more memory than a worker has"),
        pytest.param(b"grow", VideoTooCostly, "1024 MiB", id="and being as large"),
        pytest.param(b"killed", BackendUnavailable, "killed", id="being killed at work is not"),
    ],
)
async def test_what_a_video_does_to_a_worker_is_told(
    pool: SamplingPool, content: bytes, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told) as failure:
        await pool.sample(Content(content))
    if error is BackendUnavailable:
        assert failure.value.retry_after_s
    elif error is not TaskFailed:
        assert failure.value.field == "source"


@pytest.mark.parametrize(("content", "error"), [(b"hang", BackendUnavailable), (b"toil", VideoTooCostly)])
async def test_a_video_that_takes_too_long_is_refused_if_computing_took_it(
    content: bytes, error: type[WildgateError]
) -> None:
    with pool_with(timeout_s=1.5) as hasty:
        with pytest.raises(error, match=r"longer than 1\.5 s") as refusal:
            await hasty.sample(Content(content))
        assert bool(refusal.value.retry_after_s) == (error is BackendUnavailable)
        assert (await hasty.sample(Content(b"video"))).format.startswith("worker "), "the worker was replaced"


async def test_a_large_video_is_copied_whole(pool: SamplingPool) -> None:
    """By a thread."""
    with pytest.raises(VideoTooLarge) as refusal:
        await pool.sample(Content(bytes(9 << 20)))
    assert refusal.value.metadata["value"] == f"{9 << 20:g}"


async def test_what_lies_elsewhere_holds_no_worker_that_others_need(held: Callable[[str], Held], video: bytes) -> None:
    slow = held("slow")
    with pool_with(fetch_workers=1) as pool:
        fetching = asyncio.create_task(pool.sample(remote(f"http://slow{slow.file}")))
        await slow.started()
        async with asyncio.timeout(20):
            assert (await pool.sample(Content(video))).windows
        slow.go_on()
        assert (await fetching).windows


async def test_a_worker_that_starts_anew_is_not_the_next(held: Callable[[str], Held]) -> None:
    """It would be, as the last to have worked, and its start takes longer than a video."""
    with pool_with(workers=2) as pool:
        both = [held("one"), held("other")]
        holding = [asyncio.create_task(pool.sample(VideoFile(one.file))) for one in both]
        workers = {await one.started() for one in both}
        for one in both:
            one.go_on()
        await asyncio.gather(*holding)
        with pytest.raises(CorruptVideo):
            await pool.sample(Content(b"crash"))
        assert worker_of(await pool.sample(Content(b"video"))) in workers


async def test_others_are_sampled_while_one_crashes(pool: SamplingPool, video: bytes) -> None:
    answers = await asyncio.gather(
        *map(pool.sample, map(Content, (video, b"crash", video, b"exit", video))), return_exceptions=True
    )
    assert [isinstance(answer, CorruptVideo) for answer in answers] == [False, True, False, True, False]
    assert answers[0].windows == answers[2].windows == answers[4].windows


async def test_a_caller_that_leaves_before_its_turn_costs_nothing(
    pool: SamplingPool, held: Callable[[str], Held]
) -> None:
    busy, last = held("busy"), held("last")
    running = asyncio.create_task(pool.sample(VideoFile(busy.file)))
    await busy.started()
    leaving = asyncio.create_task(pool.sample(VideoFile(last.file)))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    busy.go_on()
    await running
    await pool.sample(Content(b"video"))
    assert not last.was_started


async def test_a_caller_that_leaves_keeps_the_worker(pool: SamplingPool, held: Callable[[str], Held]) -> None:
    busy = held("busy")
    leaving = asyncio.create_task(pool.sample(VideoFile(busy.file)))
    worker = await busy.started()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.sleep(0.5)  # time for the pool to kill the worker, if it were to
    busy.go_on()
    assert (await pool.sample(Content(b"video"))).format == f"worker {worker}"


async def test_a_worker_that_dies_while_idle_is_replaced(pool: SamplingPool) -> None:
    """As when the system runs short of memory and picks it."""
    worker = worker_of(await pool.sample(Content(b"video")))
    os.kill(worker, signal.SIGKILL)
    await until(lambda: not lives(worker))
    assert (await pool.sample(Content(b"video"))).format.startswith("worker ")


async def test_a_worker_that_is_stopped_for_ever_is_replaced(pool: SamplingPool) -> None:
    worker = worker_of(await pool.sample(Content(b"video")))
    os.kill(worker, signal.SIGSTOP)
    assert worker_of(await pool.sample(Content(b"video"))) != worker
    assert not lives(worker)


async def test_videos_that_come_when_a_worker_has_died_are_all_sampled(pool: SamplingPool, video: bytes) -> None:
    worker = worker_of(await pool.sample(Content(b"video")))
    os.kill(worker, signal.SIGKILL)
    large = video + bytes(1 << 19)  # more than the pipe to the workers holds, so that the last ones do not reach it
    answers = await asyncio.gather(*(pool.sample(Content(large)) for _ in range(4)))
    assert all(answer.windows for answer in answers)


async def test_warm_up_and_close_leave_no_process_behind() -> None:
    pool = SamplingPool(SETTINGS, CONFIG, LIMITS, task=sample_or_misbehave)
    await pool.warm_up()
    worker = worker_of(await pool.sample(Content(b"video")))
    hanging = asyncio.create_task(pool.sample(Content(b"hang")))
    await asyncio.sleep(0)
    await asyncio.to_thread(pool.close)
    assert not lives(worker)
    hanging.cancel()
    with suppress(asyncio.CancelledError, ShuttingDown):
        await hanging
    with pytest.raises(ShuttingDown):
        await pool.sample(Content(b"video"))
