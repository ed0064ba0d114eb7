"""A peer that takes a video as the body of an HTTP POST: its processes, and how it is asked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil

from wildgate_perf.bench.peers.peer_setup import LOOPBACK, PeerSetup
from wildgate_perf.bench.peers.scorer import Answer
from wildgate_perf.bench.phase import PhaseFailed
from wildgate_perf.cpu_time import CpuTimes, marked_processes, read_cpu_times
from wildgate_perf.load_generator import LoadFailed
from wildgate_perf.loops import Ask, Stages, Unanswered

_MARK = "WILDGATE_PEER_MARK"
_READY_POLL_S, _STOP_S, _DEADLINE_S = 0.1, 15.0, 60.0
_TAIL_LINES = 15
_JSON_BEFORE = "Inference-Header-Content-Length"  # Triton's: so many bytes of its own, then a length of 4 bytes


@dataclass(frozen=True)
class HttpPeer:
    """A peer; `packages` are the distributions that it is made of, `command` starts it in the foreground.

    `tried` says which settings were tried, and what came of them.
    """

    title: str
    packages: tuple[str, ...]
    command: Callable[[PeerSetup], list[str]]
    tried: tuple[str, ...] = ()
    path: str = "/score"
    headers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Posts:
    """A workload (see `wildgate_perf.workloads`): the same videos over and over, on connections that are kept."""

    url: str
    headers: Mapping[str, str]
    videos: tuple[Path, ...]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Ask]:
        """Connects."""
        contents = [video.read_bytes() for video in self.videos]
        timeout, connector = aiohttp.ClientTimeout(total=_DEADLINE_S), aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self.headers) as session:

            async def ask(number: int) -> Stages:
                async with session.post(self.url, data=contents[number % len(contents)]) as response:
                    body = await response.read()
                if response.status != 200:
                    raise Unanswered(f"HTTP {response.status}: {body[:300].decode(errors='replace')}")
                return {}

            yield ask

    def answer(self, video: Path) -> Answer:
        """What the peer answers about one video. Raises OSError."""
        request = urllib.request.Request(self.url, video.read_bytes(), dict(self.headers))
        with urllib.request.urlopen(request, timeout=_DEADLINE_S) as response:
            body, before = response.read(), int(response.headers.get(_JSON_BEFORE, 0))
        answer: Answer = json.loads(body[before + 4 :] if before else body)
        return answer


@contextmanager
def running(
    peer: HttpPeer, setup: PeerSetup, videos: tuple[Path, ...], first: Path, ready_s: float = 90.0
) -> Iterator[tuple[Posts, Callable[[], CpuTimes]]]:
    """Runs `peer` until the context ends, then stops it and whatever it left behind.

    Yields what asks it, when it has answered about the video `first`, and what tells the processor time of all its
    processes. Raises PhaseFailed, which quotes its log, when it does not answer, and for whatever fails meanwhile.
    """
    mark, log = uuid.uuid4().hex, setup.scratch / "log.txt"
    # Frameworks leave stores and tokens at home.
    told = {**os.environ, **setup.environment(), "HOME": str(setup.scratch), **peer.environment, _MARK: mark}
    headers = {"Content-Type": "application/octet-stream", **peer.headers}
    posts = Posts(f"http://{LOOPBACK}:{setup.port}{peer.path}", headers, videos)
    with log.open("wb") as output:
        process = subprocess.Popen(
            peer.command(setup),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=told,
            start_new_session=True,
        )
    try:
        _await_answer(process, posts, first, ready_s)
        yield posts, lambda: read_cpu_times(marked_processes(_MARK, mark), kind=lambda process: "peer")
    except (PhaseFailed, LoadFailed, OSError) as error:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        raise PhaseFailed("\n".join([str(error), "its log ends with:", *tail])) from error
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        left = marked_processes(
            _MARK, mark
        )  # whatever sessions they made; what stops gracefully takes its children along
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(left, _STOP_S)
        process.wait()


def _await_answer(process: subprocess.Popen[bytes], posts: Posts, video: Path, ready_s: float) -> None:
    deadline = time.monotonic() + ready_s
    while True:
        try:
            posts.answer(video)
            return
        except OSError:
            if (status := process.poll()) is not None:
                raise PhaseFailed(f"it ended with status {status}") from None
            if time.monotonic() > deadline:
                raise PhaseFailed(f"no answer within {ready_s:g} s of its start") from None
            time.sleep(_READY_POLL_S)
