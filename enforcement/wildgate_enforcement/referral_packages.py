"""An approved referral becomes a package in its recipient's folder."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.json_format import MessageToDict
from PIL import Image
from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StartError
from wildgate_enforcement.head_signing import signing_key
from wildgate_enforcement.outbox import DeliveryRefused, Outgoing, Send
from wildgate_enforcement.referral.intelligence import Facts, intelligence_value
from wildgate_enforcement.referral.packaging import package_name, write_package
from wildgate_enforcement.referral.referral import (
    Box,
    Frame,
    ProductionRecipient,
    Recipient,
    Referral,
    ReferralError,
    TestRecipient,
)
from wildgate_enforcement.referral.sealing import Authority, asked_over_http
from wildgate_enforcement.referral.verification import verify_package
from wildgate_enforcement.states import State
from wildgate_enforcement.tables import CaseRow, EventRow, EvidenceRow, ReferralRow, ReportRow, SubjectRow
from wildgate_proto.v1 import scoring_pb2
from wildgate_server.config_section import ConfigSection

__all__ = ["ReferralSettings", "package_of", "referral_of", "referral_sender"]

# Of events, what may leave: nobody's name or comment, and nothing of other cases.
_KINDS = ("opened", "decided", "withdrawn", "appealed", "referral_proposed", "referral_approved")
_DETAILS = ("action", "labels", "model_version", "policy_version", "decision", "state", "label", "taxon", "reason")
_NOBODY = "not-signed-yet"
_CONTACT = re.compile(r"@|https?:|www\.|\+?\d(?:[\s().-]?\d){7,}", re.IGNORECASE)


class ReferralSettings(ConfigSection):
    """To whom cases may be referred."""

    recipients: dict[str, Literal["test", "production"]] = Field(default_factory=dict)
    """Names, and whether what they get is a trial: its packages say TEST everywhere."""
    folder: Path | None = None
    """Packages are written to a folder of the recipient's name in it; bringing them there is up to you."""
    authority: str = ""
    """URL of a time-stamping authority (RFC 3161)."""
    authority_root: Path | None = None
    """PEM certificate that the authority's own ends at."""


def referral_sender(settings: ReferralSettings, database: Database, directory: Path, attempts: int) -> Send | None:
    """Who makes packages, sealed with the key in `directory`; None without recipients. Raises StartError.

    A referral is failed after so many attempts.
    """
    if not settings.recipients:
        return None
    if not (settings.folder and settings.authority and settings.authority_root):
        raise StartError("referral.recipients need referral.folder, referral.authority and referral.authority_root")
    try:
        authority = Authority(asked_over_http(settings.authority), settings.authority_root.read_bytes())
        folders = {name: settings.folder / name for name in settings.recipients}
        if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name) for name in folders):
            raise StartError("referral.recipients have names of letters, digits, - and _")
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"referrals cannot be made: {error}") from error
    key = signing_key(directory / "referral-key.pem")

    async def send(outgoing: Outgoing) -> None:
        referral_id = outgoing.payload["referral_id"]
        async with database.reading() as session:
            row = (await session.scalars(select(ReferralRow).where(ReferralRow.id == referral_id))).one()
            if row.state not in ("approved", "failed"):
                return  # cancelled, or made by an attempt whose end was not noted
            if row.recipient not in folders:
                raise DeliveryRefused(f"the recipient {row.recipient} is not configured any more")
            referral = await referral_of(session, row, settings, key)
        failure = ""
        try:
            await asyncio.to_thread(_write, referral, folders[row.recipient], key, authority)
        except ReferralError as error:
            if outgoing.attempt < attempts:
                raise
            failure = str(error)
        async with database.writing("referrals") as transaction:
            row = await transaction.referral(referral_id)
            row.state, row.failure = ("failed", failure[:500]) if failure else ("sent", "")
            transaction.log(row.case_id, f"referral_{row.state}", referral_id=row.id, failure=row.failure)
        if failure:
            raise DeliveryRefused(failure)

    return send


def _write(referral: Referral, folder: Path, key: Ed25519PrivateKey, authority: Authority) -> None:
    """Writes the package, unless an attempt that was cut off had written it."""
    there = folder / package_name(referral.case_id, is_test=referral.is_test)
    if there.exists() and not verify_package(there, key.public_key(), root=authority.root).faults:
        return
    write_package(referral, folder, key, authority)


def package_of(settings: ReferralSettings, row: ReferralRow) -> Path | None:
    """Where the package of a referral lies that has left; None where it has not, or is there no more."""
    if not settings.folder or row.state not in ("sent", "received") or row.recipient not in settings.recipients:
        return None
    is_test = settings.recipients[row.recipient] == "test"
    there = settings.folder / row.recipient / package_name(row.case_id, is_test=is_test)
    return there if there.is_dir() else None


