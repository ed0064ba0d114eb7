"""Gateways that open cases on a timetable, and people who claim and decide them meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import grpc

from wildgate_perf.cases.service import CaseService
from wildgate_perf.loops import Stages, open_loop, percentile
from wildgate_proto.v1 import blocks_pb2, scoring_pb2
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1.cases_pb2_grpc import CaseServiceStub

__all__ = ["worked_on"]

_CALL_S = 30.0
_WARM_UP_S = 3.0
_WORK_S = 1.0  # for which each person works on a case
_PICTURES, _PICTURE_BYTES = 4, 20_000  # what a gateway hands over
_FRAMES, _HASHES, _HASH_BYTES = 16, 2, 32  # of a fingerprint
_COPIES = 20  # one in so many shows what another showed


async def worked_on(service: CaseService, rate_per_s: float, seconds: float, reviewers: int) -> dict[str, Any]:
    """What came of opening so many cases a second while each reviewer claims and decides one a second.

    Arrivals are independent (Poisson), and times, in milliseconds, are counted from when they were due.
    `service_cpu_ms_per_case` is all that the service took, by cases opened.
    """
    draw = random.Random(7)
    claimed: Counter[str] = Counter()
    claims_ms: list[float] = []
    outcomes: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = CaseServiceStub(channel)  # type: ignore[no-untyped-call]
        gateway = service.metadata("gateway", "gateway")

        async def open_one(number: int) -> Stages:
            content = number - draw.randrange(1, 50) if number > 50 and not draw.randrange(_COPIES) else number
            request = pb.OpenCaseRequest(subject=_subject(number), verdict=_verdict(content, draw))
            await stub.OpenCase(request, metadata=gateway, timeout=_CALL_S)
            return {}

        async def work(person: str) -> None:
            metadata = service.metadata(person, "moderator")
            decision = pb.Decision(kind="KIND_CONFIRM", label="ivory", taxon="Loxodonta", reason="a tusk is for sale")
            while True:
                await asyncio.sleep(-time.perf_counter() % _WORK_S)  # all at one moment, so that they are rivals
                began = time.perf_counter()
                try:
                    lease = await stub.Claim(pb.ClaimRequest(), metadata=metadata, timeout=_CALL_S)
                    claims_ms.append((time.perf_counter() - began) * 1e3)
                    claimed[lease.case.id] += 1
                    one = pb.ClaimedCase(case_id=lease.case.id, fencing_token=lease.fencing_token)
                    request = pb.DecideRequest(cases=[one], decision=decision)
                    [result] = (await stub.Decide(request, metadata=metadata, timeout=_CALL_S)).results
                    outcomes["failed" if result.HasField("error") else "decided"] += 1
                except grpc.aio.AioRpcError as error:
                    outcomes["idle" if error.code() is grpc.StatusCode.NOT_FOUND else "failed"] += 1

        people = [asyncio.create_task(work(f"person-{number}")) for number in range(reviewers)]
        before = service.cpu_s()
        opened = await open_loop(open_one, rate_per_s, seconds, "poisson", _WARM_UP_S)
        used_s = service.cpu_s() - before
        for person in people:
            person.cancel()
        await asyncio.gather(*people, return_exceptions=True)
    return {
        "rate_per_s": rate_per_s,
        "seconds": seconds,
        "opened": len(opened.answers),
        "opened_p50_ms": opened.took_ms(0.5),
        "opened_p99_ms": opened.took_ms(0.99),
        "opened_most_ms": opened.took_ms(1.0),
        "sent_late_p99_ms": opened.late_ms(0.99),
        "failed": sum(opened.failures.values()) + outcomes["failed"],
        "decided": outcomes["decided"],
        "claimed_p50_ms": percentile(claims_ms, 0.5),
        "claimed_p99_ms": percentile(claims_ms, 0.99),
        "claimed_twice": sum(count > 1 for count in claimed.values()),
        "service_cpu_ms_per_case": used_s * 1e3 / len(opened.outcomes),
        "service_core_share": used_s / (seconds + _WARM_UP_S),
    }


def _subject(number: int) -> pb.Subject:
    return pb.Subject(
        video_id=f"video-{number}", account=f"account-{number % 500}", language="es", views=number % 10_000
    )


def _verdict(content: int, draw: random.Random) -> scoring_pb2.Verdict:
    frames = [
        blocks_pb2.FrameFingerprint(
            time_s=float(at), quality=90, hashes=[draw.randbytes(_HASH_BYTES) for _ in range(_HASHES)]
        )
        for at in range(_FRAMES)
    ]
    return scoring_pb2.Verdict(
        action=scoring_pb2.ACTION_REVIEW,
        labels=[
            scoring_pb2.LabelVerdict(
                label="ivory", score=draw.random(), cites_appendix="I", group="LABEL_GROUP_PRODUCT"
            )
        ],
        content_digest=f"blake3:{content:064x}",
        evidence=[
            scoring_pb2.EvidenceFrame(time_s=float(at), jpeg=draw.randbytes(_PICTURE_BYTES)) for at in range(_PICTURES)
        ],
        fingerprint=blocks_pb2.Fingerprint(frames=frames),
    )
