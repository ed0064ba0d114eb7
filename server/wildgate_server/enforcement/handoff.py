"""Handing REVIEW and BLOCK over to people: a case is opened, or its request kept on disk, before the answer goes out.

What is kept is delivered later, at least once; the service knows the video and content again, so that once and twice
come to the same. Of an answer that went out without either, the answer itself, metrics and health tell.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import partial
from time import monotonic, time
from typing import Any

import structlog
from cachetools import TTLCache

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.enforcement.case_client import CaseClient, NotOpened
from wildgate_server.enforcement.case_request import case_request
from wildgate_server.enforcement.enforcement_settings import EnforcementSettings
from wildgate_server.enforcement.spool import Kept, Spool, SpoolFailed
from wildgate_server.metrics import Metrics
from wildgate_server.sampling.random_draw import is_drawn
from wildgate_server.sampling.secret import SamplingSecret

__all__ = ["CaseHandoff", "HandedOver", "Handoff"]

_log = structlog.get_logger()

_REMEMBERED, _REMEMBERED_S = 10_000, 600.0
_AT_ONCE = 8  # deliveries
_DELIVERY_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0


class Handoff(Enum):
    """How an answer was handed over; names as in the protocol."""

    OPENED = 1
    KEPT = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class HandedOver:
    """How an answer was handed over, its case where it is known, and how long that took."""

    handoff: Handoff
    case_id: str = ""
    took_ms: float = 0.0


class CaseHandoff:
    """Hands answers over through `client`, and through `spool` while that does not answer.

    `secret` draws the ALLOWs that are handed over, too. Calls of `spool` are made in one thread of its own.
    """

    def __init__(
        self,
        settings: EnforcementSettings,
        client: CaseClient,
        spool: Spool,
        secret: SamplingSecret,
        metrics: Metrics,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._budget_s = settings.budget_ms / 1e3
        self._sample_share = settings.sample_share
        self._client = client
        self._spool = spool
        self._secret = secret
        self._metrics = metrics
        self._pause = pause
        self._disk = ThreadPoolExecutor(1, "case-spool")
        self._arrived = asyncio.Event()
        # Handed over not long ago: asked for again, such as popular ones from the cache, they cost nothing more.
        self._recent: TTLCache[str, HandedOver] = TTLCache(_REMEMBERED, _REMEMBERED_S)
        self._disk_fails = False
        self.away = False
        """Whether the service failed when it was last asked."""

    @property
    def healthy(self) -> bool:
        """Whether the service answers, and what comes when it does not can be kept."""
        return not (self.away or self._disk_fails or self._spool.full)

    async def close(self) -> None:
        """Waits until what is being written is written, and lets go of the spool."""
        await self._on_disk(self._spool.close)
        self._disk.shutdown()

    async def hand_over(
        self, request: pb.ScoreRequest, verdict: pb.Verdict, for_case: Callable[[], pb.Verdict]
    ) -> HandedOver | None:
        """Hands over a REVIEW or BLOCK; None for an ALLOW, of which samples are kept to be delivered.

        `for_case` makes the verdict that a case is opened with, which has more than the one that is answered.
        """
        if verdict.action < pb.ACTION_REVIEW:
            if self._sample_share and self._is_sample(verdict):
                await self._keep_sample(request, verdict, for_case)
            return None
        began = monotonic()
        name = _name(request, verdict)
        handed = self._recent.get(name)
        if handed:
            self._metrics.handed_over("known")
        else:
            handed = await self._open_or_keep(name, case_request(request, for_case()).SerializeToString())
        return HandedOver(handed.handoff, handed.case_id, (monotonic() - began) * 1e3)

    def _is_sample(self, verdict: pb.Verdict) -> bool:
        return is_drawn(self._secret.seed(verdict.content_digest), self._sample_share, "quality sample")

    async def _keep_sample(
        self, request: pb.ScoreRequest, verdict: pb.Verdict, for_case: Callable[[], pb.Verdict]
    ) -> None:
        name = _name(request, verdict)
        if name in self._recent:
            self._metrics.handed_over("known")
        elif not await self._keep(name, case_request(request, for_case()).SerializeToString()):
            self._metrics.handed_over("failed")

    async def _open_or_keep(self, name: str, encoded: bytes) -> HandedOver:
        # A service that is away costs each answer its budget, unless it is left to those that are delivered from disk.
        asks = not (self.away and self._spool.waiting)
        handed = (
            (await self._open(name, encoded) if asks else None)
            or await self._keep(name, encoded)
            or (await self._open(name, encoded) if not asks else None)
        )
        if handed is None:
            self._metrics.handed_over("failed")
            return HandedOver(Handoff.FAILED)
        return handed

    async def _open(self, name: str, encoded: bytes) -> HandedOver | None:
        try:
            answer = await self._client.open_case(encoded, self._budget_s)
        except NotOpened as error:  # for good, too: kept, it is counted and can be looked at
            self._note(error)
            return None
        self._note(None)
        self._metrics.handed_over("opened")
        return self._remember(name, HandedOver(Handoff.OPENED, answer.case_id))

    async def _keep(self, name: str, encoded: bytes) -> HandedOver | None:
        try:
            await self._on_disk(self._spool.put, name, encoded, int(time() * 1e3))
        except SpoolFailed as error:
            _log.error("case_not_kept", error=str(error), case=name)
            self._disk_fails = True
            return None
        self._disk_fails = False
        self._metrics.handed_over("kept")
        self._arrived.set()
        return self._remember(name, HandedOver(Handoff.KEPT))

    async def deliver(self) -> None:
        """Delivers what is kept, the oldest first, and again what could not be; runs until it is cancelled."""
        last, fruitless = 0, 0
        while True:
            self._arrived.clear()
            try:
                batch: list[Kept] = await self._on_disk(self._spool.after, last, _AT_ONCE)
                if not batch and not last:
                    await self._arrived.wait()
                    continue
                # Past those that failed, so that they hold up no others; at the end, from the start again.
                last = batch[-1].id if batch else 0
                if not batch:
                    continue
                settled = await self._deliver(batch)
            except SpoolFailed as error:
                _log.error("spool_failed", error=str(error))
                settled = False
            fruitless = 0 if settled else fruitless + 1
            if fruitless:
                await self._pause(_backoff_s(fruitless))

    async def _deliver(self, batch: Sequence[Kept]) -> bool:
        """Whether anything became of a batch."""
        outcomes = await asyncio.gather(*map(self._delivered, batch))
        delivered = [kept for kept, outcome in zip(batch, outcomes, strict=True) if outcome is None]
        refused = [(kept, str(error)) for kept, error in zip(batch, outcomes, strict=True) if error and error.final]
        if not delivered and not refused:
            return False
        await self._on_disk(self._spool.settle, delivered, refused)
        for _ in delivered:
            self._metrics.handed_over("delivered")
        for kept, why in refused:
            self._metrics.handed_over("refused")
            _log.error("case_refused", case=kept.name, error=why)
        return True

    async def _delivered(self, kept: Kept) -> NotOpened | None:
        try:
            answer = await self._client.open_case(kept.request, _DELIVERY_S)
        except NotOpened as error:
            self._note(error)
            return error
        self._note(None)
        self._remember(kept.name, HandedOver(Handoff.OPENED, answer.case_id))
        return None

    def _note(self, failure: NotOpened | None) -> None:
        away = failure is not None and failure.away
        if away != self.away:
            self.away = away
            _log.warning("enforcement", away=away, error=str(failure or ""), waiting=self._spool.waiting)

    def _remember(self, name: str, handed: HandedOver) -> HandedOver:
        self._recent[name] = handed
        return handed

    async def _on_disk(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, partial(work, *arguments))


def _name(request: pb.ScoreRequest, verdict: pb.Verdict) -> str:
    """What is the same for the same case: a graver verdict on the same content is another one."""
    return f"{verdict.action} {verdict.content_digest} {request.video_id}"


def _backoff_s(fruitless: int) -> float:
    longest_s = min(_FIRST_PAUSE_S * 2.0 ** min(fruitless, 16), _LONGEST_PAUSE_S)
    return random.uniform(longest_s / 2, longest_s)
