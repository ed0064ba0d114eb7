"""A CaseService behind a real gRPC server: one case for each content, as the real one has it, and faults on demand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1.cases_pb2_grpc import CaseServiceServicer, add_CaseServiceServicer_to_server


@dataclass
class FakeCaseService(CaseServiceServicer):
    """`fault(request)` is the status that a request fails with, None where it is taken; it waits while `held`."""

    fault: Callable[[pb.OpenCaseRequest], grpc.StatusCode | None] = lambda request: None
    requests: list[pb.OpenCaseRequest] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    subjects: dict[str, set[str]] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.let_go.set()

    async def OpenCase(self, request: pb.OpenCaseRequest, context: Any) -> pb.OpenCaseResponse:
        self.tokens += [value for key, value in context.invocation_metadata() if key == "authorization"]
        async with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        await self.let_go.wait()
        if (code := self.fault(request)) is not None:
            await context.abort(code, "as scripted")
        digest = request.verdict.content_digest
        opened = digest not in self.subjects
        async with self.changed:
            self.subjects.setdefault(digest, set()).add(request.subject.video_id)
            self.changed.notify_all()
        return pb.OpenCaseResponse(case_id=f"case of {digest}", state=pb.CASE_STATE_OPEN, opened=opened)

    @property
    def asked(self) -> Counter[str]:
        """How often each video was handed over."""
        return Counter(request.subject.video_id for request in self.requests)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until `holds()`, which may change with each request and each case."""
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(holds)


@asynccontextmanager
async def serving_cases(service: FakeCaseService, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """The address at which the service answers; one that was given, after another served there."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 32 << 20)])
    add_CaseServiceServicer_to_server(service, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
