"""What pages show and no call of the service answers. Nothing here writes; who may ask, pages check before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from sqlalchemy import Select, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from wildgate_enforcement.messages import case_message
from wildgate_enforcement.ranking import SETTLED
from wildgate_enforcement.states import WAITING
from wildgate_enforcement.tables import CaseRow, EvidenceRow, ReferralRow, SkillRow, SubjectRow
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2
from wildgate_server.blocks.fingerprint import MIN_QUALITY, mirrored
from wildgate_server.blocks.near_hashes import NearHashes, codes_of

__all__ = [
    "PAGE",
    "Filters",
    "Original",
    "Page",
    "blocked_originals",
    "counts",
    "evidence_times",
    "near_copies",
    "page_of",
    "referrals",
    "same_account",
]

PAGE = 50
_BATCH = 250
_MOST_LOOKED_AT = 5000
_MOST_RELATED = 20
_MOST_COMPARED = 500
_MOST_ORIGINALS = 2
_NEAR_BITS = 31  # of 256, as PDQ's makers advise


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the queue somebody wants to see; "" for all. `mine` is who holds the case."""

    state: str = ""
    group: str = ""
    language: str = ""
    label: str = ""
    mine: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Cases by rank, the most pressing first; `after` names the place where the next page begins."""

    cases: Sequence[pb.Case]
    after: str = ""
    cut: bool = False
    """Whether the search for a label ended before the queue did."""


async def page_of(session: AsyncSession, filters: Filters, after: str = "") -> Page:
    """A page of the queue. A label stands in verdicts, which no index knows: so many cases are looked through."""
    found: list[CaseRow] = []
    place = _place(after)
    looked_at = 0
    while looked_at < _MOST_LOOKED_AT:
        size = _BATCH if filters.label else PAGE + 1
        rows = (await session.scalars(_ranked(filters, place).limit(size))).all()
        looked_at += len(rows)
        found += [row for row in rows if not filters.label or _shows(row, filters.label)]
        if len(found) > PAGE or len(rows) < size or not filters.label:
            break
        place = rows[-1].rank, rows[-1].id
    shown = found[:PAGE]
    more = len(found) > PAGE
    last = f"{shown[-1].rank.hex()} {shown[-1].id}" if more else ""
    return Page([case_message(row) for row in shown], last, looked_at >= _MOST_LOOKED_AT and not more)


async def counts(session: AsyncSession) -> dict[str, int]:
    """Cases by state, from the index alone."""
    rows = await session.execute(select(CaseRow.state, func.count()).group_by(CaseRow.state))
    return {row.state: row[1] for row in rows}


async def evidence_times(session: AsyncSession, case_id: str) -> Sequence[float]:
    """When each evidence frame is, by its number."""
    rows = select(EvidenceRow.time_s).where(EvidenceRow.case_id == case_id).order_by(EvidenceRow.number)
    return (await session.scalars(rows)).all()


@dataclass(frozen=True, slots=True)
class Original:
    """A picture of the case that had a video blocked, which another one's resembles: the nearest in time."""

    case_id: str
    number: int
    time_s: float
    match: scoring_pb2.BlockMatch


async def blocked_originals(session: AsyncSession, case: pb.Case) -> Sequence[Original]:
    """What the case's matches resemble, where a case here had it blocked and has pictures."""
    found = []
    for match in case.verdict.block_matches[:_MOST_ORIGINALS]:
        case_id = match.source.removeprefix("case ")
        if case_id == match.source or not (times := await evidence_times(session, case_id)):
            continue
        nearest = min(match.frames, key=lambda frame: frame.distance, default=None)
        at_s = nearest.original_s if nearest else match.original.start_s
        number = min(range(len(times)), key=lambda place: abs(times[place] - at_s))
        found.append(Original(case_id, number, times[number], match))
    return found


async def same_account(session: AsyncSession, case: pb.Case) -> Sequence[CaseRow]:
    """Other cases with a video of an account that shows this one."""
    accounts = sorted({subject.account for subject in case.subjects if subject.account})
    related = CaseRow.id.in_(select(SubjectRow.case_id).where(SubjectRow.account.in_(accounts)))
    rows = select(CaseRow).where(related, CaseRow.id != case.id).order_by(CaseRow.opened_ms.desc()).limit(_MOST_RELATED)
    return (await session.scalars(rows)).all() if accounts else []


async def near_copies(session: AsyncSession, case: pb.Case) -> Sequence[str]:
    """Of the most pressing cases those that match the same blocked video or look alike: copies of one thing, as a rule.

    Alike are those of which at least half of the frames, and two, are near this one's, as it is or mirrored.
    """
    blocks, hashes = _block_ids(case.verdict), _full_hashes(case.verdict)
    if not (blocks or hashes):
        return []
    ranked = _ranked(Filters(), None).with_only_columns(CaseRow.id, CaseRow.verdict).limit(_MOST_COMPARED)
    others = {
        row.id: scoring_pb2.Verdict.FromString(row.verdict)
        for row in await session.execute(ranked)
        if row.id != case.id
    }
    theirs = [_full_hashes(verdict) for verdict in others.values()]
    owners = np.repeat(np.arange(len(theirs)), [len(each) for each in theirs])
    here = NearHashes()
    here.add(codes_of([*hashes, *map(mirrored, hashes)]), np.arange(2 * len(hashes)))
    near = np.unique(here.search(codes_of(chain.from_iterable(theirs)), _NEAR_BITS).queries)
    alike = np.bincount(owners[near], minlength=len(theirs))
    found = (
        case_id
        for (case_id, verdict), frames, count in zip(others.items(), theirs, alike, strict=True)
        if count >= max(2, len(frames) / 2) or blocks & _block_ids(verdict)
    )
    return list(islice(found, _MOST_RELATED))


async def referrals(session: AsyncSession) -> Sequence[ReferralRow]:
    """The latest referrals."""
    return (await session.scalars(select(ReferralRow).order_by(ReferralRow.proposed_ms.desc()).limit(200))).all()


def _ranked(filters: Filters, place: tuple[float, str] | None) -> Select[CaseRow]:
    statement = select(CaseRow).order_by(CaseRow.rank.desc(), CaseRow.id.desc())
    if filters.state:
        statement = statement.where(CaseRow.state == filters.state)
    if not filters.state or filters.state in WAITING:
        statement = statement.where(CaseRow.rank > SETTLED)  # what waits is the upper end of the index
    if filters.mine:
        statement = statement.where(CaseRow.assignee == filters.mine, CaseRow.state.in_(sorted(WAITING)))
    for skill in filter(None, (filters.group, filters.language and f"lang:{filters.language}")):
        statement = statement.where(exists().where(SkillRow.case_id == CaseRow.id, SkillRow.skill == skill))
    if place:
        rank, case_id = place
        statement = statement.where(tuple_(CaseRow.rank, CaseRow.id) < (rank, case_id))
    return statement


def _block_ids(verdict: scoring_pb2.Verdict) -> set[str]:
    return {match.block_id for match in verdict.block_matches}


def _full_hashes(verdict: scoring_pb2.Verdict) -> Sequence[bytes]:
    """Of the frames in which there is enough to tell them from others."""
    return [frame.hashes[0] for frame in verdict.fingerprint.frames if frame.quality >= MIN_QUALITY]


def _shows(row: CaseRow, label: str) -> bool:
    return any(each.label == label for each in case_message(row).verdict.labels)


def _place(after: str) -> tuple[float, str] | None:
    rank, _, case_id = after.partition(" ")
    try:
        return float.fromhex(rank), case_id
    except (ValueError, OverflowError):
        return None
