"""The list of blocks as callers see it: its entries, and a client of `wildgate.v1.BlockService`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc

from wildgate_client._client import ClientOptions
from wildgate_client._retry import Clock, with_retry
from wildgate_client._source import Content, Source, read_source
from wildgate_client._status import error_from_rpc
from wildgate_client._verdict import Fingerprint
from wildgate_client._wire import fingerprint_from
from wildgate_client.errors import InvalidRequest
from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceStub

__all__ = ["AddedBlocks", "Block", "BlocksClient"]

_BATCH, _BATCH_BYTES = 1000, 1 << 20


@dataclass(frozen=True, slots=True)
class Block:
    """An entry: what it blocks, by a file's `digests` ("blake3:<hex>", "sha256:<hex>") and by `fingerprint`, and why.

    The server makes an `id` and `added_ms` where there are none. Times are milliseconds since 1970; `expires_ms` 0: it
    never ends.
    """

    digests: tuple[str, ...] = ()
    fingerprint: Fingerprint | None = field(default=None, repr=False)
    id: str = ""
    label: str = ""
    reason: str = ""
    source: str = ""
    added_by: str = ""
    added_ms: int = 0
    expires_ms: int = 0
    disabled: bool = False


_PLAIN = ("id", "label", "reason", "source", "added_by", "added_ms", "expires_ms", "disabled")


@dataclass(frozen=True, slots=True)
class AddedBlocks:
    """The ids of what was added or removed, and the position of the change: gateways that are as far have it in force.

    `frames` is how many frames of a video were fingerprinted; with none, only an exact copy is blocked.
    """

    ids: tuple[str, ...]
    position: int
    frames: int = 0


class BlocksClient:
    """Changes the list of blocks that the server at `target` keeps, a gateway or a block service.

    An async context manager. Methods raise `ScoringError`; UNAVAILABLE is retried as `ClientOptions.retry` says.

        async with BlocksClient("localhost:8100") as blocks:
            await blocks.add_video(Path("clip.mp4"), Block(label="rhino_horn", reason="case 12"))
    """

    def __init__(self, target: str, options: ClientOptions | None = None, *, clock: Clock | None = None) -> None:
        self._target = target
        self._options = options or ClientOptions()
        self._clock = clock or Clock()

    async def __aenter__(self) -> Self:
        self._channel = self._options.channel(self._target)
        self._stub = BlockServiceStub(self._channel)  # type: ignore[no-untyped-call]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def add(self, blocks: Sequence[Block]) -> AddedBlocks:
        """Adds entries, all or none, or replaces those with the same ids; they are on disk when this returns."""
        added = await self._call("Add", pb.AddBlocksRequest(blocks=map(_message, blocks)))
        return AddedBlocks(tuple(added.ids), added.position)

    async def add_video(self, source: Source, block: Block) -> AddedBlocks:
        """Adds an entry for a video: its digests, and its fingerprint where the server decodes videos."""
        content = await read_source(source, max_content_bytes=self._options.max_content_bytes)
        if not isinstance(content, Content):
            raise InvalidRequest(
                "a URI cannot be blocked, only what lies there",
                code=grpc.StatusCode.INVALID_ARGUMENT,
                reason="INVALID_REQUEST",
                field="source",
            )
        added = await self._call("AddVideo", pb.AddVideoRequest(content=content.data, block=_message(block)))
        return AddedBlocks(tuple(added.ids), added.position, added.frames)

    async def update(self, block_id: str, *, enabled: bool | None = None, expires_ms: int | None = None) -> Block:
        """Changes whether and until when an entry is in force. Raises `NotFound`."""
        request = pb.UpdateBlockRequest(id=block_id, enabled=enabled, expires_ms=expires_ms)
        return block_from(await self._call("Update", request))

    async def remove(self, ids: Sequence[str], removed_by: str = "") -> AddedBlocks:
        """Removes entries; the answer has the ids of those that there were."""
        removed = await self._call("Remove", pb.RemoveBlocksRequest(ids=ids, removed_by=removed_by))
        return AddedBlocks(tuple(removed.ids), removed.position)

    async def get(self, block_id: str) -> Block:
        """One entry. Raises `NotFound`."""
        return block_from(await self._call("Get", pb.GetBlockRequest(id=block_id)))

    async def list(self) -> AsyncIterator[Block]:
        """All entries, without their fingerprints."""
        token = ""
        while True:
            page = await self._call("List", pb.ListBlocksRequest(page_size=_BATCH, page_token=token))
            for message in page.blocks:
                yield block_from(message)
            if not (token := page.next_page_token):
                return

    async def import_blocks(self, blocks: Iterable[Block]) -> AsyncIterator[AddedBlocks]:
        """Adds many entries, by the batch; each batch that is answered is on disk, should a later one fail."""
        call = self._stub.Import(metadata=self._options.call_metadata())
        try:
            for batch in _batches(map(_message, blocks)):
                await call.write(batch)
                added = await call.read()
                yield AddedBlocks(tuple(added.ids), added.position)
            await call.done_writing()
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error

    async def export_blocks(self) -> AsyncIterator[Block]:
        """All entries, whole."""
        try:
            async for message in self._stub.Export(pb.ExportBlocksRequest(), metadata=self._options.call_metadata()):
                yield block_from(message)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error

    async def _call(self, method: str, request: Any) -> Any:
        async def attempt(left_s: float) -> Any:
            try:
                return await getattr(self._stub, method)(
                    request, timeout=left_s, metadata=self._options.call_metadata()
                )
            except grpc.aio.AioRpcError as error:
                raise error_from_rpc(error) from error

        options = self._options
        return await with_retry(attempt, policy=options.retry, deadline_s=options.deadline_s, clock=self._clock)


def block_from(message: pb.Block) -> Block:
    """The entry in the client's own types."""
    return Block(
        digests=tuple(message.digests),
        fingerprint=fingerprint_from(message.fingerprint) if message.HasField("fingerprint") else None,
        **{name: getattr(message, name) for name in _PLAIN},
    )


def _batches(messages: Iterable[pb.Block]) -> Iterator[pb.AddBlocksRequest]:
    """As many at once as servers take; videos with many frames are large."""
    batch, size = pb.AddBlocksRequest(), 0
    for message in messages:
        size += message.ByteSize()
        if len(batch.blocks) == _BATCH or (batch.blocks and size > _BATCH_BYTES):
            yield batch
            batch, size = pb.AddBlocksRequest(), message.ByteSize()
        batch.blocks.append(message)
    if batch.blocks:
        yield batch


def _message(block: Block) -> pb.Block:
    message = pb.Block(digests=block.digests, **{name: getattr(block, name) for name in _PLAIN})
    if block.fingerprint:
        message.fingerprint.duration_s = block.fingerprint.duration_s
        for frame in block.fingerprint.frames:
            message.fingerprint.frames.add(
                track=frame.track, time_s=frame.time_s, quality=frame.quality, hashes=frame.hashes
            )
    return message
