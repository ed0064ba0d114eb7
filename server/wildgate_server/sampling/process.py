"""A sampling worker seen from the gateway: a process that is started, asked and, if need be, killed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pickle
import signal
import socket
import subprocess
import sys
import termios
import time
import weakref
from contextlib import ExitStack, suppress

import structlog

from wildgate_server import allocator
from wildgate_server.box import environment
from wildgate_server.budget import Budget
from wildgate_server.errors import BackendUnavailable, CorruptVideo, ShuttingDown, VideoTooCostly
from wildgate_server.media.sampled_video import SampledVideo
from wildgate_server.sampling.checked_reply import MalformedReply, sampled_of
from wildgate_server.sampling.look import PLAIN_LOOK, Look
from wildgate_server.sampling.reply import HEADER_ROOM_BYTES, LENGTH_BYTES
from wildgate_server.sampling.worker import TOO_LONG, TOO_MUCH_MEMORY, WorkerOrders
from wildgate_server.source.shared_content import SharedSlot
from wildgate_server.source.video_source import OpenableVideo, VideoSource

__all__ = ["ProcessDied", "SamplingProcess"]

_log = structlog.get_logger()

_PROGRAM = "from wildgate_server.sampling.worker import serve; serve"
_START_TIMEOUT_S = 60.0  # a start takes 0.2 s of processor time
_TAKING_S = 1.0  # an idle worker reads at once what it is sent
_LEAST_PROCESSOR_S = 0.001  # none would be no limit
_BUSY_SHARE = 0.1  # of its time: a worker that computed for less is not to blame; a usual video takes 0.03 s

# Who fetches has to know how and as whom.
_FETCHERS_VARIABLES_BEGIN = (
    *("AWS_", "GOOGLE_", "SSL_CERT_", "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
    *("all_proxy", "https_proxy", "http_proxy", "no_proxy"),
)

_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGTRAP}
)


class ProcessDied(Exception):
    """The process ended before it took a video; `exit_code` is that of `subprocess`, None where it had to be killed."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"the process ended with {exit_code}")
        self.exit_code = exit_code


class _HungUp(Exception):
    """The process has closed its end of the channel; `at_work` is whether it had taken the video that it was sent."""

    def __init__(self, *, at_work: bool) -> None:
        super().__init__()
        self.at_work = at_work