async def referral_of(
    session: AsyncSession, row: ReferralRow, settings: ReferralSettings, key: Ed25519PrivateKey
) -> Referral:
    """What the referral would say now; staff are named by `key`. Raises DeliveryRefused where it may not leave."""
    is_test = settings.recipients[row.recipient] == "test"
    recipient: Recipient = TestRecipient(row.recipient) if is_test else ProductionRecipient(row.recipient)
    case = (await session.scalars(select(CaseRow).where(CaseRow.id == row.case_id))).one()
    if case.state != State.CONFIRMED:
        raise DeliveryRefused("the case is no longer confirmed")
    subjects = (await session.scalars(select(SubjectRow).where(SubjectRow.case_id == case.id))).all()
    verdict = scoring_pb2.Verdict.FromString(case.verdict)
    told = scoring_pb2.Verdict()
    told.CopyFrom(verdict)
    told.ClearField("fingerprint")
    coverage = MessageToDict(
        verdict.coverage, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    evidence = select(EvidenceRow).where(EvidenceRow.case_id == case.id).order_by(EvidenceRow.number)
    if row.frames is not None:
        evidence = evidence.where(EvidenceRow.number.in_(row.frames))
    frames = (await session.scalars(evidence)).all()
    events = select(EventRow).where(EventRow.case_id == case.id).order_by(EventRow.position)
    history = [json.loads(event.canonical) for event in (await session.scalars(events)).all()]
    return Referral(
        case_id=case.id,
        recipient=recipient,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        subject={
            "videos": [
                {"video_id": each.video_id, "uri": each.uri, "account": each.account, "listing": each.listing}
                for each in subjects
            ]
        },
        verdict={**MessageToDict(told, preserving_proto_field_name=True), "coverage": coverage},
        history=tuple(_outward(event, key) for event in history if event["kind"] in _KINDS),
        digests=(case.content_digest,),
        value=intelligence_value(await _facts(session, case, subjects, verdict)),
        approvals=(_pseudonym(row.proposed_by, key), _pseudonym(row.approved_by, key) if row.approved_by else _NOBODY),
        reason=row.reason,
        preservation={"kept": "verdict, evidence frames, reports and events", "since_ms": case.decided_ms},
        frames=tuple(_frame(each, verdict) for each in frames),
    )


def _outward(event: dict[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    return {
        "kind": event["kind"],
        "at_ms": event["at_ms"],
        "actor": _pseudonym(event["actor"], key),
        "details": {name: event["details"][name] for name in _DETAILS if name in event["details"]},
    }


def _pseudonym(person: str, key: Ed25519PrivateKey) -> str:
    """The same for a person in all packages, and nobody's without the key."""
    digest = hmac.new(key.private_bytes_raw(), b"wildgate-staff-v1\n" + person.encode(), hashlib.sha256)
    return f"staff-{digest.hexdigest()[:16]}"


def _frame(row: EvidenceRow, verdict: scoring_pb2.Verdict) -> Frame:
    try:
        with Image.open(io.BytesIO(row.jpeg), formats=["JPEG"]) as picture:
            width, height = picture.size
    except (OSError, ValueError) as error:
        raise ReferralError("a frame is no JPEG that can be read") from error
    boxes = tuple(
        Box(
            found.label,
            found.score,
            found.box.x1 * width,
            found.box.y1 * height,
            found.box.x2 * width,
            found.box.y2 * height,
        )
        for found in verdict.detections
        if found.time_s == row.time_s
    )
    return Frame(row.jpeg, row.time_s, boxes)


async def _facts(
    session: AsyncSession, case: CaseRow, subjects: Sequence[SubjectRow], verdict: scoring_pb2.Verdict
) -> Facts:
    accounts = {each.account for each in subjects if each.account}
    earlier = (
        select(func.count(CaseRow.id.distinct()))
        .join(SubjectRow, SubjectRow.case_id == CaseRow.id)
        .where(CaseRow.state == State.CONFIRMED, CaseRow.id != case.id, SubjectRow.account.in_(sorted(accounts)))
    )
    notes = (await session.scalars(select(ReportRow.note).where(ReportRow.case_id == case.id))).all()
    return Facts(
        earlier_confirmed_cases=await session.scalar(earlier) or 0,
        cases_with_same_items=len({match.block_id for match in verdict.block_matches}),
        appendix_i=int(any("I" in label.cites_appendix.split("/") for label in verdict.labels)),
        reports_with_contact_details=sum(bool(_CONTACT.search(note)) for note in notes),
    )
