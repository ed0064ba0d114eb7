"""When the database is in the way, callers are told so, and what was not acknowledged was not done."""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import grpc
import pytest
from enforcement_under_test import EnforcementUnderTest
from sqlalchemy import text

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StorageUnavailable
from wildgate_proto.v1 import cases_pb2 as pb


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_lost_connections_are_unavailable_and_come_back(service: EnforcementUnderTest, database_url: str) -> None:
    case_id, ann = await service.open(), service.as_("ann/moderator")
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()
    codes = Counter[grpc.StatusCode]()
    while not codes[grpc.StatusCode.OK]:
        try:
            await ann.GetCase(case_id=case_id)
            codes[grpc.StatusCode.OK] += 1
        except grpc.aio.AioRpcError as error:
            codes[error.code()] += 1
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


async def test_what_fails_leaves_neither_rows_nor_events_nor_deliveries(
    service: EnforcementUnderTest, database: Database
) -> None:
    case_id = await service.open()
    before = len((await service.as_("otto/auditor").ListEvents()).events)

    async def half_done() -> None:
        async with database.writing("ann") as transaction:
            case = await transaction.case(case_id)
            case.state = "confirmed"
            transaction.log(case_id, "decided")
            transaction.tell("block", case_id, case_id)
            await transaction.session.flush()
            raise ConnectionError

    with pytest.raises(StorageUnavailable):
        await half_done()
    assert (await service.as_("ann/moderator").GetCase(case_id=case_id)).state == pb.CASE_STATE_OPEN
    assert len((await service.as_("otto/auditor").ListEvents()).events) == before
    assert not (await service.as_("adam/administrator").ListDeliveries()).deliveries


async def test_many_callers_at_once_lose_no_event(service: EnforcementUnderTest, database: Database) -> None:
    async def work(n: int) -> None:
        await service.decide(f"person-{n}/moderator", await service.open())

    await asyncio.gather(*(work(n) for n in range(12)))
    async with database.reading() as session:
        counted = (await session.execute(text("SELECT count(*), max(position) FROM events"))).one()
    assert tuple(counted) == (48, 48)  # opened, subject_joined, claimed, decided
