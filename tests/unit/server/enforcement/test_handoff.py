"""Handing over to a real gRPC service that is there, away, slow, and particular."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from case_service import FakeCaseService, serving_cases
from gateway_under_test import free_address

from wildgate_proto.v1 import cases_pb2, scoring_pb2
from wildgate_proto.v1.blocks_pb2 import Fingerprint
from wildgate_server.enforcement.case_client import CaseClient
from wildgate_server.enforcement.enforcement_settings import EnforcementSettings
from wildgate_server.enforcement.handoff import CaseHandoff, HandedOver, Handoff
from wildgate_server.enforcement.setup import case_handoff
from wildgate_server.enforcement.spool import Spool
from wildgate_server.errors import SettingsConflict
from wildgate_server.metrics import Metrics
from wildgate_server.sampling.secret import SamplingSecret

REVIEW, ALLOW = scoring_pb2.ACTION_REVIEW, scoring_pb2.ACTION_ALLOW
PATIENT_MS = 60_000.0


@dataclass
class HandingOver:
    handoff: CaseHandoff
    spool: Spool
    metrics: Metrics

    async def hand_over(self, video_id: str, content: str = "", **fields: Any) -> HandedOver | None:
        """Hands over a REVIEW of a video whose content is, by default, its own."""
        verdict = scoring_pb2.Verdict(**{"action": REVIEW, "content_digest": f"blake3:{content or video_id}", **fields})
        return await self.handoff.hand_over(scoring_pb2.ScoreRequest(video_id=video_id), verdict, lambda: verdict)

    async def how(self, video_id: str, content: str = "") -> Handoff:
        handed = await self.hand_over(video_id, content)
        assert handed
        return handed.handoff

    def counted(self) -> dict[str, int]:
        [cases] = [each for each in self.metrics.registry.collect() if each.name == "wildgate_cases"]
        return {each.labels["outcome"]: int(each.value) for each in cases.samples if each.name.endswith("_total")}

    async def until_counted(self, **outcomes: int) -> None:
        async with asyncio.timeout(60):
            while self.counted() != outcomes:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def handing_over(
    target: str, directory: Path, *, delivering: bool = True, max_cases: int = 100, **settings: Any
) -> AsyncIterator[HandingOver]:
    defaults = {"target": target, "spool_directory": directory, "budget_ms": PATIENT_MS}
    configured = EnforcementSettings(**{**defaults, **settings})
    spool, metrics = Spool(directory, max_items=max_cases, max_bytes=1 << 20), Metrics()
    async with CaseClient(target, configured.token_file) as client:
        secret = SamplingSecret(bytes(16))
        handoff = CaseHandoff(configured, client, spool, secret, metrics, pause=lambda _: asyncio.sleep(0.005))
        deliverer = asyncio.create_task(handoff.deliver()) if delivering else None
        try:
            yield HandingOver(handoff, spool, metrics)
        finally:
            if deliverer:
                deliverer.cancel()
                await asyncio.gather(deliverer, return_exceptions=True)
            await handoff.close()


async def test_a_review_has_its_case_before_it_is_answered(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    request = scoring_pb2.ScoreRequest(
        video_id="v1",
        uri="s3://b/v1.mp4",
        context=scoring_pb2.PlatformContext(account="a", listing="l", language="es", views=3, disseminating=True),
    )
    verdict = scoring_pb2.Verdict(action=REVIEW, content_digest="blake3:1")
    for_case = scoring_pb2.Verdict(action=REVIEW, content_digest="blake3:1", fingerprint=Fingerprint(duration_s=1.0))
    service = FakeCaseService()
    async with (
        serving_cases(service) as target,
        handing_over(target, tmp_path, token_file=token) as gateway,
    ):
        handed = await gateway.handoff.hand_over(request, verdict, lambda: for_case)
    assert handed
    assert (handed.handoff, handed.case_id) == (Handoff.OPENED, "case of blake3:1")
    [opening] = service.requests
    assert opening.subject == cases_pb2.Subject(
        video_id="v1", uri="s3://b/v1.mp4", account="a", listing="l", language="es", views=3, disseminating=True
    )
    assert opening.verdict == for_case
    assert not opening.sample
    assert service.tokens == ["Bearer secret"]


async def test_a_video_is_handed_over_once_and_another_of_the_same_content_again(tmp_path: Path) -> None:
    service = FakeCaseService()
    async with serving_cases(service) as target, handing_over(target, tmp_path) as gateway:
        handed = [await gateway.hand_over(video_id, "same") for video_id in ("a", "a", "b", "")]
        await gateway.hand_over("a", "same", action=scoring_pb2.ACTION_BLOCK)
        assert gateway.counted() == {"opened": 4, "known": 1}
    assert {each.case_id for each in handed if each} == {"case of blake3:same"}
    assert service.asked == {"a": 2, "b": 1, "blake3:same": 1}, "graver is told; without a name, the digest is one"


async def test_what_came_while_the_service_was_away_is_delivered_when_it_is_back(tmp_path: Path) -> None:
    address, service = free_address(), FakeCaseService()
    videos = [f"v{number}" for number in range(30)]
    async with handing_over(address, tmp_path) as gateway:
        assert {await gateway.how(video) for video in videos} == {Handoff.KEPT}
        assert (gateway.spool.waiting, gateway.handoff.healthy) == (30, False)
        async with serving_cases(service, address):
            await gateway.until_counted(kept=30, delivered=30)
            known = await gateway.hand_over("v7")
        assert (gateway.spool.items, gateway.handoff.healthy) == (0, True)
    assert known
    assert (known.handoff, known.case_id) == (Handoff.OPENED, "case of blake3:v7")
    assert service.subjects == {f"blake3:{video}": {video} for video in videos}


async def test_a_slow_service_delays_an_answer_by_no_more_than_the_budget(tmp_path: Path) -> None:
    service = FakeCaseService()
    service.let_go.clear()
    async with serving_cases(service) as target, handing_over(target, tmp_path, budget_ms=20.0) as gateway:
        assert await gateway.how("v1") is Handoff.KEPT  # it would never come otherwise
        service.let_go.set()
        await gateway.until_counted(kept=1, delivered=1)
    assert service.subjects == {"blake3:v1": {"v1"}}


async def test_a_service_that_hangs_costs_one_answer_its_budget(tmp_path: Path) -> None:
    service = FakeCaseService()
    service.let_go.clear()
    async with (
        serving_cases(service) as target,
        handing_over(target, tmp_path, budget_ms=500.0, delivering=False) as gateway,
    ):
        assert [await gateway.how(video) for video in "abc"] == [Handoff.KEPT] * 3
        assert service.asked == {"a": 1}


async def test_what_a_gateway_left_is_delivered_by_the_next(tmp_path: Path) -> None:
    address, service = free_address(), FakeCaseService()
    async with handing_over(address, tmp_path, delivering=False) as gateway:
        assert [await gateway.how(video) for video in "abc"] == [Handoff.KEPT] * 3
    async with serving_cases(service, address), handing_over(address, tmp_path) as gateway:
        await gateway.until_counted(delivered=3)
    assert service.subjects == {f"blake3:{video}": {video} for video in "abc"}


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL])
async def test_one_that_is_not_taken_holds_up_no_other(tmp_path: Path, code: grpc.StatusCode) -> None:
    bad = {f"bad{number}" for number in range(20)}
    service = FakeCaseService(fault=lambda request: code if request.subject.video_id in bad else None)
    async with serving_cases(service) as target, handing_over(target, tmp_path) as gateway:
        assert {await gateway.how(video) for video in sorted(bad)} == {Handoff.KEPT}
        assert await gateway.how("good") is Handoff.OPENED, "the service is not away"
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            await gateway.until_counted(kept=20, opened=1, refused=20)
            assert (gateway.spool.refused, gateway.spool.waiting) == (20, 0)
        else:
            service.fault = lambda request: None
            await gateway.until_counted(kept=20, opened=1, delivered=20)
            assert gateway.spool.items == 0


async def test_bad_ones_at_the_head_of_the_spool_are_passed_by(tmp_path: Path) -> None:
    address = free_address()
    bad = {f"bad{number}" for number in range(20)}
    service = FakeCaseService(
        fault=lambda request: grpc.StatusCode.INTERNAL if request.subject.video_id in bad else None
    )
    async with handing_over(address, tmp_path) as gateway:
        for video in (*sorted(bad), "good"):
            assert await gateway.how(video) is Handoff.KEPT
        async with serving_cases(service, address):
            await gateway.until_counted(kept=21, delivered=1)
    assert service.subjects == {"blake3:good": {"good"}}


async def test_a_full_spool_is_told_and_the_service_is_asked_all_the_same(tmp_path: Path) -> None:
    address, service = free_address(), FakeCaseService()
    async with handing_over(address, tmp_path, max_cases=2, delivering=False) as gateway:
        assert [await gateway.how(video) for video in "abc"] == [Handoff.KEPT, Handoff.KEPT, Handoff.FAILED]
        assert gateway.counted() == {"kept": 2, "failed": 1}
        assert not gateway.handoff.healthy
        async with serving_cases(service, address):
            async with asyncio.timeout(60):
                while await gateway.how("c") is not Handoff.OPENED:  # its connection is made anew now and then
                    await asyncio.sleep(0.02)
        assert not gateway.handoff.healthy, "there is no room for what comes"
    assert set(service.asked) == {"c"}


async def test_a_disk_that_refuses_is_told_and_the_service_is_enough(tmp_path: Path) -> None:
    address, service = free_address(), FakeCaseService()
    async with handing_over(address, tmp_path, delivering=False) as gateway:
        gateway.spool.close()
        assert [await gateway.how(video) for video in "ab"] == [Handoff.FAILED] * 2
        assert (gateway.counted(), gateway.handoff.healthy) == ({"failed": 2}, False)
        async with serving_cases(service, address):
            async with asyncio.timeout(60):
                while await gateway.how("a") is not Handoff.OPENED:  # its connection is made anew now and then
                    await asyncio.sleep(0.02)


async def test_a_token_that_is_not_taken_is_no_fault_of_the_case(tmp_path: Path) -> None:
    token = tmp_path / "token"  # there is none yet
    service = FakeCaseService()
    service.fault = lambda request: None if service.tokens[-1] == "Bearer good" else grpc.StatusCode.UNAUTHENTICATED
    async with serving_cases(service) as target, handing_over(target, tmp_path, token_file=token) as gateway:
        assert await gateway.how("v1") is Handoff.KEPT
        token.write_text("two\nlines")
        assert await gateway.how("v2") is Handoff.KEPT
        token.write_text("bad")
        await service.until(lambda: len(service.requests) >= 2)
        assert gateway.counted() == {"kept": 2}
        token.write_text("good")
        await gateway.until_counted(kept=2, delivered=2)


async def test_of_allows_a_share_is_handed_over_as_samples_and_is_not_told(tmp_path: Path) -> None:
    service = FakeCaseService()
    async with serving_cases(service) as target, handing_over(target, tmp_path, sample_share=0.25) as gateway:
        for number in range(200):
            assert await gateway.hand_over(f"v{number}", action=ALLOW) is None
        drawn = gateway.counted()["kept"]
        await gateway.until_counted(kept=drawn, delivered=drawn)
        for number in range(200):
            await gateway.hand_over(f"v{number}", action=ALLOW)
        assert gateway.counted() == {"kept": drawn, "delivered": drawn, "known": drawn}
    assert 25 < drawn < 75
    assert all(request.sample and request.verdict.action == ALLOW for request in service.requests)
    async with serving_cases(again := FakeCaseService()) as target, handing_over(target, tmp_path) as gateway:
        for number in range(200):
            assert await gateway.hand_over(f"v{number}", action=ALLOW) is None
    assert not again.requests


async def test_samples_that_nobody_could_draw_are_a_conflict_of_settings(tmp_path: Path) -> None:
    settings = EnforcementSettings(target="127.0.0.1:1", spool_directory=tmp_path, sample_share=0.1)
    with pytest.raises(SettingsConflict, match=r"enforcement\.sample_share wants a sampling\.secret_file"):
        async with case_handoff(settings, SamplingSecret(b""), Metrics()):
            pass


async def test_there_is_nothing_to_hand_over_to_by_default(tmp_path: Path) -> None:
    async with case_handoff(EnforcementSettings(), SamplingSecret(b""), Metrics()) as handoff:
        assert handoff is None


async def test_metrics_tell_what_is_kept_and_for_how_long(tmp_path: Path) -> None:
    settings = EnforcementSettings(target=free_address(), spool_directory=tmp_path)
    metrics = Metrics()
    async with case_handoff(settings, SamplingSecret(b""), metrics) as handoff:
        assert handoff
        read = metrics.registry.get_sample_value
        assert (read("wildgate_case_spool_waiting"), read("wildgate_case_spool_oldest_seconds")) == (0, 0)
        verdict = scoring_pb2.Verdict(action=REVIEW, content_digest="blake3:1")
        await handoff.hand_over(scoring_pb2.ScoreRequest(video_id="v"), verdict, lambda: verdict)
        assert (read("wildgate_case_spool_waiting"), read("wildgate_case_spool_refused")) == (1, 0)
        assert read("wildgate_case_spool_bytes")
        assert read("wildgate_case_spool_oldest_seconds")
