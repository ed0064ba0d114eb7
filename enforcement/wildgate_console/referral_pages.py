"""What people read of a referral: its document, and the package that left. That they did is an event of the log."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from wildgate_console.desk import caller_of, desk_of
from wildgate_enforcement.errors import NoSuchRecord, WrongState
from wildgate_enforcement.head_signing import signing_key
from wildgate_enforcement.outbox import DeliveryRefused
from wildgate_enforcement.referral.document import document_of
from wildgate_enforcement.referral.referral import ReferralError
from wildgate_enforcement.referral_packages import package_of, referral_of
from wildgate_enforcement.tables import ReferralRow

__all__ = ["document", "package"]

_MAY = "ApproveReferral"  # who signs what leaves, reads it


async def document(request: Request) -> Response:
    """The document for people, as the package would have it now: a preview, for who signs it."""
    row, settings = await _row(request), desk_of(request).settings
    if row.recipient not in settings.referral.recipients:
        raise WrongState(f"the recipient {row.recipient} is not configured any more")
    key = signing_key(settings.directory / "referral-key.pem")
    try:
        async with desk_of(request).database.reading() as session:
            referral = await referral_of(session, row, settings.referral, key)
        pdf = await asyncio.to_thread(document_of, referral)
    except (DeliveryRefused, ReferralError) as error:
        raise WrongState(str(error)) from error
    await _log(request, row, "document")
    return _file(pdf, "application/pdf", f'inline; filename="referral-{row.case_id}.pdf"')


async def package(request: Request) -> Response:
    """The sealed package as a ZIP file; unpacked, `wildgate referral verify` checks it."""
    row = await _row(request)
    if (there := package_of(desk_of(request).settings.referral, row)) is None:
        raise WrongState(f"there is no package here: the referral is {row.state}", metadata={"state": row.state})
    packed = await asyncio.to_thread(_zipped, there)
    await _log(request, row, "package")
    return _file(packed, "application/zip", f'attachment; filename="{there.name}.zip"')


async def _row(request: Request) -> ReferralRow:
    """Raises AccessDenied and NoSuchRecord."""
    desk, referral_id = desk_of(request), request.path_params["referral_id"]
    await desk.door.require(caller_of(request), _MAY)
    async with desk.database.reading() as session:
        if row := await session.get(ReferralRow, referral_id):
            return row
    raise NoSuchRecord(f"no referral has the id {referral_id[:64]!r}", field="referral_id")


async def _log(request: Request, row: ReferralRow, part: str) -> None:
    async with desk_of(request).database.writing(caller_of(request).subject) as transaction:
        transaction.log(row.case_id, "referral_read", referral_id=row.id, part=part)


def _zipped(folder: Path) -> bytes:
    """As it lies there: nothing in it is compressed, so that every byte is the one that was signed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return packed.getvalue()


def _file(content: bytes, media_type: str, disposition: str) -> Response:
    return Response(content, media_type=media_type, headers={"content-disposition": disposition})
