"""Tells the list of blocks what cases say, and has reported videos scored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from sqlalchemy import func, select

from wildgate_enforcement.database import Database
from wildgate_enforcement.opening import open_case
from wildgate_enforcement.outbox import DeliveryRefused, Outgoing, Send, TryLater
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.reporting import unresolved
from wildgate_enforcement.states import State
from wildgate_enforcement.tables import CaseRow, DecisionRow
from wildgate_proto.v1 import blocks_pb2, cases_pb2, scoring_pb2
from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceStub
from wildgate_proto.v1.scoring_pb2_grpc import ScoringServiceStub
from wildgate_server.blocks.fingerprint import mirrored

__all__ = ["CallMetadata", "block_sender", "score_sender"]

CallMetadata = Callable[[], tuple[tuple[str, str], ...]]
"""What is sent along with a call: the token as it is now."""

_CALL_S = 30.0
_SCORE_S = 55.0
_EVIDENCE_FRAMES = 8
_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    # Somebody's mistake that an operator can put right, and then it passes.
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
}


def block_sender(database: Database, channel: Callable[[], grpc.aio.Channel], metadata: CallMetadata) -> Send:
    """Brings the block service at `channel` in line with a case: an entry while it is confirmed, none otherwise."""

    async def send(outgoing: Outgoing) -> None:
        stub = BlockServiceStub(channel())  # type: ignore[no-untyped-call]
        async with database.reading() as session:
            case = (await session.scalars(select(CaseRow).where(CaseRow.id == outgoing.case_id))).one()
            last = (
                select(DecisionRow)
                .where(DecisionRow.case_id == case.id, DecisionRow.kind == "confirm", ~DecisionRow.withdrawn)
                .order_by(DecisionRow.id.desc())
            )
            decision = (await session.scalars(last.limit(1))).one()
            until_ms = await session.scalar(
                select(func.max(DecisionRow.undo_until_ms)).where(
                    DecisionRow.case_id == case.id, ~DecisionRow.withdrawn
                )
            )
        if (left_ms := (until_ms or 0) - database.now_ms) > 0:  # an older delivery must not tell what may be undone
            raise TryLater("the decision may still be undone", left_ms / 1e3)
        if case.state == State.HARMLESS:
            request = blocks_pb2.RemoveBlocksRequest(ids=[case.block_id], removed_by="wildgate enforcement")
            await _called(stub.Remove, request, _CALL_S, metadata)
            return
        verdict = scoring_pb2.Verdict.FromString(case.verdict)
        entry = blocks_pb2.Block(
            id=case.block_id,
            digests=[case.content_digest],
            fingerprint=_both_ways(verdict.fingerprint) if verdict.HasField("fingerprint") else None,
            source=f"case {case.id}",
            reason=decision.reason[:1024],
            label=decision.label,
            added_by="wildgate enforcement",
        )
        await _called(stub.Add, blocks_pb2.AddBlocksRequest(blocks=[entry]), _CALL_S, metadata)

    return send


def score_sender(
    database: Database, channel: Callable[[], grpc.aio.Channel], metadata: CallMetadata, policy: EnforcementPolicy
) -> Send:
    """Has the gateway at `channel` look closely at a reported video, and opens a case whatever it finds.

    A person looks at everything that people report: the verdict only ranks it.
    """

    async def send(outgoing: Outgoing) -> None:
        stub = ScoringServiceStub(channel())  # type: ignore[no-untyped-call]
        subject = cases_pb2.Subject(**outgoing.payload)
        request = scoring_pb2.ScoreRequest(
            video_id=subject.video_id,
            uri=subject.uri,
            max_evidence_frames=_EVIDENCE_FRAMES,
            scrutiny=scoring_pb2.SCRUTINY_HIGH,
            explain_blocks=True,
        )
        try:
            verdict = (await _called(stub.Score, request, _SCORE_S, metadata)).verdict
        except DeliveryRefused:
            async with database.writing("scoring") as transaction:
                await unresolved(transaction, subject.uri)
            raise
        subject.video_id = subject.video_id or subject.uri[:256]
        async with database.writing("scoring") as transaction:
            await open_case(transaction, subject, verdict, policy)

    return send


def _both_ways(fingerprint: blocks_pb2.Fingerprint) -> blocks_pb2.Fingerprint:
    """With what each frame looks like mirrored: as common as any disguise, and the video is not at hand here."""
    both = blocks_pb2.Fingerprint()
    both.CopyFrom(fingerprint)
    for frame in fingerprint.frames:
        turned = both.frames.add(track=frame.track, time_s=frame.time_s, quality=frame.quality)
        turned.hashes.extend(map(mirrored, frame.hashes))
    return both


async def _called(method: Any, request: Message, timeout_s: float, metadata: CallMetadata) -> Any:
    try:
        return await method(request, timeout=timeout_s, metadata=metadata())
    except grpc.aio.AioRpcError as error:
        if error.code() in _PASSING:
            raise
        raise DeliveryRefused(f"{error.code().name}: {error.details()}") from error
