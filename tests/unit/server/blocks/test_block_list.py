"""The list of blocks: what is in force, at once, and again after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from blocked_videos import block, video

from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.block_rules import BlockRules
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.block_log import BlockLogError
from wildgate_server.blocks.fingerprint import VideoFingerprint
from wildgate_server.blocks.matching import resemblances

RULES = BlockRules()
RANDOM = np.random.default_rng(0)
ONE, OTHER = video(RANDOM), video(RANDOM, regions=4)
BLAKE3, SHA256 = "blake3:" + "0a" * 32, "sha256:" + "0b" * 32


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def blocks(tmp_path: Path, clock: Clock) -> AsyncIterator[BlockList]:
    loaded = await BlockList.load(tmp_path, clock)
    yield loaded
    await loaded.close()


def found(blocks: BlockList, fingerprint: object = ONE) -> list[str]:
    return [each.block.id for each in resemblances(blocks, fingerprint, RULES)]


async def test_an_entry_is_in_force_until_it_is_removed(blocks: BlockList) -> None:
    assert not found(blocks)
    await blocks.put([block("a", ONE, [BLAKE3]), block("b", OTHER)])
    assert (found(blocks), found(blocks, OTHER), blocks.entries) == (["a"], ["b"], 2)
    assert blocks.by_digest([BLAKE3]).id == "a"
    assert await blocks.remove(["a", "never", "a"], "me") == ["a"]
    assert (found(blocks), found(blocks, OTHER), blocks.entries) == ([], ["b"], 1)
    assert blocks.by_digest([BLAKE3]) is None
    assert blocks.get("a") is None


async def test_an_entry_put_again_is_replaced(blocks: BlockList) -> None:
    await blocks.put([block("a", ONE, [BLAKE3])])
    await blocks.put([block("a", OTHER, [SHA256])])
    assert (found(blocks), found(blocks, OTHER), blocks.entries) == ([], ["a"], 1)
    assert blocks.by_digest([BLAKE3]) is None
    assert blocks.by_digest([SHA256]).id == "a"


async def test_put_again_an_entry_blocks_all_the_while(blocks: BlockList) -> None:
    entries = [block("a", ONE, [BLAKE3]), *(block(f"{at}", video(RANDOM, 1), [SHA256]) for at in range(3000))]
    await blocks.put(entries)
    for _ in range(3):
        again = asyncio.create_task(blocks.put(entries))
        while not again.done():
            assert set(await asyncio.to_thread(found, blocks)) == {"a"}
            assert blocks.by_digest([BLAKE3])
    assert blocks.entries == len(entries)


async def test_back_from_a_file_an_entry_keeps_what_only_wildgate_makes(blocks: BlockList) -> None:
    hashes = VideoFingerprint(tuple(replace(frame, hashes=frame.hashes[:1]) for frame in OTHER.frames), 0.0)
    kept = {"descriptors": b"points", "kept_frames": [pb.KeptFrame(jpeg=b"jpeg")]}
    for given, wanted in (
        (block("a", hashes, reason="again"), block("a", OTHER, reason="again", **kept)),
        (block("a", ONE), block("a", ONE)),
        (block("a", digests=[BLAKE3]), block("a", digests=[BLAKE3])),
    ):
        await blocks.put([block("a", OTHER, reason="first", **kept)])
        await blocks.put([given])
        assert blocks.get("a") == wanted


async def test_disabled_and_over_it_blocks_nothing_and_stays_on_the_list(blocks: BlockList, clock: Clock) -> None:
    await blocks.put([block("a", ONE, [BLAKE3], expires_ms=1_000_500), block("b", OTHER, disabled=True)])
    assert (found(blocks), found(blocks, OTHER)) == (["a"], [])
    clock.now_s = 1000.5
    assert not found(blocks)
    assert blocks.by_digest([BLAKE3]) is None
    assert blocks.entries == 2
    assert blocks.get("a")
    assert blocks.get("b")


async def test_two_entries_of_one_file_each_block_it(blocks: BlockList) -> None:
    await blocks.put([block("theirs", digests=[BLAKE3]), block("ours", digests=[BLAKE3], disabled=True)])
    assert blocks.by_digest([BLAKE3]).id == "theirs"
    await blocks.put([block("ours", digests=[BLAKE3])])
    await blocks.remove(["ours"], "me")
    assert blocks.by_digest([BLAKE3]).id == "theirs"


async def test_sha256_is_wanted_only_while_an_entry_has_nothing_else(blocks: BlockList) -> None:
    await blocks.put([block("a", digests=[BLAKE3, SHA256])])
    assert not blocks.wants_sha256
    await blocks.put([block("b", digests=[SHA256])])
    assert blocks.wants_sha256
    await blocks.remove(["b"], "me")
    assert not blocks.wants_sha256


async def test_all_of_it_is_there_after_a_restart(tmp_path: Path) -> None:
    blocks = await BlockList.load(tmp_path, Clock())
    await blocks.put([block("a", ONE, [BLAKE3]), block("b", OTHER), block("c", digests=[SHA256])])
    await blocks.put([block("b", OTHER, disabled=True)])
    await blocks.remove(["c"], "me")
    records, list_id = list(blocks.records(0)), blocks.list_id
    await blocks.close()
    again = await BlockList.load(tmp_path, Clock())
    assert (list(again.records(0)), again.list_id, again.position) == (records, list_id, 5)
    assert (found(again), found(again, OTHER), again.entries, again.wants_sha256) == (["a"], [], 2, False)
    await again.close()


async def test_records_after_a_position_are_what_a_copy_still_needs(blocks: BlockList, tmp_path: Path) -> None:
    await blocks.put([block("a", ONE), block("b", OTHER), block("c", digests=[SHA256])])
    copy = await BlockList.load(tmp_path / "copy", Clock())
    await copy.restart(blocks.list_id)
    await copy.copy(list(blocks.records(0)))
    await blocks.remove(["b"], "me")
    await blocks.put([block("a", ONE, reason="again")])
    after = list(blocks.records(copy.position))
    assert [record.WhichOneof("change") for record in after] == ["removed", "put"]
    await copy.copy(after)
    await copy.copy(after)
    assert list(copy.records(0)) == list(blocks.records(0))
    assert (copy.position, copy.list_id) == (blocks.position, blocks.list_id)
    await copy.close()


async def test_tidied_up_it_is_the_same_list_in_a_smaller_file(tmp_path: Path) -> None:
    blocks = await BlockList.load(tmp_path, Clock())
    videos = [video(RANDOM, 4) for _ in range(300)]
    for time in range(8):
        await blocks.put([block(str(at), each, reason=f"{time}") for at, each in enumerate(videos)])
    await blocks.remove([str(at) for at in range(200, 300)], "me")
    before = list(blocks.records(0))
    await blocks.put([block("last", ONE)])
    await blocks.tidy()
    assert blocks.log_bytes < 4 * 300 * 250, "half of what was written, at most"
    assert list(blocks.records(0)) == [*before, *blocks.records(before[-1].position)]
    assert [found(blocks, each) for each in videos] == [[str(at)] for at in range(200)] + [[]] * 100
    await blocks.close()
    again = await BlockList.load(tmp_path, Clock())
    assert (found(again), found(again, videos[0]), again.entries) == (["last"], ["0"], 201)
    await again.close()


async def test_where_there_is_no_room_to_tidy_up_the_file_stays_and_takes_more(tmp_path: Path) -> None:
    blocks = await BlockList.load(tmp_path)
    (tmp_path / "blocks.compact").mkdir()
    for _ in range(3):
        await blocks.put([block(str(at), digests=[BLAKE3]) for at in range(1000)])
    await blocks.close()
    again = await BlockList.load(tmp_path)
    assert again.entries == 1000
    await again.close()


async def test_what_a_later_version_keeps_is_copied_and_what_is_known_of_it_blocks(tmp_path: Path) -> None:
    later = block("later", ONE, ["md5:00", BLAKE3])
    later.fingerprint.frames.add(quality=90, hashes=[b"of 8 bytes"])
    later.fingerprint.frames.add(quality=90)
    copy = await BlockList.load(tmp_path)
    await copy.copy([pb.BlockRecord(position=1, put=later)])
    await copy.close()
    again = await BlockList.load(tmp_path)
    assert found(again) == ["later"]
    assert again.by_digest([BLAKE3])
    await again.remove(["later"], "me")
    assert (found(again), again.by_digest([BLAKE3])) == ([], None)
    await again.close()


async def test_lookups_and_changes_at_once_see_whole_entries(blocks: BlockList) -> None:
    videos = [video(RANDOM, 5) for _ in range(200)]
    seen: list[int] = []
    done = asyncio.Event()

    async def look() -> None:
        while not done.is_set():
            for at in (0, 50, 199):
                matches = await asyncio.to_thread(resemblances, blocks, videos[at], RULES)
                assert [each.block.id for each in matches] in ([], [str(at)])
                seen.extend(len(each.frames) for each in matches)

    looking = asyncio.create_task(look())
    for start in range(0, 200, 10):
        await blocks.put([block(str(at), videos[at]) for at in range(start, start + 10)])
        await blocks.remove([str(start + 5)], "me")
        assert found(blocks, videos[start]) == [str(start)]
    await blocks.tidy()
    done.set()
    await looking
    assert set(seen) <= {5}


async def test_a_list_that_is_damaged_does_not_load(tmp_path: Path) -> None:
    blocks = await BlockList.load(tmp_path, Clock())
    for at in range(3):
        await blocks.put([block(str(at), ONE)])
    await blocks.close()
    file = tmp_path / "blocks.log"
    file.write_bytes(
        file.read_bytes().replace(b"wildgate blocks 1", b"wildgate blocks 1")[:60] + b"?" + file.read_bytes()[61:]
    )
    with pytest.raises(BlockLogError, match="damaged"):
        await BlockList.load(tmp_path, Clock())


def test_a_record_is_a_change_of_one_kind() -> None:
    assert pb.BlockRecord(put=pb.Block(id="a")).WhichOneof("change") == "put"
