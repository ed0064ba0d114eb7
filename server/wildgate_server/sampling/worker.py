"""The inside of a sampling worker: a process that samples one video after the other, and imports little else.

The gateway starts it with one end of a socket pair and sends pickles: first `WorkerOrders`, to which the reply is that
it is ready. From then on each is a source and a `Look`, and its answer a `reply`. It ends when the gateway's end is
closed.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildgate_server.box import UNBOXED, Box
from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.sampling.look import Look
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.reply import READY, error_reply, sampled_reply

__all__ = ["SampleTask", "WorkerOrders", "serve"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

SampleTask = Callable[[Any, SamplingConfig, VideoLimits, Look], SampledVideo]


@dataclass(frozen=True, slots=True)
class WorkerOrders:
    """What a worker does with every video: `task(source, config, limits, look)`, in `max_memory` bytes of addresses.

    `task` is a function that the worker can import; it does so before it goes into its `box`.
    """

    task: SampleTask
    config: SamplingConfig
    limits: VideoLimits
    max_memory: int
    box: Box = UNBOXED


def serve(channel: int) -> None:
    """Serves the gateway at the other end of the socket with this descriptor until that is closed."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # sent to all of a group; the gateway ends its workers itself
        signal.signal(ending, signal.SIG_IGN)
    _die_with_gateway()
    with suppress(OSError):  # where the kernel runs short of memory, it is to take a worker, not the gateway
        Path("/proc/self/oom_score_adj").write_text("1000")
    with socket.socket(fileno=channel) as gateway, gateway.makefile("rb") as messages:
        try:
            orders: WorkerOrders = pickle.load(messages)
            orders.box.enter()
            _die_with_gateway()  # a change of user makes that forgotten
            resource.setrlimit(resource.RLIMIT_AS, (orders.max_memory, orders.max_memory))
            gateway.sendall(READY)
            _fall_silent()
            while True:
                gateway.sendall(_answer(pickle.load(messages), orders))
        except (EOFError, ConnectionError):
            return


def _die_with_gateway() -> None:
    """A killed gateway leaves no worker behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _fall_silent() -> None:
    """From now on nothing that is printed here gets anywhere: videos and libraries must not write into the log.

    What goes wrong is in the reply. Before, standard error is the gateway's, so that a failing start says why.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _answer(request: tuple[object, Look], orders: WorkerOrders) -> bytes:
    source, look = request
    try:
        return sampled_reply(orders.task(source, orders.config, orders.limits, look), orders.config.max_clip_bytes)
    except Exception as error:
        return error_reply(error)
