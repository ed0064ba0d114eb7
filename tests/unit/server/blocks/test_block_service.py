"""The block service over real gRPC: its callers, and copies that follow it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio
from blake3 import blake3
from blocked_videos import block, video
from event_loop import settled

from wildgate_client import (
    Block,
    BlocksClient,
    ClientOptions,
    Content,
    Fingerprint,
    FrameFingerprint,
    InvalidRequest,
    NotFound,
    RetryPolicy,
    Unavailable,
    Uri,
)
from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceServicer, BlockServiceStub
from wildgate_server.admission import AdmissionSettings
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.block_service import BLOCK_SERVICE, BlockService, ForwardingBlockService
from wildgate_server.blocks.blocks_settings import BlocksSettings
from wildgate_server.blocks.entries import fingerprint_message
from wildgate_server.blocks.follower import BlockFollower, BlockState
from wildgate_server.endpoint import grpc_server
from wildgate_server.readiness import Readiness
from wildgate_server.server_metrics import ServerMetrics

PATIENCE_S = 20.0
RANDOM = np.random.default_rng(0)
BLAKE3 = "blake3:" + "0a" * 32
HASH = RANDOM.bytes(32)
SEEN = video(RANDOM, 3)


async def ready() -> bool:
    return True


async def fingerprinted(content: bytes) -> pb.Block:
    return pb.Block(fingerprint=fingerprint_message(SEEN), descriptors=b"points")


@contextlib.asynccontextmanager
async def serving(servicer: BlockServiceServicer, port: int = 0) -> AsyncIterator[int]:
    server = grpc_server(
        None,
        Readiness((BLOCK_SERVICE,), ready),
        metrics=ServerMetrics(),
        blocks=servicer,
        limits=AdmissionSettings(),
        max_video_bytes=1 << 20,
    )
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def client_of(port: int) -> BlocksClient:
    return BlocksClient(f"127.0.0.1:{port}", ClientOptions(deadline_s=PATIENCE_S, retry=RetryPolicy(attempts=1)))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def blocks(tmp_path: Path) -> AsyncIterator[BlockList]:
    loaded = await BlockList.load(tmp_path / "service")
    yield loaded
    await loaded.close()


@pytest_asyncio.fixture
async def client(blocks: BlockList) -> AsyncIterator[BlocksClient]:
    async with serving(BlockService(blocks, fingerprinted)) as port, client_of(port) as connected:
        yield connected


async def test_what_is_added_can_be_got_listed_changed_and_removed(client: BlocksClient, blocks: BlockList) -> None:
    fingerprint = Fingerprint((FrameFingerprint(1.5, 80, (HASH,)),), 3.0)
    entry = Block((BLAKE3,), fingerprint, label="horn", reason="sold", source="ours", added_by="me", expires_ms=9 << 50)
    added = await client.add([entry, Block((BLAKE3,), id="mine")])
    first, second = added.ids
    assert (second, added.position) == ("mine", 2)
    got = await client.get(first)
    assert got.added_ms > 0
    assert got == replace(entry, id=first, added_ms=got.added_ms)
    assert [(each.id, each.fingerprint) async for each in client.list()] == [(first, None), ("mine", None)]
    assert (await client.update("mine", enabled=False)).disabled
    assert not (await client.update("mine", enabled=True, expires_ms=1)).disabled
    assert (await client.get("mine")).expires_ms == 1
    removed = await client.remove([first, "other"], "me")
    assert removed.ids == (first,)
    assert [record.removed.removed_by for record in blocks.records(4)] == ["me"]
    with pytest.raises(NotFound, match="BLOCK_NOT_FOUND"):
        await client.get(first)


async def test_an_entry_that_is_removed_is_not_revived_by_an_update_under_way(
    client: BlocksClient, blocks: BlockList
) -> None:
    await client.add([Block((BLAKE3,), id=f"b{at}") for at in range(50)])
    changes = [
        change for at in range(50) for change in (client.update(f"b{at}", expires_ms=1), client.remove([f"b{at}"]))
    ]
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert [result.ids for result in results[1::2]] == [(f"b{at}",) for at in range(50)]
    assert blocks.entries == 0


async def test_a_video_is_added_with_what_it_is_recognised_by(client: BlocksClient, blocks: BlockList) -> None:
    added = await client.add_video(Content(b"a video"), Block(label="horn"))
    assert added.frames == 3
    entry = blocks.get(added.ids[0])
    assert (len(entry.fingerprint.frames), entry.descriptors, entry.label) == (3, b"points", "horn")
    assert entry.digests[0] == f"blake3:{blake3(b'a video').hexdigest()}"
    assert entry.digests[1].startswith("sha256:")
    with pytest.raises(InvalidRequest):
        await client.add_video(Uri("https://host/a"), Block())


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        (Block(), "digests"),
        (Block(("md5:00",)), "digests"),
        (Block(("blake3:" + "0A" * 32,)), "digests"),
        (Block((BLAKE3,) * 17), "digests"),
        (Block((BLAKE3,), id="x" * 129), "id"),
        (Block((BLAKE3,), id="a\nb"), "id"),
        (Block((BLAKE3,), reason="x" * 1025), "reason"),
        (Block((BLAKE3,), expires_ms=-1), "expires_ms"),
        (Block(fingerprint=Fingerprint((FrameFingerprint(0.0, 80, ()),))), "fingerprint"),
        (Block(fingerprint=Fingerprint((FrameFingerprint(0.0, 80, (HASH[1:],)),))), "fingerprint"),
        (Block(fingerprint=Fingerprint((FrameFingerprint(0.0, 101, (HASH,)),))), "fingerprint"),
        (Block(fingerprint=Fingerprint((FrameFingerprint(float("nan"), 80, (HASH,)),))), "fingerprint"),
        (Block(fingerprint=Fingerprint((FrameFingerprint(0.0, 80, (HASH,) * 65),))), "fingerprint"),
    ],
)
async def test_an_entry_that_is_odd_is_refused_and_none_is_added(
    client: BlocksClient, blocks: BlockList, entry: Block, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await client.add([Block((BLAKE3,)), entry])
    assert refused.value.field == field
    assert blocks.entries == 0


async def test_pages_come_in_order_and_odd_ones_are_refused(client: BlocksClient, blocks: BlockList) -> None:
    await blocks.put([block(f"b{at}", digests=[BLAKE3]) for at in range(2500)])
    await blocks.remove(["b1000"], "me")
    listed = [each.id async for each in client.list()]
    assert listed == [f"b{at}" for at in range(2500) if at != 1000]
    for request in (pb.ListBlocksRequest(page_size=1001), pb.ListBlocksRequest(page_token="x")):
        with pytest.raises(InvalidRequest):
            await client._call("List", request)


async def test_imports_are_acknowledged_by_the_batch_and_exports_are_whole(client: BlocksClient) -> None:
    entries = [Block(fingerprint=Fingerprint((FrameFingerprint(0.0, 90, (HASH,)),)), id=f"b{at}") for at in range(2100)]
    assert [len(added.ids) async for added in client.import_blocks(entries)] == [1000, 1000, 100]
    exported = [each async for each in client.export_blocks()]
    assert [each.id for each in exported] == [each.id for each in entries]
    assert exported[0].fingerprint == entries[0].fingerprint
    with pytest.raises(InvalidRequest):
        _ = [added async for added in client.import_blocks([Block((BLAKE3,), id="fine"), Block()])]


async def test_an_import_of_large_entries_comes_in_messages_that_are_taken(client: BlocksClient) -> None:
    frames = tuple(FrameFingerprint(float(at), 20, (HASH,)) for at in range(1000))
    added = [len(batch.ids) async for batch in client.import_blocks([Block(fingerprint=Fingerprint(frames))] * 99)]
    assert sum(added) == 99


async def test_a_service_that_decodes_nothing_says_so(blocks: BlockList) -> None:
    async with serving(BlockService(blocks)) as port, client_of(port) as client:
        with pytest.raises(InvalidRequest, match="decodes no videos"):
            await client.add_video(Content(b"a video"), Block())


class Following:
    """A copy that follows the service at a port."""

    def __init__(self, directory: Path, port: int, blocks: BlockList) -> None:
        self.blocks = blocks
        settings = BlocksSettings(directory=directory, target=f"127.0.0.1:{port}", stale_after_s=1.0)
        self.follower = BlockFollower(settings, blocks)
        self.task = asyncio.create_task(self.follower.run())

    async def until_as_far_as(self, other: BlockList) -> None:
        await until(lambda: self.blocks.position == other.position and self.blocks.list_id == other.list_id)
        assert list(self.blocks.records(0)) == list(other.records(0))


@contextlib.asynccontextmanager
async def following(directory: Path, port: int) -> AsyncIterator[Following]:
    copy = Following(directory, port, await BlockList.load(directory))
    try:
        yield copy
    finally:
        copy.task.cancel()
        await asyncio.gather(copy.task, return_exceptions=True)
        await copy.blocks.close()


async def test_two_copies_follow_what_there_was_and_each_change(blocks: BlockList, tmp_path: Path) -> None:
    await blocks.put([block(f"b{at}", video(RANDOM, 1)) for at in range(5000)])
    async with (
        serving(BlockService(blocks)) as port,
        following(tmp_path / "one", port) as one,
        following(tmp_path / "two", port) as two,
    ):
        for copy in (one, two):
            await copy.until_as_far_as(blocks)
            await until(lambda copy=copy: copy.follower.state is BlockState.CURRENT)
        await blocks.put([block("new", SEEN)])
        await blocks.remove(["b7"], "me")
        for copy in (one, two):
            await copy.until_as_far_as(blocks)


async def test_away_what_is_known_stays_and_back_it_is_caught_up(blocks: BlockList, tmp_path: Path) -> None:
    await blocks.put([block("a", SEEN)])
    async with serving(BlockService(blocks)) as port, following(tmp_path / "copy", port) as copy:
        await copy.until_as_far_as(blocks)
    async with following(tmp_path / "copy", port) as copy:
        await until(lambda: copy.follower.state is BlockState.STALE)
        assert copy.blocks.get("a")
        await blocks.put([block("b", SEEN)])
        async with serving(BlockService(blocks), port):
            await copy.until_as_far_as(blocks)
            await until(lambda: copy.follower.state is BlockState.CURRENT)
        await until(lambda: copy.follower.state is BlockState.STALE)


async def test_never_heard_of_the_list_is_not_loaded(tmp_path: Path) -> None:
    async with following(tmp_path / "copy", 1) as copy:
        await settled()
        assert copy.follower.state is BlockState.NOT_LOADED


async def test_another_list_or_an_older_state_of_it_replaces_what_was_known(blocks: BlockList, tmp_path: Path) -> None:
    async with following(tmp_path / "copy", 1) as copy:
        await copy.blocks.put([block("its own", SEEN)])
    await blocks.put([block("a", SEEN)])
    async with serving(BlockService(blocks)) as port, following(tmp_path / "copy", port) as copy:
        await copy.until_as_far_as(blocks)
        assert copy.blocks.get("its own") is None
        ahead = pb.FollowRequest(list_id=blocks.list_id, after=99)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = await BlockServiceStub(channel).Follow(ahead).read()
        assert answer.reset
        assert [record.put.id for record in answer.records] == ["a"]


async def test_a_gateway_hands_changes_on_and_fingerprints_videos_itself(blocks: BlockList, tmp_path: Path) -> None:
    async with serving(BlockService(blocks)) as port:
        settings = BlocksSettings(directory=tmp_path / "copy", target=f"127.0.0.1:{port}")
        forwarding = ForwardingBlockService(settings, fingerprinted)
        async with serving(forwarding) as gateway, client_of(gateway) as client:
            assert (await client.add_video(Content(b"a video"), Block(id="v"))).frames == 3
            await client.add([Block((BLAKE3,), id="d")])
            assert [each.id async for each in client.list()] == ["v", "d"]
            assert (await client.update("d", enabled=False)).disabled
            assert (await client.remove(["d"])).ids == ("d",)
            with pytest.raises(NotFound, match="BLOCK_NOT_FOUND"):
                await client.get("d")
            with pytest.raises(InvalidRequest, match="ask the block service itself"):
                _ = [each async for each in client.export_blocks()]
    async with serving(forwarding) as gateway, client_of(gateway) as client:
        with pytest.raises(Unavailable, match="BLOCKS_UNAVAILABLE"):
            await client.add([Block((BLAKE3,))])
    await forwarding.close()


async def test_a_disk_that_is_full_adds_nothing_and_is_said(tmp_path: Path) -> None:
    class FullDisk(BlockList):
        async def put(self, blocks: object) -> int:
            raise OSError(28, "No space left on device")

    blocks = await FullDisk.load(tmp_path)
    async with serving(BlockService(blocks)) as port, client_of(port) as client:
        with pytest.raises(Unavailable, match="No space left"):
            await client.add([Block((BLAKE3,))])
    await blocks.close()
