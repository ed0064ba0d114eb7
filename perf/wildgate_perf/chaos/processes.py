"""Faults of the processes of one gateway: they are killed, stopped, or their callers leave."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import grpc
import psutil

from wildgate_perf.attacks.attack import Target, connection, score, video
from wildgate_perf.attacks.costly_files import large_pictures, tiny_packets
from wildgate_perf.chaos.fault import Fault
from wildgate_perf.server_process import ServerProcess
from wildgate_proto.v1 import scoring_pb2 as pb

__all__ = ["FAULTS"]

_STOPPED_S = 10.0
_LEAVERS = 60
_BOMB_S = 60.0
_TYPED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_MODELS = ("clip_decoder", "wildlife_detector", "frame_fingerprint")


def _all_with(server: ServerProcess, *parts: str) -> list[psutil.Process]:
    """The processes of a server whose command line holds one of the parts."""
    found = []
    for process in server.processes():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if any(part in line for part in parts) and ("triton_guard.py" not in line or "triton_guard.py" in parts):
                found.append(process)
    return found


def _killed(
    *parts: str, number: signal.Signals = signal.SIGKILL, most: int = 99
) -> Callable[[ServerProcess], Awaitable[None]]:
    async def strike(server: ServerProcess) -> None:
        victims = _all_with(server, *parts)[:most]
        if not victims:
            raise RuntimeError(f"nothing to be killed: {parts}")
        for victim in victims:
            with suppress(psutil.Error):
                victim.send_signal(number)

    return strike


async def _stopped_for_a_while(server: ServerProcess) -> None:
    [triton] = _all_with(server, "bin/tritonserver")
    triton.suspend()
    await asyncio.sleep(_STOPPED_S)
    triton.resume()


async def _left(server: ServerProcess) -> None:
    """Callers that leave after 0 to 600 ms, over connections of their own."""

    async def leave(after_s: float) -> None:
        async with connection(Target(server.target, _SAMPLES)) as own:
            with suppress(TimeoutError, grpc.aio.AioRpcError):
                await asyncio.wait_for(score(own)(request), after_s)

    request = video()
    await asyncio.gather(*(leave(0.01 * number) for number in range(_LEAVERS)))


def _asked(video: Callable[[], bytes], at_once: int) -> Callable[[ServerProcess], Awaitable[None]]:
    """So many ask about one video at once, each over a connection of its own. Raises RuntimeError for a surprise."""

    async def strike(server: ServerProcess) -> None:
        request = pb.ScoreRequest(content=await asyncio.to_thread(video)).SerializeToString()

        async def ask() -> None:
            async with connection(Target(server.target, _SAMPLES)) as own:
                try:
                    await score(own)(request, timeout=_BOMB_S)
                except grpc.aio.AioRpcError as error:
                    if error.code() not in _TYPED:
                        raise RuntimeError(f"a costly video ended in {error.code()}: {error.details()}") from error

        await asyncio.gather(*(ask() for _ in range(at_once)))

    return strike


FAULTS = (
    Fault("kill -9 of tritonserver", _killed("bin/tritonserver"), 8.0),
    Fault("kill -9 of its guard", _killed("triton_guard.py"), 8.0),
    *(Fault(f"kill -9 of a stub of {model}", _killed(f"/models/{model}/", most=1), 3.0) for model in _MODELS),
    Fault("kill -9 of all stubs", _killed("python_backend_stub"), 8.0),
    Fault("kill -9 of all workers", _killed("sampling.worker"), 1.0),
    Fault("SIGSTOP of tritonserver for 10 s", _stopped_for_a_while, 12.0),
    Fault("SIGSTOP of a stub for ever", _killed("/models/wildlife_detector/", number=signal.SIGSTOP, most=1), 3.0),
    Fault("SIGSTOP of a worker for ever", _killed("sampling.worker", number=signal.SIGSTOP, most=1), 1.0),
    Fault("60 clients that leave", _left, 1.0),
    Fault("packets that fill a worker's memory, 4 videos at once", _asked(tiny_packets, 4), None),
    Fault("128 pictures of 9.4 megapixels in decoders, 4 videos at once", _asked(large_pictures, 4), None),
)
"""In this order, on one gateway with an embedded Triton."""
