"""`wildgate.v1.BlockService`: the list of blocks over gRPC, where it is kept and where it is followed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import islice
from time import time
from typing import Any, TypeVar

import grpc
from blake3 import blake3

from wildgate_client.token_file import TokenUnreadable, bearer
from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceServicer, BlockServiceStub
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.blocks_settings import BlocksSettings
from wildgate_server.blocks.entries import checked_block
from wildgate_server.blocks.follower import MESSAGE_OPTIONS
from wildgate_server.errors import BlockNotFound, BlocksUnavailable, InvalidRequest
from wildgate_server.transport import Channel

__all__ = ["BLOCK_SERVICE", "BlockService", "FingerprintedVideo", "ForwardingBlockService"]

BLOCK_SERVICE = pb.DESCRIPTOR.services_by_name["BlockService"].full_name

FingerprintedVideo = Callable[[bytes], Awaitable[pb.Block]]
"""What an entry holds of a media file besides its digests: fingerprint, descriptors, pictures."""

_T = TypeVar("_T")
Context = grpc.aio.ServicerContext[Any, Any]

_HEARTBEAT_S = 1.0
_MAX_PAGE, _PAGE = 1000, 100
_MAX_ADDED = 10_000
_SENT_RECORDS, _SENT_BYTES = 2000, 8 << 20  # by Follow, in one message
_FORWARDED_S = 30.0


class BlockService(BlockServiceServicer):
    """Over the list that is kept here. `fingerprinted` is None where no videos are decoded."""

    def __init__(self, blocks: BlockList, fingerprinted: FingerprintedVideo | None = None) -> None:
        self._blocks = blocks
        self._fingerprinted = fingerprinted

    async def Add(self, request: pb.AddBlocksRequest, context: Context) -> pb.AddBlocksResponse:
        """Adds entries. Raises InvalidRequest, and BlocksUnavailable where the disk refuses."""
        return await self._add(request.blocks)

    async def AddVideo(self, request: pb.AddVideoRequest, context: Context) -> pb.AddBlocksResponse:
        """Adds an entry for a video."""
        if self._fingerprinted is None:
            raise InvalidRequest("this service decodes no videos: send the video to a gateway", field="content")
        block = await video_block(request, self._fingerprinted)
        added = await self._add([block])
        added.frames = _frames(block)
        return added

    async def Update(self, request: pb.UpdateBlockRequest, context: Context) -> pb.Block:
        """Changes whether and until when an entry is in force."""
        now_ms = int(time() * 1e3)

        def changed(block: pb.Block) -> pb.Block:
            if request.HasField("enabled"):
                block.disabled = not request.enabled
            if request.HasField("expires_ms"):
                block.expires_ms = request.expires_ms
            return checked_block(block, now_ms)

        block = await self._written(self._blocks.change(request.id, changed))
        if block is None:
            raise _not_found(request.id)
        return _light(block)

    async def Remove(self, request: pb.RemoveBlocksRequest, context: Context) -> pb.RemoveBlocksResponse:
        """Removes entries."""
        if len(request.ids) > _MAX_ADDED:
            raise InvalidRequest(f"more than {_MAX_ADDED} entries at once", field="ids")
        removed = await self._written(self._blocks.remove(request.ids, request.removed_by[:1024]))
        return pb.RemoveBlocksResponse(ids=removed, position=self._blocks.position)

    async def Get(self, request: pb.GetBlockRequest, context: Context) -> pb.Block:
        """One entry, whole. Raises BlockNotFound."""
        block = self._blocks.get(request.id)
        if block is None:
            raise _not_found(request.id)
        return block

    async def List(self, request: pb.ListBlocksRequest, context: Context) -> pb.ListBlocksResponse:
        """A page of entries."""
        if not 0 <= request.page_size <= _MAX_PAGE:
            raise InvalidRequest(f"page_size is {request.page_size}, not 0 to {_MAX_PAGE}", field="page_size")
        token = request.page_token or "0"
        if not (token.isascii() and token.isdigit() and len(token) < 20):
            raise InvalidRequest("page_token is not one of this service", field="page_token")
        size = request.page_size or _PAGE

        def page() -> list[pb.BlockRecord]:
            standing = (record for record in self._blocks.records(int(token)) if record.HasField("put"))
            return list(islice(standing, size + 1))

        records = await asyncio.to_thread(page)
        return pb.ListBlocksResponse(
            blocks=[_light(record.put) for record in records[:size]],
            next_page_token=str(records[size - 1].position) if len(records) > size else "",
            total=self._blocks.entries,
        )

    async def Follow(self, request: pb.FollowRequest, context: Context) -> None:
        """Tells all changes after the position, then each as it comes, and something each second."""
        blocks = self._blocks
        known = request.list_id == blocks.list_id and request.after <= blocks.position
        after, reset = (request.after if known else 0), not known
        while True:
            changed, position = blocks.changed, blocks.position
            records = await asyncio.to_thread(self._some_records, after)
            await context.write(
                pb.FollowResponse(list_id=blocks.list_id, reset=reset, records=records, position=position)
            )
            reset = False
            if records:
                after = records[-1].position
            else:
                await _wait(changed, _HEARTBEAT_S)

    async def Import(self, request_iterator: AsyncIterator[pb.AddBlocksRequest], context: Context) -> None:
        """Adds each batch as it comes."""
        async for batch in request_iterator:
            await context.write(await self._add(batch.blocks))

    async def Export(self, request: pb.ExportBlocksRequest, context: Context) -> None:
        """Every entry that stood when it was asked for, and those that come meanwhile."""
        after = 0
        while records := await asyncio.to_thread(self._some_records, after):
            for record in records:
                if record.HasField("put"):
                    await context.write(record.put)
            after = records[-1].position

    async def _add(self, given: Sequence[pb.Block]) -> pb.AddBlocksResponse:
        if not 0 < len(given) <= _MAX_ADDED:
            raise InvalidRequest(f"{len(given)} entries at once, not 1 to {_MAX_ADDED}", field="blocks")
        now_ms = int(time() * 1e3)
        blocks = await asyncio.to_thread(_checked, given, now_ms)
        position = await self._written(self._blocks.put(blocks))
        return pb.AddBlocksResponse(ids=[block.id for block in blocks], position=position)

    @staticmethod
    async def _written(change: Awaitable[_T]) -> _T:
        try:
            return await change
        except OSError as error:
            raise BlocksUnavailable(f"the list cannot be written: {error}") from error

    def _some_records(self, after: int) -> list[pb.BlockRecord]:
        records, size = list[pb.BlockRecord](), 0
        for record in self._blocks.records(after):
            records.append(record)
            size += record.ByteSize()
            if size > _SENT_BYTES or len(records) == _SENT_RECORDS:
                break
        return records


def _handed_on(method: str) -> Any:
    async def hand_on(self: ForwardingBlockService, request: Any, context: Context) -> Any:
        return await self._hand_on(method, request, context)

    return hand_on


class ForwardingBlockService(BlockServiceServicer):
    """Of a gateway that follows the service of `settings`: hands calls on, and fingerprints videos before.

    The service sees the gateway's own token, whoever called.
    """

    def __init__(self, settings: BlocksSettings, fingerprinted: FingerprintedVideo) -> None:
        self._target = settings.target or ""
        self._token_file = settings.token_file
        self._fingerprinted = fingerprinted
        self._channel = Channel(self._target, settings.tls, MESSAGE_OPTIONS)

    async def close(self) -> None:
        """Leaves the service."""
        await self._channel.close()

    async def AddVideo(self, request: pb.AddVideoRequest, context: Context) -> pb.AddBlocksResponse:
        """Adds an entry for a video that is fingerprinted here."""
        block = await video_block(request, self._fingerprinted)
        added: pb.AddBlocksResponse = await self._hand_on("Add", pb.AddBlocksRequest(blocks=[block]), context)
        added.frames = _frames(block)
        return added

    Add, Update, Remove, Get, List = map(_handed_on, ("Add", "Update", "Remove", "Get", "List"))

    async def Follow(self, request: Any, context: Context) -> None:
        """Refused: copies are not followed, and large lists go no way round."""
        raise InvalidRequest(f"ask the block service itself, at {self._target}")

    Import = Export = Follow

    async def _hand_on(self, method: str, request: Any, context: Context) -> Any:
        try:
            stub = BlockServiceStub(self._channel.now)  # type: ignore[no-untyped-call]
            return await getattr(stub, method)(request, timeout=_FORWARDED_S, metadata=bearer(self._token_file))
        except TokenUnreadable as error:
            raise BlocksUnavailable(f"blocks.token_file: {error}") from error
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise BlocksUnavailable(
                    f"the block service does not answer: {error.details()}", retry_after_s=1.0
                ) from error
            # It has said in its own words what is wrong, and they are ours.
            return await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))


async def video_block(request: pb.AddVideoRequest, fingerprinted: FingerprintedVideo) -> pb.Block:
    """The entry for a video. Raises InvalidRequest, and what scoring raises where it cannot be decoded."""
    content = request.content
    if not content:
        raise InvalidRequest("content is empty", field="content")
    block = pb.Block()
    block.CopyFrom(request.block)
    block.MergeFrom(await fingerprinted(content))
    block.digests.extend(await asyncio.to_thread(_digests, content))
    return block


def _frames(block: pb.Block) -> int:
    """How many there are, each with what is made of it."""
    return len({(frame.track, frame.time_s) for frame in block.fingerprint.frames})


def _digests(content: bytes) -> tuple[str, str]:
    return f"blake3:{blake3(content).hexdigest()}", f"sha256:{hashlib.sha256(content).hexdigest()}"


def _checked(given: Sequence[pb.Block], now_ms: int) -> list[pb.Block]:
    checked = []
    for place, block in enumerate(given, 1):
        try:
            checked.append(checked_block(block, now_ms))
        except InvalidRequest as error:
            if len(given) == 1:
                raise
            which = f"entry {place} of {len(given)}"
            raise InvalidRequest(f"{which}, {block.id[:128]!r}: {error}", field=error.field) from error
    return checked


def _not_found(block_id: str) -> BlockNotFound:
    return BlockNotFound(f"no entry has the id {block_id[:128]!r}", field="id")


def _light(block: pb.Block) -> pb.Block:
    """Without what makes it large."""
    light = pb.Block()
    light.CopyFrom(block)
    for name in ("fingerprint", "descriptors", "kept_frames"):
        light.ClearField(name)
    return light


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
