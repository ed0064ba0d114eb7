"""The enforcement service over a real database and gRPC, with tokens that name their caller."""

from __future__ import annotations

import io
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from PIL import Image

from wildgate_enforcement.database import Database
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.service import enforcement_server
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2
from wildgate_proto.v1.cases_pb2_grpc import CaseServiceStub, ReportServiceStub
from wildgate_server.access.tokens import Caller
from wildgate_server.errors import Unauthenticated

NO_SAMPLES = EnforcementPolicy(second_share=0.0)
START_MS = 1_800_000_000_000


def _picture() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (32, 24), (90, 60, 30)).save(written, "JPEG")
    return written.getvalue()


PICTURE = _picture()


class NamedCallers:
    """Takes "ann/moderator,senior" for Ann, who is both."""

    def revokes(self, fingerprint: str) -> bool:
        return False

    async def caller(self, token: str) -> Caller:
        subject, slash, roles = token.partition("/")
        if not slash:
            raise Unauthenticated("the token is not accepted")
        return Caller(subject, roles=frozenset(roles.split(",")))


@dataclass
class Clock:
    """Stands still until it is moved."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1e3)


class As:
    """Calls of one caller: `await As(channel, "ann/moderator").Claim(...)`, fields instead of a message."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._cases = CaseServiceStub(channel)  # type: ignore[no-untyped-call]
        self._reports = ReportServiceStub(channel)  # type: ignore[no-untyped-call]
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __getattr__(self, method: str) -> Any:
        stub = self._reports if method in ("Report", "GetReport") else self._cases
        service = "ReportService" if stub is self._reports else "CaseService"
        kind = pb.DESCRIPTOR.services_by_name[service].methods_by_name[method].input_type._concrete_class

        async def call(**fields: Any) -> Any:
            return await getattr(stub, method)(kind(**fields), metadata=self._metadata, timeout=30)

        return call


@dataclass
class EnforcementUnderTest:
    database: Database
    address: str
    channel: grpc.aio.Channel
    clock: Clock
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def as_(self, token: str) -> As:
        return As(self.channel, token)

    async def open(self, **about: Any) -> str:
        """A fresh case's id."""
        opened = await self.as_("gw/gateway").OpenCase(subject=subject(next(self.numbers), **about), verdict=verdict())
        return str(opened.case_id)

    async def decide(self, who: str, case_id: str, kind: str = "KIND_CONFIRM", **about: Any) -> pb.DecideResult:
        """Claims and decides."""
        person = self.as_(who)
        token = (await person.Claim(case_id=case_id)).fencing_token
        claimed = pb.ClaimedCase(case_id=case_id, fencing_token=token)
        return (await person.Decide(cases=[claimed], decision=decision(kind, **about))).results[0]


@asynccontextmanager
async def enforcing(
    database: Database, clock: Clock, policy: EnforcementPolicy = NO_SAMPLES
) -> AsyncIterator[EnforcementUnderTest]:
    """The two services on a free port."""
    server = enforcement_server(database, policy, NamedCallers(), ["ivory"], recipients=("desk",), draw=lambda: 0.5)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield EnforcementUnderTest(database, f"127.0.0.1:{port}", channel, clock)
    finally:
        await server.stop(None)


def subject(number: int, **about: Any) -> pb.Subject:
    fields = {"video_id": f"video-{number}", "account": f"account-{number}", **about}
    return pb.Subject(**fields)


_digests = itertools.count(1)


def verdict(action: str = "ACTION_REVIEW", digest: str = "", **label: Any) -> scoring_pb2.Verdict:
    about = {
        "label": "ivory", "action": action, "score": 0.8, "cites_appendix": "I",
        "group": scoring_pb2.LABEL_GROUP_PRODUCT, **label,
    }  # fmt: skip
    return scoring_pb2.Verdict(
        action=action,
        labels=[scoring_pb2.LabelVerdict(**about)],
        content_digest=digest or f"blake3:{next(_digests):064x}",
        evidence=[scoring_pb2.EvidenceFrame(time_s=1.5, jpeg=PICTURE)],
    )


def decision(kind: str = "KIND_CONFIRM", **about: Any) -> pb.Decision:
    return pb.Decision(kind=kind, **{"label": "ivory", "taxon": "Loxodonta", "reason": "carved tusk for sale", **about})
