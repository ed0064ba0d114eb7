"""Streams that say nothing, and streams whose answers nobody takes."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from wildgate_perf.attacks.attack import Attack, Target, connection, for_ever
from wildgate_perf.workloads import SCORE
from wildgate_proto.v1 import scoring_pb2 as pb

StreamStreamCall: TypeAlias = grpc.aio.StreamStreamCall[Any, Any]

STREAM = f"{SCORE}Stream"
_IDLE = 192
_ECHOED_BYTES = 60 << 20


async def _idle(target: Target) -> None:
    async with connection(target) as one:

        async def step() -> None:
            await one.stream_stream(STREAM)().read()

        await for_ever(step, at_once=_IDLE, per_s=4 * _IDLE)


async def _unread(target: Target) -> None:
    """An identifier of 60 MB, which comes back with every answer, and answers that pile up."""
    first, more = (
        pb.ScoreStreamRequest(request=pb.ScoreRequest(video_id="x" * size, uri="ftp://nowhere")).SerializeToString()
        for size in (_ECHOED_BYTES, 200)
    )
    async with connection(target, ("grpc.http2.lookahead_bytes", 1)) as one:

        async def step() -> None:
            call: StreamStreamCall = one.stream_stream(STREAM)()
            await call.write(first)
            while True:
                await call.write(more)

        await for_ever(step, at_once=4, per_s=4)


ATTACKS = (
    Attack(3, "192 idle streams on one connection", _idle),
    Attack(4, "streams that never read, a video_id of 60 MB", _unread),
)
