"""What an attack is, and how it is played: in a process of its own, until that is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import grpc
import psutil

from wildgate_perf.workloads import SCORE
from wildgate_proto.v1 import scoring_pb2 as pb

__all__ = ["Attack", "Target", "connection", "for_ever", "played", "score", "video"]


@dataclass(frozen=True)
class Target:
    """A server that may read files below `folder`."""

    address: str
    folder: Path


@dataclass(frozen=True)
class Attack:
    """`play` goes on until it is cancelled; `row` is its number in docs/security.md.

    Good callers send their videos or, `by_uri`, say where these lie.
    """

    row: int
    name: str
    play: Callable[[Target], Awaitable[None]]
    by_uri: bool = False


@contextmanager
def played(attack: Attack, target: Target) -> Iterator[Callable[[], float]]:
    """Plays the attack as long as the context lasts; tells the processor seconds that it took by itself so far."""
    process = get_context("spawn").Process(target=_play, args=(attack, target), daemon=True)
    process.start()
    attacker = psutil.Process(process.pid)
    try:
        yield lambda: sum(attacker.cpu_times()[:2])
    finally:
        process.terminate()
        process.join()


def _play(attack: Attack, target: Target) -> None:
    asyncio.run(_played(attack, target))


async def _played(attack: Attack, target: Target) -> None:
    await attack.play(target)


def connection(target: Target, *options: tuple[str, int]) -> grpc.aio.Channel:
    """A connection that no other channel shares."""
    limits = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(target.address, options=[*limits, *options])


def score(channel: grpc.aio.Channel) -> Any:
    """What sends encoded requests to be scored; answers stay encoded."""
    return channel.unary_unary(SCORE)


async def for_ever(step: Callable[[], Awaitable[object]], *, at_once: int, per_s: float) -> None:
    """Repeats a step that may fail, so many at once and so many a second, whatever it comes to."""

    async def repeated() -> None:
        while True:
            try:
                await step()
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, OSError):
                pass
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) and task.cancelling():
                    raise  # else it is the step's own call that was cancelled
            await asyncio.sleep(at_once / per_s)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(repeated())


def video() -> bytes:
    """A request with one of the project's sample videos."""
    sample = next((Path(__file__).resolve().parents[3] / "samples").glob("*.mp4"))
    return pb.ScoreRequest(video_id="attack", content=sample.read_bytes()).SerializeToString()
