"""A whole gateway that hands REVIEWs over to a CaseService: what is answered has a case in the end, whatever dies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from case_service import FakeCaseService, serving_cases
from checkout import ROOT
from clips import ClipSpec, make_clip
from gateway_under_test import NO_RETRY, PATIENCE_S, MakeSettings, free_address, running
from grpc_health.v1 import health_pb2, health_pb2_grpc

from wildgate_client import Action, Content, PlatformContext, ScoringClient, ScoringError
from wildgate_server.gateway import ENFORCEMENT_HEALTH

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

VIDEOS = [Content(make_clip(ClipSpec(first_frame=number))) for number in range(3)]


async def test_a_review_goes_to_people_with_pictures_and_what_the_platform_knows(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    service = FakeCaseService()
    async with serving_cases(service) as target:
        enforcement = {"target": target, "spool_directory": tmp_path, "budget_ms": 60_000.0, "evidence_frames": 2}
        async with running(make_settings(enforcement=enforcement, cache={"max_entries": 9})) as gateway:
            context = PlatformContext(account="account 7", views=12)
            fresh, again = [await gateway.client.score(VIDEOS[0], video_id="v", context=context) for _ in range(2)]
            other = await gateway.client.score(VIDEOS[0], video_id="copy")
            assert await health(gateway.address) == health_pb2.HealthCheckResponse.SERVING
    assert (fresh.action, fresh.case_handoff, fresh.evidence) == (Action.REVIEW, "OPENED", ())
    assert (again.cached, again.case_id, other.case_id) == (True, fresh.case_id, fresh.case_id)
    assert {"case", "evidence"} <= {timing.stage for timing in fresh.timings}
    first, second = service.requests
    assert (first.subject.account, first.subject.views, second.subject.video_id) == ("account 7", 12, "copy")
    assert [frame.jpeg[:2] for frame in first.verdict.evidence] == [b"\xff\xd8"] * 2
    assert all(each.verdict.fingerprint.frames for each in service.requests), "so that disguises can be blocked"
    assert not second.verdict.evidence, "a kept verdict has no pictures, and its case has them"


async def health(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=ENFORCEMENT_HEALTH)
        return (await health_pb2_grpc.HealthStub(channel).Check(request)).status


async def test_while_the_service_is_away_health_says_so_and_answers_go_out(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    enforcement = {"target": free_address(), "spool_directory": tmp_path}
    async with running(make_settings(enforcement=enforcement)) as gateway:
        verdict = await gateway.client.score(VIDEOS[0], video_id="v")
        assert (verdict.action, verdict.case_handoff, verdict.case_id) == (Action.REVIEW, "KEPT", "")
        async with asyncio.timeout(PATIENCE_S):
            while await health(gateway.address) != health_pb2.HealthCheckResponse.NOT_SERVING:
                await asyncio.sleep(0.05)


@pytest.fixture
def command(patch_triton: str, patch_models: Path, policy_file: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "wildgate_server", "--listen", "127.0.0.1:0", "--sampling.workers", "1"),
        *("--triton", patch_triton, "--model-repository", str(patch_models)),
        *("--policy", str(policy_file), "--sampling.random-share", "0"),
    ]


async def test_killed_again_and_again_between_answer_and_delivery_it_loses_no_case(
    command: list[str], tmp_path: Path
) -> None:
    address, service = free_address(), FakeCaseService()
    command += ["--enforcement.target", address, "--enforcement.spool-directory", str(tmp_path / "spool")]
    answered: set[str] = set()
    # The service away, then there and away again, then there: killed while it keeps, while it delivers, while it opens.
    for number, serving in enumerate((False, True, False, True)):
        async with AsyncExitStack() as stack:
            if serving:
                await stack.enter_async_context(serving_cases(service, address))
            process, gateway = await stack.enter_async_context(started(command, tmp_path / f"{number}.log"))
            await scored_until_killed(process, gateway, f"round {number}", len(answered) + 40, answered)
    assert len(answered) >= 160
    async with serving_cases(service, address), started(command, tmp_path / "last.log"):
        await service.until(lambda: answered <= set().union(*service.subjects.values()))
    assert len(service.subjects) == len(VIDEOS), "one content has one case"


@asynccontextmanager
async def started(command: list[str], log: Path) -> AsyncIterator[tuple[subprocess.Popen[str], str]]:
    """A gateway's process and address."""
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT) as process,
    ):
        try:
            assert process.stdout
            ready = await asyncio.to_thread(process.stdout.readline)
            assert ready.startswith("wildgate is ready on "), log.read_text()
            yield process, ready.split()[-1]
        finally:
            process.kill()


async def scored_until_killed(
    process: subprocess.Popen[str], address: str, name: str, enough: int, answered: set[str]
) -> None:
    """Scores the same few videos under ever new names, and kills the gateway when enough are answered."""

    async def score(worker: int) -> None:
        for number in range(10_000):
            video_id = f"{name}, {worker}, {number}"
            verdict = await client.score(VIDEOS[number % len(VIDEOS)], video_id=video_id)
            assert verdict.case_handoff in ("OPENED", "KEPT")
            answered.add(video_id)
            if len(answered) == enough:
                process.kill()

    async with ScoringClient(address, NO_RETRY) as client:
        ended = await asyncio.gather(*map(score, range(4)), return_exceptions=True)
    assert all(isinstance(end, ScoringError) for end in ended), ended
