"""Blocked videos stay blocked: two gateways on one block service, which is killed and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
from blake3 import blake3
from blocked_videos import scenery
from checkout import ROOT
from clips import ClipSpec, make_clip
from gateway_under_test import NO_RETRY, PATIENCE_S, GatewayUnderTest, MakeSettings, free_address, running, until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from wildgate_client import (
    Action,
    Block,
    BlocksClient,
    ClientOptions,
    Content,
    RetryPolicy,
    ScoringClient,
    ScoringError,
)
from wildgate_server.gateway import BLOCKS_HEALTH

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

# Channels to one address share what they know of it: one that was killed is tried again after a pause.
RETRY = ClientOptions(deadline_s=PATIENCE_S, retry=RetryPolicy(attempts=100))
SERVE = "import sys; from wildgate_server import blocks_command as it; sys.exit(it.blocks_serve_command(sys.argv[1:]))"


def pan(number: int, width: int, height: int) -> object:
    """A view that moves on over one wide scenery: no two seconds of it are alike."""
    return scenery(number // 10)[:height, :width]


ORIGINAL = Content(make_clip(ClipSpec(seconds=6.0, paint=pan)))
REENCODED = Content(make_clip(ClipSpec(seconds=6.0, paint=pan, codec="mpeg4")))
MIRRORED = Content(make_clip(ClipSpec(seconds=6.0, paint=lambda *at: pan(*at)[:, ::-1])))
STRANGER = Content(make_clip(ClipSpec(seconds=6.0, first_frame=1000, paint=pan)))


class Process:
    """One that says on a line of its output when it is ready, at one address however often it is started."""

    def __init__(self, *command: str) -> None:
        self.address = free_address()
        self._command = [sys.executable, *command, "--listen", self.address]
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout
        line = await asyncio.to_thread(self._process.stdout.readline)
        assert line.endswith(f" on {self.address}\n")

    async def kill(self) -> None:
        if self._process:
            self._process.kill()
            await asyncio.to_thread(self._process.communicate)
            self._process = None


def service_process(directory: Path) -> Process:
    """`wildgate blocks serve`."""
    return Process("-c", SERVE, "--directory", str(directory))


@contextlib.asynccontextmanager
async def fleet(
    make_settings: MakeSettings, tmp_path: Path
) -> AsyncIterator[tuple[Process, GatewayUnderTest, GatewayUnderTest]]:
    service = service_process(tmp_path / "service")
    await service.start()
    try:
        one, two = (
            make_settings(
                blocks={"directory": tmp_path / name, "target": service.address, "stale_after_s": 2.0},
                cache={"max_entries": 100},
            )
            for name in ("one", "two")
        )
        async with running(one) as first, running(two) as second:
            yield service, first, second
    finally:
        await service.kill()


async def health_of_blocks(gateway: GatewayUnderTest) -> int:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        request = health_pb2.HealthCheckRequest(service=BLOCKS_HEALTH)
        return (await health_pb2_grpc.HealthStub(channel).Check(request)).status


async def until_blocked(gateway: GatewayUnderTest, video: Content, *kinds: str) -> None:
    """Until the gateway answers so; what was under way when the entry came may be told otherwise."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            verdict = await gateway.client.score(video)
            if verdict.block_matches and verdict.block_matches[0].kind in kinds:
                assert verdict.action is Action.BLOCK
                return
            await asyncio.sleep(0.02)


