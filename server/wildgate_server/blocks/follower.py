"""Following the list of a block service elsewhere: a copy of it is kept, and asked while the service is away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from enum import Enum
from time import monotonic

import grpc
import structlog

from wildgate_client.token_file import TokenUnreadable, bearer
from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceStub
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.blocks_settings import BlocksSettings
from wildgate_server.errors import StartError
from wildgate_server.transport import Channel

__all__ = ["MESSAGE_OPTIONS", "BlockFollower", "BlockState"]

_log = structlog.get_logger()

MESSAGE_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


class BlockState(Enum):
    """How well the list is known; names as in the protocol."""

    CURRENT = 1
    STALE = 2
    NOT_LOADED = 3


class BlockFollower:
    """Keeps `blocks` a copy of the service's list. `clock` returns monotonic seconds."""

    def __init__(self, settings: BlocksSettings, blocks: BlockList, clock: Callable[[], float] = monotonic) -> None:
        self._target = settings.target or ""
        self._token_file = settings.token_file
        self._tls = settings.tls
        self._stale_after_s = settings.stale_after_s
        self._blocks = blocks
        self._clock = clock
        self._heard: float | None = None
        self._caught_up_once = blocks.position > 0
        self.caught_up = asyncio.Event()
        """Set once the copy has been as far as the service."""

    @property
    def state(self) -> BlockState:
        """How well the list is known now."""
        if not self._caught_up_once:
            return BlockState.NOT_LOADED
        return BlockState.CURRENT if self.behind_s <= self._stale_after_s else BlockState.STALE

    @property
    def behind_s(self) -> float:
        """For how long the copy may have been behind; infinite if the service was never heard."""
        return float("inf") if self._heard is None else self._clock() - self._heard

    async def run(self) -> None:
        """Follows, and connects again when the stream ends; runs until it is cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            before = self._heard
            try:
                await self._follow()
                reason = "the stream ended"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            # The copy cannot be written, the service fell silent, or there is no token or certificate to show it.
            except (OSError, TimeoutError, TokenUnreadable, StartError) as error:
                reason = f"{type(error).__name__}: {error}"
            pause_s = _FIRST_PAUSE_S if self._heard != before else min(2 * pause_s, _LONGEST_PAUSE_S)
            _log.warning("block_service_away", target=self._target, error=reason, position=self._blocks.position)
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))

    async def _follow(self) -> None:
        blocks = self._blocks
        async with AsyncExitStack() as stack:
            channel = Channel(self._target, self._tls, MESSAGE_OPTIONS)  # as the certificates are now
            stack.push_async_callback(channel.close)
            known = pb.FollowRequest(list_id=blocks.list_id, after=blocks.position)
            stub = BlockServiceStub(channel.now)  # type: ignore[no-untyped-call]
            stream = stub.Follow(known, metadata=bearer(self._token_file))
            while True:
                async with asyncio.timeout(self._stale_after_s):
                    answer = await stream.read()
                if answer is grpc.aio.EOF:
                    return
                if answer.reset:
                    if blocks.position:
                        _log.warning("block_list_replaced", target=self._target, was=blocks.list_id, now=answer.list_id)
                    self._caught_up_once = False
                    await blocks.restart(answer.list_id)
                if answer.records:
                    await blocks.copy(answer.records)
                if blocks.position >= answer.position:
                    self._heard = self._clock()
                    self._caught_up_once = True
                    self.caught_up.set()
