"""A real server's answers, and the processor time that they take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import grpc

from wildgate_client import ClientOptions
from wildgate_perf.server_parts import Scrutiny, available_cores
from wildgate_perf.server_process import ServerProcess
from wildgate_proto.v1 import scoring_pb2, scoring_pb2_grpc

__all__ = ["CAUGHT", "Answers", "decode_cpu_s", "score"]

CAUGHT = ("ACTION_REVIEW", "ACTION_BLOCK")
_DEADLINE_S = 60.0
_CLIENTS_PER_CORE = 2  # so that no core waits for an answer


@dataclass(frozen=True)
class Answers:
    """For each video the action or how it was refused; `cpu_s` are processor seconds of the server for all of them."""

    actions: tuple[str, ...]
    cpu_s: float

    @property
    def ms_each(self) -> float:
        """Processor time for one of them."""
        return self.cpu_s * 1e3 / len(self.actions)

    @property
    def caught(self) -> int:
        """How many videos are not allowed. One that is refused is not counted: nobody has looked at it."""
        return sum(action in CAUGHT for action in self.actions)

    @property
    def refusals(self) -> list[str]:
        """What was refused, and how."""
        return [action for action in self.actions if not action.startswith("ACTION")]


def score(server: ServerProcess, videos: Sequence[Path], scrutiny: Scrutiny) -> Answers:
    """Has the server score each video once, a few at a time."""
    asked = f"SCRUTINY_{scrutiny.name}"
    requests = [scoring_pb2.ScoreRequest(content=video.read_bytes(), scrutiny=asked) for video in videos]
    return asyncio.run(_score(server, requests))


async def _score(server: ServerProcess, requests: Sequence[scoring_pb2.ScoreRequest]) -> Answers:
    turns = asyncio.Semaphore(_CLIENTS_PER_CORE * available_cores())
    async with grpc.aio.insecure_channel(server.target, ClientOptions().channel_options()) as channel:
        stub: Any = scoring_pb2_grpc.ScoringServiceStub(channel)  # type: ignore[no-untyped-call]

        async def action(request: scoring_pb2.ScoreRequest) -> str:
            async with turns:
                try:
                    answer = await stub.Score(request, timeout=_DEADLINE_S)
                except grpc.aio.AioRpcError as error:
                    return f"{error.code().name}: {error.details()}"
                return scoring_pb2.Action.Name(answer.verdict.action)

        await channel.channel_ready()
        before = server.cpu_times()
        actions = await asyncio.gather(*map(action, requests))
        return Answers(tuple(actions), server.cpu_times().since(before).total_s)


def decode_cpu_s(videos: Sequence[Path]) -> float:
    """Processor seconds that decoding every frame of the videos takes on one core.

    A yardstick of this machine that nothing in wildgate moves: what the server takes over it can be held against what
    another version took on another day.
    """
    began = time.thread_time()
    for video in videos:
        with av.open(str(video), "r") as file:
            file.streams.video[0].thread_count = 1
            for _ in file.decode(video=0):
                pass
    return time.thread_time() - began
