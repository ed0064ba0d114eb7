"""The inside of a sampling worker: a process that samples one video after the other, and imports little else.

The gateway starts it with one end of a socket pair and sends pickles: first `WorkerOrders`, to which the reply is that
it is ready. From then on each is a source, a `Look` and the processor seconds that it may take, and its answer a
`reply`. It ends when the gateway's end is closed, and by itself where a video takes too much.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildgate_server.box import UNBOXED, Box, die_with_parent
from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.sampling.look import Look
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.reply import READY, error_reply, sampled_reply

__all__ = ["TOO_LONG", "TOO_MUCH_MEMORY", "SampleTask", "WorkerOrders", "serve"]


TOO_LONG = signal.SIGPROF
"""What ends a worker whose video takes more processor time, of all threads, than it may; wherever FFmpeg is."""
TOO_MUCH_MEMORY = 77
"""The exit status of a worker whose video made it more than `max_memory` bytes large; in its box it cannot signal."""
# FFmpeg may keep silent about memory that it does not get, and show a shorter video. So what is to be met first is the
# limit on what is resident; addresses are left for some of the largest pieces that FFmpeg asks for, which are 2 GiB.
_ADDRESSES_FOR_ONE_RESIDENT = 8
_WATCHED_EVERY_S = 0.02

SampleTask = Callable[[Any, SamplingConfig, VideoLimits, Look], SampledVideo]


@dataclass(frozen=True, slots=True)
class WorkerOrders:
    """What a worker does with every video: `task(source, config, limits, look)`, in `max_memory` bytes.

    `task` is a function that the worker can import; it does so before it goes into its `box`. A sampling may take
    `max_processor_s`.
    """

    task: SampleTask
    config: SamplingConfig
    limits: VideoLimits
    max_memory: int
    max_processor_s: float = 60.0
    box: Box = UNBOXED


def serve(channel: int) -> None:
    """Serves the gateway at the other end of the socket with this descriptor until that is closed."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # sent to all of a group; the gateway ends its workers itself
        signal.signal(ending, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)  # a killed gateway leaves no worker behind
    with suppress(OSError):  # where the kernel runs short of memory, it is to take a worker, not the gateway
        Path("/proc/self/oom_score_adj").write_text("1000")
    with socket.socket(fileno=channel) as gateway, gateway.makefile("rb") as messages:
        try:
            orders: WorkerOrders = pickle.load(messages)
            orders.box.enter()
            die_with_parent(signal.SIGKILL)  # a change of user makes that forgotten
            resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES_FOR_ONE_RESIDENT * orders.max_memory,) * 2)
            at_work = threading.Event()
            threading.Thread(target=_watch_memory, args=(orders.max_memory, at_work), daemon=True).start()
            gateway.sendall(READY)
            _fall_silent()
            while True:
                source, look, processor_s = pickle.load(messages)
                at_work.set()
                signal.setitimer(signal.ITIMER_PROF, processor_s)
                answer = _answer(source, look, orders)
                signal.setitimer(signal.ITIMER_PROF, 0)
                at_work.clear()
                gateway.sendall(answer)
        except (EOFError, ConnectionError):
            return


def _fall_silent() -> None:
    """From now on nothing that is printed here gets anywhere: videos and libraries must not write into the log.

    What goes wrong is in the reply. Before, standard error is the gateway's, so that a failing start says why.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _watch_memory(max_memory: int, at_work: threading.Event) -> None:
    """Ends this process where it has grown too large for a video; FFmpeg works without holding Python's lock."""
    page = resource.getpagesize()
    with open("/proc/self/statm", "rb", buffering=0) as statm:
        while at_work.wait():
            statm.seek(0)
            _, resident, *_ = statm.read(200).split()
            if int(resident) * page > max_memory:
                os._exit(TOO_MUCH_MEMORY)
            time.sleep(_WATCHED_EVERY_S)


def _answer(source: object, look: Look, orders: WorkerOrders) -> bytes:
    try:
        return sampled_reply(orders.task(source, orders.config, orders.limits, look), orders.config.max_clip_bytes)
    except Exception as error:
        return error_reply(error)
