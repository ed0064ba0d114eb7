"""A sampling worker seen from the gateway: a process that is started, asked and, if need be, killed."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from wildgate_server import allocator
from wildgate_server.errors import ShuttingDown
from wildgate_server.media.sampled_video import SampledVideo
from wildgate_server.sampling.checked_reply import MalformedReply, check_ready, sampled_of
from wildgate_server.sampling.reply import HEADER_ROOM_BYTES, LENGTH_BYTES
from wildgate_server.sampling.worker import WorkerOrders
from wildgate_server.source.shared_content import SharedSlot
from wildgate_server.source.video_source import OpenableVideo, VideoSource

__all__ = ["ProcessDied", "ProcessOverdue", "SamplingProcess"]

_PROGRAM = "from wildgate_server.sampling.worker import serve; serve"
_START_TIMEOUT_S = 60.0  # a start takes 0.2 s of processor time
_BUSY_SHARE = 0.1  # of its time: a worker that computed for less is not to blame; a usual video takes 0.03 s

# What a worker inherits of the environment: none of the gateway's own settings, which may hold passwords.
# WILDGATE_MARK is an operator's own, to find all processes of one server by.
_VARIABLES = frozenset(
    {
        *("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TZ", "WILDGATE_MARK"),
        *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "https_proxy", "http_proxy", "no_proxy"),
    }
)
_VARIABLES_BEGIN = ("AWS_", "GOOGLE_", "LC_", "MALLOC_", "PYTHON", "SSL_CERT_")

_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGTRAP}
)


class ProcessDied(Exception):
    """The process has ended; `at_work` is whether it had taken the source that it leaves unsampled.

    `exit_code` is negative for a signal, as of `subprocess`, and None where the gateway had to end it; `fault` is what
    was wrong with its reply.
    """

    def __init__(self, exit_code: int | None = None, *, at_work: bool, fault: str = "") -> None:
        super().__init__(fault or f"the process ended with {exit_code}")
        self.exit_code = exit_code
        self.at_work = at_work
        self.fault = fault

    @property
    def by_its_own(self) -> bool:
        """Whether the video caused it: not so where a signal came from elsewhere, as when memory runs short."""
        return self.at_work and (self.exit_code is None or self.exit_code >= 0 or -self.exit_code in _CRASHES)


class ProcessOverdue(Exception):
    """The process took too long and was killed; `starved` is whether it hardly had a processor."""

    def __init__(self, *, starved: bool) -> None:
        super().__init__("the process took too long")
        self.starved = starved


class SamplingProcess:
    """A process that samples one video at a time: started when it is needed, and again when it has died.

    It is a new program, never a fork: a fork of a process that has used gRPC may hang, and multiprocessing's "spawn"
    would import the gateway's main module into it. All but `end` and `close` belongs to one event loop.
    """

    def __init__(self, orders: WorkerOrders) -> None:
        self._orders = orders
        self._slot = SharedSlot()  # outlives the process
        self._process: subprocess.Popen[bytes] | None = None
        self._open = ExitStack()  # holds the channel, which `end` leaves: another thread may be reading
        weakref.finalize(self, self._open.close)
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
        self._open.close()
        channel, workers_end = socket.socketpair()
        self._channel = self._open.enter_context(channel)
        with workers_end:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{_PROGRAM}({workers_end.fileno()})"],
                pass_fds=[workers_end.fileno(), self._slot.descriptor],
                stdin=subprocess.DEVNULL,
                env={
                    **allocator.ENVIRONMENT,  # a seventh of a worker's time
                    **_inherited(os.environ),
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
                    check_ready(await self._received())
            except (ProcessDied, MalformedReply, TimeoutError) as failure:
                exit_code = await asyncio.to_thread(self.end, grace_s=1.0 if isinstance(failure, ProcessDied) else 0.0)
                raise ProcessDied(exit_code, at_work=False) from None
            self._ready = True

    async def sample(self, source: VideoSource, timeout_s: float) -> SampledVideo:
        """What its task makes of `source`, or raises; the time runs from when the process is ready.

        Raises ProcessDied, and ProcessOverdue after `timeout_s`. After these, and when cancelled, the process is gone.
        Also raises OSError, and ShuttingDown after `close`.
        """
        try:
            given = await source.for_worker(self._slot)
            return sampled_of(await self._reply(given, timeout_s), self._orders.config, given.content_digest)
        except MalformedReply as fault:
            await asyncio.to_thread(self.end)
            raise ProcessDied(at_work=True, fault=str(fault)) from None
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

        May be called in any thread; who waits for a reply gets ProcessDied. Returns the exit code, None if it had to be
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

    async def _reply(self, source: OpenableVideo, timeout_s: float) -> bytearray:
        """What is answered, not yet looked into; whatever comes in between is the end of the process."""
        try:
            await self.ready()
            worked_s = self._processor_s()
            async with asyncio.timeout(timeout_s):
                await self._send(pickle.dumps(source))
                return await self._received()
        except ProcessDied as death:
            exit_code = await asyncio.to_thread(self.end, grace_s=1.0)
            raise ProcessDied(exit_code, at_work=death.at_work) from None
        except TimeoutError:
            starved = self._processor_s() - worked_s < _BUSY_SHARE * timeout_s
            await asyncio.to_thread(self.end)
            raise ProcessOverdue(starved=starved) from None
        except BaseException:
            await asyncio.to_thread(self.end)
            raise

    async def _send(self, content: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._channel, content)
        except ConnectionError:
            raise ProcessDied(at_work=False) from None

    async def _received(self) -> bytearray:
        """The next reply, not yet looked into. Raises ProcessDied, and MalformedReply for one that is too large.

        Linux tells whether the process had read what was sent to it: if not, the channel is reset, not just at its end.
        """
        try:
            length = int.from_bytes(await self._exactly(LENGTH_BYTES), "little")
            if length > self._orders.config.max_clip_bytes + HEADER_ROOM_BYTES:
                raise MalformedReply("the reply is too large")
            return await self._exactly(length)
        except ConnectionResetError:
            raise ProcessDied(at_work=False) from None
        except EOFError:
            raise ProcessDied(at_work=True) from None

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


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a worker gets."""
    return {
        name: value for name, value in environment.items() if name in _VARIABLES or name.startswith(_VARIABLES_BEGIN)
    }


def _stopping() -> ShuttingDown:
    return ShuttingDown("this server is stopping")
