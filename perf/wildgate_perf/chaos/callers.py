"""Callers that ask all the while, and what came of each of their requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from wildgate_client import ClientOptions, RetryPolicy, ScoringClient, ScoringError, Source, Verdict

__all__ = ["Answer", "Callers", "calling"]

End = Literal["verdict", "retryable", "lost", "wrong"]
_DEADLINE_S = 60.0  # what the client has by default
_PATIENCE_S = 10.0  # beyond the deadline: a request that has not ended by then never will
_PAUSE_S = 0.05  # after an error, whatever it asks for: the sooner healing shows
_HEALTH_EVERY_S, _HEALTH_TIMEOUT_S = 0.05, 0.5
_OPTIONS = ClientOptions(deadline_s=_DEADLINE_S, retry=RetryPolicy(attempts=1))  # each answer counts as it comes
_FIRST = ClientOptions(deadline_s=120.0, retry=RetryPolicy(attempts=100, max_backoff_s=1.0))  # what was before is over


@dataclass(frozen=True)
class Answer:
    """How one request ended; monotonic seconds."""

    sent_s: float
    ended_s: float
    end: End
    text: str = ""


@dataclass
class Callers:
    """What all requests came to, in the order of their ends, and what health said when."""

    answers: list[Answer] = field(default_factory=list)
    health: list[tuple[float, bool]] = field(default_factory=list)
    expected: list[tuple[object, ...]] = field(default_factory=list, repr=False)

    async def ask(self, client: ScoringClient, number: int, source: Source) -> None:
        """Asks about the source with this number, whose verdict has to be the `expected` one."""
        sent_s = time.monotonic()
        end, text = await self._asked(client, number, source)
        self.answers.append(Answer(sent_s, time.monotonic(), end, text))
        if end == "retryable":
            await asyncio.sleep(_PAUSE_S)

    def scored_since(self, at_s: float) -> bool:
        """Whether a request that was sent after `at_s` has a verdict."""
        return any(each.end == "verdict" and each.sent_s >= at_s for each in self.answers)

    async def _asked(self, client: ScoringClient, number: int, source: Source) -> tuple[End, str]:
        try:
            async with asyncio.timeout(_DEADLINE_S + _PATIENCE_S):
                verdict = await client.score(source)
        except ScoringError as error:
            return ("retryable" if error.retryable else "lost"), f"{error.code}: {error}"
        except TimeoutError:
            return "lost", "no answer"
        if (seen := _seen(verdict)) != self.expected[number]:
            return "wrong", f"{seen} instead of {self.expected[number]}"
        return "verdict", ""

    async def listen(self, target: str, options: ClientOptions) -> None:
        """Asks for health again and again, over a new connection where one is lost; runs until it is cancelled."""
        async with options.channel(target) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                try:
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_S)
                    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
                except grpc.aio.AioRpcError:
                    serving = False
                self.health.append((time.monotonic(), serving))
                await asyncio.sleep(_HEALTH_EVERY_S)


@asynccontextmanager
async def calling(
    target: str, sources: Sequence[Source], clients: int, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[Callers]:
    """So many clients ask until the context ends, by TLS where there are `credentials`; all requests end within it.

    Every source is asked about once before, which says what its verdict is.
    """
    callers, numbers, ended = Callers(), count(), asyncio.Event()
    options, at_first = replace(_OPTIONS, credentials=credentials), replace(_FIRST, credentials=credentials)

    async def client() -> None:
        async with ScoringClient(target, options) as one:
            while not ended.is_set():
                number = next(numbers) % len(sources)
                await callers.ask(one, number, sources[number])

    async with ScoringClient(target, at_first) as first:
        callers.expected = [_seen(await first.score(source)) for source in sources]
    listening = asyncio.create_task(callers.listen(target, options))
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
        try:
            yield callers
        finally:
            ended.set()
    listening.cancel()


def _seen(verdict: Verdict) -> tuple[object, ...]:
    """What must be the same each time."""
    return verdict.action, tuple((label.label, label.action, round(label.score, 2)) for label in verdict.labels)
