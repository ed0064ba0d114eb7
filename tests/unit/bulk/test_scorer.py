"""A worker by itself, without Ray, against a gateway that is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

pa = pytest.importorskip("pyarrow", reason="needs wildgate[bulk]")
from fake_gateway import Refusal, a_verdict  # noqa: E402
from grpc_status import rpc_status  # noqa: E402

from wildgate_bulk.errors import RunStopped  # noqa: E402
from wildgate_bulk.manifest import Columns  # noqa: E402
from wildgate_bulk.scorer import BatchScorer, GatewayOptions  # noqa: E402
from wildgate_proto.v1 import scoring_pb2, scoring_pb2_grpc  # noqa: E402

AWAY = Refusal("UNAVAILABLE", "Triton is away", "BACKEND_UNAVAILABLE", retry_after_s=0.01)
FULL = Refusal("RESOURCE_EXHAUSTED", "full", "OVERLOADED", retry_after_s=0.01)


class Scripted(scoring_pb2_grpc.ScoringServiceServicer):
    """Refuses a video as often as is said, by its id; -1: always."""

    def __init__(self, refusals: dict[str, tuple[Refusal, int]]) -> None:
        self.refusals = refusals

    async def Score(self, request, context):
        refusal, times = self.refusals.get(request.video_id, (AWAY, 0))
        if times:
            self.refusals[request.video_id] = (refusal, times - 1)
            status = rpc_status.to_status(refusal.status())
            await context.abort(status.code, status.details, status.trailing_metadata)
        await asyncio.sleep(0.01)
        return scoring_pb2.ScoreResponse(video_id=request.video_id, verdict=a_verdict())


@asynccontextmanager
async def scripted(refusals: dict[str, tuple[Refusal, int]]) -> AsyncIterator[str]:
    server = grpc.aio.server()
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(Scripted(refusals), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def scored(target: str, batches: int = 1, **options: float) -> list[dict]:
    scorer = BatchScorer(GatewayOptions(target, in_flight=8, **options), Columns("video_id", "uri"))
    rows = [{"video_id": str(n), "uri": "no uri" if n == 9 else f"file:///{n}.mp4"} for n in range(10)]
    tables = [await scorer(pa.Table.from_pylist(rows)) for _ in range(batches)]
    await scorer._client.__aexit__(None, None, None)
    return [row for table in tables for row in table.to_pylist()]


async def test_what_is_full_or_away_for_a_while_is_asked_again() -> None:
    async with scripted({"1": (AWAY, 3), "2": (FULL, 9)}) as target:
        rows = await scored(target)
    assert [row["video_id"] for row in rows] == [str(n) for n in range(10)]
    assert [row["failure"] for row in rows[:9]] == [None] * 9
    assert rows[9]["failure"]["reason"] == "INVALID_REQUEST"
    assert {row["action"] for row in rows[:9]} == {"BLOCK"}


async def test_a_video_that_alone_takes_the_server_down_stops_nothing() -> None:
    async with scripted({"1": (AWAY, -1)}) as target:
        rows = await scored(target, batches=2)
    assert [row["video_id"] for row in rows if row["table"] == "failures"] == ["1", "9"] * 2
    assert rows[1]["failure"] == {
        "code": "UNAVAILABLE",
        "reason": "BACKEND_UNAVAILABLE",
        "message": "Triton is away",
        "retryable": True,
    }


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (AWAY, "was away for 0.2 s"),
        (Refusal("UNAUTHENTICATED", "no token", "UNAUTHENTICATED"), "no token"),
        (Refusal("PERMISSION_DENIED", "not yours", "ACCESS_DENIED"), "not yours"),
    ],
)
async def test_what_is_wrong_with_all_stops_the_run(refusal: Refusal, words: str) -> None:
    async with scripted({str(n): (refusal, -1) for n in range(10)}) as target:
        with pytest.raises(RunStopped, match=words):
            await scored(target, patience_s=0.2)
