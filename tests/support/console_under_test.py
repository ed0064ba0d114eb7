"""The console over real HTTP, with cases from the service beside it and tokens that name their caller."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2
from enforcement_under_test import Clock, EnforcementUnderTest, NamedCallers, enforcing

from wildgate_console.serving import serving
from wildgate_enforcement.database import Database, wall_clock_ms
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.roles import BLOCK_SERVICE
from wildgate_enforcement.service import denial_log
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_proto.v1.blocks_pb2_grpc import add_BlockServiceServicer_to_server
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.block_service import BlockService
from wildgate_server.interceptor import ErrorInterceptor

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Person(httpx2.AsyncClient):
    """A browser's worth of HTTP: a cookie jar, and the fields that forms carry."""

    csrf = ""

    async def login(self, token: str) -> httpx2.Response:
        answer = await self.post("/login", data={"token": token})
        self.csrf = found[1] if (found := _CSRF.search((await self.get("/figures")).text)) else ""
        return answer

    async def send_form(self, path: str, **fields: Any) -> httpx2.Response:
        return await self.post(path, data={"csrf": self.csrf, **fields})


@dataclass
class ConsoleUnderTest:
    address: str
    service: EnforcementUnderTest

    @asynccontextmanager
    async def person(self, token: str = "") -> AsyncIterator[Person]:
        async with Person(base_url=self.address, timeout=30) as person:
            if token:
                await person.login(token)
            yield person

    async def events(self, kind: str) -> list[bytes]:
        found = await self.service.as_("otto/auditor").ListEvents()
        return [each.canonical for each in found.events if f'"kind":"{kind}"'.encode() in each.canonical]


@asynccontextmanager
async def block_service(directory: Path) -> AsyncIterator[tuple[BlockList, str]]:
    """A list of blocks, and where its service answers."""
    blocks, server = await BlockList.load(directory), grpc.aio.server(interceptors=[ErrorInterceptor(BLOCK_SERVICE)])
    add_BlockServiceServicer_to_server(BlockService(blocks), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield blocks, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
        await blocks.close()


@asynccontextmanager
async def console(
    directory: Path,
    policy: EnforcementPolicy | None = None,
    oidc: Any = None,
    referral: Any = None,
    blocks: str | None = None,
    **session: Any,
) -> AsyncIterator[ConsoleUnderTest]:
    policy = policy or EnforcementPolicy(second_share=0, second_every=0)
    settings = EnforcementSettings(
        directory=directory,
        console="127.0.0.1:0",
        policy=policy,
        session=session,
        oidc=oidc or {},
        referral=referral or {},
        blocks=blocks,
        _cli_parse_args=False,
    )
    clock = Clock(wall_clock_ms())
    database = Database(settings.database_url, clock)
    await database.migrate()
    try:
        async with (
            enforcing(database, clock, policy) as service,
            serving(settings, database, NamedCallers(), denial_log(database)) as address,
        ):
            yield ConsoleUnderTest(address, service)
    finally:
        await database.close()