async def test_a_blocked_video_is_blocked_by_all_and_while_the_service_is_away(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    async with fleet(make_settings, tmp_path) as (service, one, two):
        for gateway in (one, two):
            before = await gateway.client.score(REENCODED)
            assert (before.block_matches, before.block_check.state) == ((), "CURRENT")
        async with BlocksClient(one.address, NO_RETRY) as blocks:
            added = await blocks.add_video(ORIGINAL, Block(label="horn", reason="case 7"))
        assert added.frames > 3
        for gateway in (one, two):
            await until_blocked(gateway, ORIGINAL, "EXACT")
            for disguise in (REENCODED, MIRRORED):
                await until_blocked(gateway, disguise, "FRAMES", "CONFIRMED")
            assert (await gateway.client.score(STRANGER)).block_matches == ()

        await service.kill()
        for gateway in (one, two):
            await until_health(gateway, health_pb2.HealthCheckResponse.NOT_SERVING)
            verdict = await gateway.client.score(MIRRORED)
            assert (verdict.action, verdict.block_check.state) == (Action.BLOCK, "STALE")
        async with BlocksClient(one.address, NO_RETRY) as blocks:
            with pytest.raises(ScoringError, match="BLOCKS_UNAVAILABLE"):
                await blocks.remove(added.ids)

        await service.start()
        async with BlocksClient(service.address, NO_RETRY) as blocks:
            assert [block.reason async for block in blocks.list()] == ["case 7"]
            await blocks.remove(added.ids, "me")
        for gateway in (one, two):
            async with asyncio.timeout(PATIENCE_S):
                while (await gateway.client.score(MIRRORED)).block_matches:
                    await asyncio.sleep(0.02)
            await until_health(gateway, health_pb2.HealthCheckResponse.SERVING)


async def until_health(gateway: GatewayUnderTest, status: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await health_of_blocks(gateway) != status:
            await asyncio.sleep(0.05)


async def test_killed_again_and_again_while_it_adds_it_loses_nothing_acknowledged(tmp_path: Path) -> None:
    service = service_process(tmp_path)
    acknowledged: set[str] = set()

    async def add(number: int) -> None:
        async with BlocksClient(service.address, NO_RETRY) as blocks:
            for at in range(100_000):
                entry = Block(("blake3:" + f"{at:064x}",), id=f"{number}-{at % 50}", reason="r" * 300)
                acknowledged.update((await blocks.add([entry])).ids)

    try:
        for round_number in range(4):
            await service.start()
            adding = [asyncio.create_task(add(10 * round_number + number)) for number in range(4)]
            wanted = len(acknowledged) + 150
            await until(lambda wanted=wanted: len(acknowledged) >= wanted, "entries")
            await service.kill()
            with (tmp_path / "blocks.log").open("ab") as log:
                log.write(b"\xf1\xb7WB of a batch that was being written")
            results = await asyncio.gather(*adding, return_exceptions=True)
            assert all(isinstance(result, ScoringError) for result in results)
            await service.start()
            async with BlocksClient(service.address, NO_RETRY) as blocks:
                assert acknowledged <= {block.id async for block in blocks.list()}
            assert (tmp_path / "blocks.cut").read_bytes().endswith(b"being written")
            await service.kill()
    finally:
        await service.kill()


async def test_gateways_that_are_killed_under_load_block_what_is_added_and_what_they_know(
    patch_triton: str, patch_models: Path, policy_file: Path, tmp_path: Path
) -> None:
    service = service_process(tmp_path / "service")
    metrics = [free_address(), free_address()]
    gateways = [
        Process(
            *("-m", "wildgate_client.cli", "serve", "--triton", patch_triton),
            *("--model-repository", str(patch_models), "--policy", str(policy_file), "--sampling.workers", "1"),
            *("--block-list", str(tmp_path / at), "--blocks.target", service.address, "--blocks.wait-s", "0.5"),
            *("--blocks.stale-after-s", "2", "--metrics", at),
        )
        for at in metrics
    ]
    videos = [Content(ORIGINAL.data + bytes(at)) for at in range(4)]  # files that differ

    async def load(gateway: Process) -> None:
        async with ScoringClient(gateway.address, NO_RETRY) as client:
            while True:
                with contextlib.suppress(ScoringError):  # it is being killed
                    await client.score(STRANGER)
                await asyncio.sleep(0.01)

    async def add(video: Content, ids: Sequence[str] = ("mine",)) -> None:
        async with BlocksClient(service.address, RETRY) as blocks:
            digest = f"blake3:{blake3(video.data).hexdigest()}"
            await blocks.add([Block((digest,), id=each) for each in ids])

    async def until_exact(video: Content) -> None:
        for gateway in gateways:
            async with ScoringClient(gateway.address, RETRY) as client:
                await until_blocked(GatewayUnderTest(gateway.address, "", client, ()), video, "EXACT")

    async def until_current(value: int) -> None:
        for at in metrics:
            await until(lambda at=at: metric(at, "wildgate_blocks_current") == value, f"{value}")

    loads: list[asyncio.Task[None]] = []
    try:
        for process in (service, *gateways):
            await process.start()
        loads += [asyncio.create_task(load(gateway)) for gateway in gateways]
        await add(videos[0])
        await until_exact(videos[0])

        adding = [asyncio.create_task(add(videos[1], [f"{at}-{each}" for each in range(4000)])) for at in range(3)]
        await asyncio.sleep(0.05)  # so that it copies, with luck
        await gateways[0].kill()
        await asyncio.gather(*adding)
        await gateways[0].start()
        await until_exact(videos[0])
        await until(lambda: metric(metrics[0], "wildgate_blocks_entries") == 12_001, "all entries")
        await until_exact(videos[1])

        await service.kill()
        await gateways[1].kill()
        await gateways[1].start()
        await until_current(0)
        await until_exact(videos[1])

        await service.start()
        await add(videos[2], ["another"])
        await until_exact(videos[2])
        await until_current(1)
    finally:
        for task in loads:
            task.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        for process in (*gateways, service):
            await process.kill()


def metric(address: str, name: str) -> float:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_a_gateway_that_starts_without_the_service_says_what_it_does_not_know(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    blocks = {"directory": tmp_path, "target": free_address(), "wait_s": 0.2}
    async with running(make_settings(blocks=blocks)) as gateway:
        verdict = await gateway.client.score(STRANGER)
        assert (verdict.block_check.state, verdict.block_check.position) == ("NOT_LOADED", 0)
        assert await health_of_blocks(gateway) == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_gateway_by_itself_keeps_its_list_and_one_without_a_directory_has_none(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    for matches in (0, 1):
        async with running(make_settings(blocks={"directory": tmp_path})) as gateway:
            assert len((await gateway.client.score(REENCODED)).block_matches) == matches
            if not matches:
                async with BlocksClient(gateway.address, NO_RETRY) as blocks:
                    await blocks.add_video(ORIGINAL, Block())
    async with running(make_settings()) as gateway:
        assert (await gateway.client.score(REENCODED)).block_check.state == "UNSPECIFIED"


async def test_the_command_line_changes_and_exchanges_the_list(tmp_path: Path) -> None:
    service = service_process(tmp_path / "list")
    await service.start()

    async def blocks(*arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "wildgate_client.cli", "blocks", *arguments, "--server", service.address]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
        return done.stdout + done.stderr

    try:
        entry = (await blocks("add", "--digest", "sha256:" + "ab" * 32, "--label", "horn")).strip()
        listed = json.loads(await blocks("list"))
        assert (listed["id"], listed["label"], listed["disabled"]) == (entry, "horn", False)
        await blocks("disable", entry)
        assert json.loads(await blocks("list"))["disabled"]
        (tmp_path / "theirs.csv").write_text(f"id,pdq,label\nx,{'0f' * 32},tusk\nx,{'f0' * 32},tusk\n")
        assert await blocks("import", str(tmp_path / "theirs.csv"), "--format", "csv") == "1 entry\n"
        assert await blocks("export", str(tmp_path / "all.jsonl")) == "2 entries\n"
        second = json.loads((tmp_path / "all.jsonl").read_text().splitlines()[1])
        assert (second["source"], [frame["pdq"] for frame in second["frames"]]) == (
            "theirs.csv",
            ["0f" * 32, "f0" * 32],
        )
        (tmp_path / "video.mp4").write_bytes(ORIGINAL.data)
        assert "decodes no videos" in await blocks("add", str(tmp_path / "video.mp4"), status=1)
        assert "not on the list: y" in await blocks("remove", entry, "y", status=1)
        await blocks("import", str(tmp_path / "theirs.csv"), "--format", "xml", status=2)
        await service.kill()
        assert "UNAVAILABLE" in await blocks("list", status=1)
    finally:
        await service.kill()


async def test_check_explains_a_match_with_both_pictures(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "original.mp4").write_bytes(ORIGINAL.data)
    (tmp_path / "disguise.mp4").write_bytes(REENCODED.data)
    async with running(make_settings(blocks={"directory": tmp_path / "list"})) as gateway:

        async def blocks(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "wildgate_client.cli", "blocks", *arguments, "--server", gateway.address]
            return await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, cwd=ROOT, check=False
            )

        picture = tmp_path / "match.jpg"
        before = await blocks("check", str(tmp_path / "disguise.mp4"), "--picture", str(picture))
        assert (before.returncode, picture.exists()) == (0, False), before.stderr
        await blocks("add", str(tmp_path / "original.mp4"), "--label", "horn")
        after = await blocks("check", str(tmp_path / "disguise.mp4"), "--picture", str(picture))
        assert after.returncode == 1, after.stderr
        assert "BLOCK FRAMES" in after.stdout
        assert "of 256 bits apart" in after.stdout
        with Image.open(picture) as sheet:
            left, right = (
                np.asarray(sheet.resize((200, 100)).crop(half)) for half in ((0, 0, 100, 100), (100, 0, 200, 100))
            )
        assert np.abs(left.astype(int) - right).mean() < 20, "the two are of one scene"