class SamplingProcess:
    """A process that samples one video at a time: started when it is needed, and again when it has died.

    It is a new program, never a fork: a fork of a process that has used gRPC may hang, and multiprocessing's "spawn"
    would import the gateway's main module into it. All but `end` and `close` belongs to one event loop.
    """

    def __init__(self, orders: WorkerOrders) -> None:
        self._orders = orders
        self._fetches = orders.box.network
        self._slot = SharedSlot()  # outlives the process
        self._process: subprocess.Popen[bytes] | None = None
        self._open = ExitStack()  # holds the channel, which `end` leaves: another thread may be reading
        weakref.finalize(self, self._open.close)
        self.sampled = 0
        """Videos that the process has been given."""
        self._ready = False
        self._getting_ready = asyncio.Lock()
        self._closed = False

    def start(self) -> None:
        """Starts the process, unless it lives. Raises OSError, and ShuttingDown after `close`."""
        if self.lives:
            return
        if self._closed:
            raise _stopping()
        self._ready = False
        self.sampled = 0
        self._open.close()
        channel, workers_end = socket.socketpair()
        self._channel = self._open.enter_context(channel)
        with workers_end:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{_PROGRAM}({workers_end.fileno()})"],
                pass_fds=[workers_end.fileno(), *self._slot.descriptors],
                stdin=subprocess.DEVNULL,
                env={
                    **allocator.ENVIRONMENT,  # a seventh of a worker's time
                    **environment(os.environ, "PYTHON", *(_FETCHERS_VARIABLES_BEGIN if self._fetches else ())),
                    "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                    "PYTHONSAFEPATH": "1",  # or the working directory would come before all these
                },
            )
        self._channel.sendall(pickle.dumps(self._orders))
        self._channel.setblocking(False)
        if self._closed:  # maybe since, by another thread, which has missed this process
            self.end()
            raise _stopping()

    @property
    def pid(self) -> int:
        """The process's identifier; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def lives(self) -> bool:
        """Whether it was started and has not ended, as far as is known."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether it can begin at once, as far as is known."""
        return self._ready and self.lives

    async def ready(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Waits until it has imported all it needs.

        Raises ProcessDied, also after `timeout_s`, when it was killed; OSError and ShuttingDown.
        """
        async with self._getting_ready:
            self.start()
            if self._ready:
                return
            try:
                async with asyncio.timeout(timeout_s):
                    if await self._received():
                        raise MalformedReply("not ready")
            except (_HungUp, MalformedReply, TimeoutError) as failure:
                exit_code = await asyncio.to_thread(self.end, grace_s=1.0 if isinstance(failure, _HungUp) else 0.0)
                raise ProcessDied(exit_code) from None
            self._ready = True

    async def sample(
        self, source: VideoSource, timeout_s: float, look: Look = PLAIN_LOOK, budget: Budget | None = None
    ) -> SampledVideo:
        """What its task makes of `source`, asked for `look`, or raises; the time runs from when the process is ready.

        Raises CorruptVideo when the process crashed on the video; VideoTooCostly when it took too much memory or
        processor time, of which `budget` is told, or computed past `timeout_s`; BackendUnavailable when that was not
        the video's doing: it was killed, or hardly had a processor until then. After these, and when cancelled, the
        process is gone. Raises ProcessDied when it was gone before it took the video, ShuttingDown after `close`, and
        OSError.
        """
        try:
            given = await source.for_worker(self._slot)
            reply = await self._reply(given, look, timeout_s, budget or Budget())
            return sampled_of(reply, self._orders.config, given.content_digest)
        except MalformedReply as fault:
            await asyncio.to_thread(self.end)
            raise _crashed(fault=str(fault)) from None
        except MemoryError:
            _log.warning("sampling_out_of_memory")
            raise VideoTooCostly("the video asks for more memory than a worker has", field="source") from None
        except ProcessDied:
            if self._closed:
                raise _stopping() from None
            raise
        finally:
            self._slot.trim()

    def close(self) -> None:
        """Ends the process for good, and waits for it. May be called in any thread."""
        self._closed = True
        self.end()

    def end(self, grace_s: float = 0.0) -> int | None:
        """Kills the process, after `grace_s` in which it may end by itself, and waits until it is gone.

        May be called in any thread; whoever waits for a reply learns of it. Returns the exit code, None if it had to be
        killed.
        """
        if (process := self._process) is None:
            return None
        exit_code = None
        with suppress(subprocess.TimeoutExpired):
            exit_code = process.wait(grace_s)
        process.kill()
        process.wait()
        return exit_code

    def _processor_s(self) -> float:
        """Processor time of the process in seconds, by the clock that clock_getcpuclockid(3) names; 0 if it is gone."""
        try:
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            return 0.0

    async def _reply(self, source: OpenableVideo, look: Look, timeout_s: float, budget: Budget) -> bytearray:
        """What is answered, not yet looked into; whatever comes in between is the end of the process."""
        try:
            await self.ready()
            self.sampled += 1
            worked_s = self._processor_s()
            most_s = max(min(budget.left_s, self._orders.max_processor_s), _LEAST_PROCESSOR_S)
            async with asyncio.timeout(timeout_s):
                await self._send(pickle.dumps((source, look, most_s)))
                unless_taken = asyncio.get_running_loop().call_later(_TAKING_S, self._kill_unless_taken)
                try:
                    reply = await self._received()
                finally:
                    unless_taken.cancel()
            budget.spend(self._processor_s() - worked_s)
            return reply
        except VideoTooCostly:
            raise
        except _HungUp as ending:
            exit_code = await asyncio.to_thread(self.end, grace_s=1.0)
            raise self._death(exit_code, at_work=ending.at_work) from None
        except TimeoutError:
            starved = self._processor_s() - worked_s < _BUSY_SHARE * timeout_s
            await asyncio.to_thread(self.end)
            _log.warning("sampling_timed_out", timeout_s=timeout_s, starved=starved)
            message = f"reading the video took longer than {timeout_s:g} s"
            if starved:
                raise BackendUnavailable(f"{message}, most of it idle", retry_after_s=1.0) from None
            raise VideoTooCostly(message, field="source") from None
        except BaseException:
            await asyncio.to_thread(self.end)
            raise

    def _kill_unless_taken(self) -> None:
        """Ends a process that has not even read what was sent to it, as when it is stopped: it dies idle."""
        unread = int.from_bytes(fcntl.ioctl(self._channel, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        if unread and self._process:
            _log.warning("sampling_worker_stopped")
            self._process.kill()

    def _death(self, exit_code: int | None, *, at_work: bool) -> Exception:
        """What to raise for the end of the process, which is no video's doing where a signal came from elsewhere."""
        if not at_work or self._closed:
            return ProcessDied(exit_code)
        if exit_code == TOO_MUCH_MEMORY:
            return self._too_large()
        if exit_code == -TOO_LONG:
            _log.warning("sampling_took_too_long")
            return VideoTooCostly("reading the video took more processor time than it may", field="source")
        if exit_code is None or exit_code >= 0 or -exit_code in _CRASHES:
            return _crashed(exit_code)
        _log.warning("sampling_worker_killed", exit_code=exit_code)
        return BackendUnavailable("the process that read the video was killed", retry_after_s=1.0)

    def _too_large(self) -> VideoTooCostly:
        _log.warning("sampling_out_of_memory")
        return VideoTooCostly(
            f"reading the video took more memory than the {self._orders.max_memory >> 20} MiB of a worker",
            field="source",
        )

    async def _send(self, content: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._channel, content)
        except ConnectionError:
            raise _HungUp(at_work=False) from None

    async def _received(self) -> bytearray:
        """The next reply, not yet looked into. Raises _HungUp, and MalformedReply for one that is too large.

        Linux tells whether the process had read what was sent to it: if not, the channel is reset, not just at its end.
        """
        try:
            length = int.from_bytes(await self._exactly(LENGTH_BYTES), "little")
            if length > self._orders.config.max_clip_bytes + HEADER_ROOM_BYTES:
                raise MalformedReply("the reply is too large")
            return await self._exactly(length)
        except ConnectionResetError:
            raise _HungUp(at_work=False) from None
        except EOFError:
            raise _HungUp(at_work=True) from None

    async def _exactly(self, size: int) -> bytearray:
        loop = asyncio.get_running_loop()
        content = bytearray(size)
        with memoryview(content) as whole:
            at = 0
            while at < size:
                with whole[at:] as rest:
                    received = await loop.sock_recv_into(self._channel, rest)
                if not received:
                    raise EOFError
                at += received
        return content


def _crashed(exit_code: int | None = None, fault: str = "") -> CorruptVideo:
    _log.warning("sampling_worker_crashed", exit_code=exit_code, fault=fault)
    return CorruptVideo("the video crashed the process that read it", field="source")


def _stopping() -> ShuttingDown:
    return ShuttingDown("this server is stopping")
