"""The list of blocks in the console, over real HTTP and a real list."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from console_under_test import ConsoleUnderTest, block_service, console
from enforcement_under_test import subject, verdict

from wildgate_proto.v1 import blocks_pb2
from wildgate_server.blocks.block_list import BlockList

_DIGEST = f"sha256:{'ab' * 32}"


@pytest.fixture
async def listed(tmp_path: Path) -> AsyncIterator[tuple[BlockList, str]]:
    async with block_service(tmp_path / "blocks") as service:
        yield service


@pytest.fixture
def blocks(listed: tuple[BlockList, str]) -> BlockList:
    return listed[0]


@pytest.fixture
async def running(tmp_path: Path, listed: tuple[BlockList, str]) -> AsyncIterator[ConsoleUnderTest]:
    async with console(tmp_path, blocks=listed[1]) as started:
        yield started


async def test_a_senior_blocks_a_file_switches_it_off_and_the_log_says_who(
    running: ConsoleUnderTest, blocks: BlockList
) -> None:
    async with running.person("sue/senior") as sue:
        added = await sue.send_form("/blocks", digest=_DIGEST, reason="an old film of a hunt", label="ivory")
        block_id = added.headers["location"].removeprefix("/blocks?word=")
        assert "an old film of a hunt" in (await sue.get("/blocks?word=OLD FILM")).text
        await sue.send_form("/blocks/switch", id=block_id, enabled="0")
        assert "disabled" in (await sue.get(added.headers["location"])).text
    entry = blocks.get(block_id)
    assert entry
    assert (entry.digests, entry.added_by, entry.disabled) == ([_DIGEST], "sue", True)
    asked = await running.events("block_change_asked")
    assert [b'"actor":"sue"' in event and _DIGEST.encode() in event for event in asked] == [True, False]
    assert block_id.encode() in asked[1]


async def test_others_read_the_list_and_change_nothing(running: ConsoleUnderTest, blocks: BlockList) -> None:
    await blocks.put([blocks_pb2.Block(id="b1", digests=[_DIGEST], source="partner")])
    for role, reads in (("moderator", 200), ("auditor", 200), ("administrator", 403)):
        async with running.person(f"eve/{role}") as eve:
            assert (await eve.get("/blocks")).status_code == reads
            if reads == 200:
                for path in ("/blocks", "/blocks/switch"):
                    assert (await eve.send_form(path, id="b1", digest=_DIGEST, reason="r")).status_code == 403
    assert not await running.events("block_change_asked")
    assert sum(b"BlockService" in event for event in await running.events("denied")) == 5
    entry = blocks.get("b1")
    assert entry
    assert not entry.disabled


async def test_what_is_wrong_or_unknown_is_said(running: ConsoleUnderTest) -> None:
    async with running.person("sue/senior") as sue:
        refused = await sue.send_form("/blocks", digest="md5:00", reason="r")
        assert (refused.status_code, "digest" in refused.text) == (400, True)
        assert (await sue.send_form("/blocks/switch", id="nobody's", enabled="1")).status_code == 404
        assert (await sue.get("/blocks?after=nowhere")).status_code == 400


async def test_entries_that_end_say_so_whatever_the_time(running: ConsoleUnderTest, blocks: BlockList) -> None:
    entry = blocks_pb2.Block(digests=[_DIGEST], source="case ../audit")
    for name, expires_ms in (("over", 1), ("never", (1 << 63) - 1)):
        await blocks.put([blocks_pb2.Block(id=name, expires_ms=expires_ms, digests=entry.digests, source=entry.source)])
    async with running.person("sue/senior") as sue:
        page = (await sue.get("/blocks")).text
    assert re.findall(r"<td>(expired|in force|disabled)", page) == ["expired", "in force"]
    assert "/cases/" not in page


async def test_without_a_list_there_is_no_page_of_it(tmp_path: Path) -> None:
    async with console(tmp_path) as running, running.person("sue/senior") as sue:
        assert 'href="/blocks"' not in (await sue.get("/queue")).text
        assert (await sue.get("/blocks")).status_code == 503


async def test_a_match_says_why_and_leads_to_its_entry(running: ConsoleUnderTest, blocks: BlockList) -> None:
    await blocks.put([blocks_pb2.Block(id="b/1&x", digests=[_DIGEST], source="<script>partner</script>")])
    copy = verdict()
    frames = [{"time_s": 2.0, "original_s": 7.5, "distance": 19, "regional": True}]
    copy.block_matches.add(block_id="b/1&x", label="ivory", kind="KIND_CONFIRMED", frames=frames, inliers=41)
    case_id = (await running.service.as_("gw/gateway").OpenCase(subject=subject(9), verdict=copy)).case_id
    async with running.person("ann/moderator") as ann:
        page = (await ann.get(f"/cases/{case_id}")).text
        assert "<td>2.0 s</td><td>7.5 s</td><td>19</td><td>a part of the picture</td>" in page
        assert "in common: 41" in page
        entry = (await ann.get("/blocks?word=b/1%26x")).text
        assert "&lt;script&gt;partner" in entry
    async with running.person("sue/senior") as sue:
        switched = await sue.send_form("/blocks/switch", id="b/1&x", enabled="0")
        assert "disabled" in (await sue.get(switched.headers["location"])).text
