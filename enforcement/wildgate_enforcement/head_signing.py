"""Signs the end of the log from time to time, so that who can write to the database cannot rewrite it unseen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StartError, StorageUnavailable
from wildgate_enforcement.event_chain import sign_head
from wildgate_enforcement.referral.referral import ReferralError
from wildgate_enforcement.referral.sealing import make_keys, private_key
from wildgate_enforcement.tables import ChainEnd, SignedHeadRow

__all__ = ["HeadSigner", "signing_key"]

_log = structlog.get_logger()


class HeadSigner:
    """Signs with `key` every `period_s` seconds, where there are new events."""

    def __init__(self, database: Database, key: Ed25519PrivateKey, period_s: float) -> None:
        self._database = database
        self._key = key
        self._period_s = period_s

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await asyncio.sleep(self._period_s)
            try:
                await self.sign()
            except StorageUnavailable as error:
                _log.warning("head_not_signed", error=error.message)

    async def sign(self) -> None:
        """Signs the last event, unless it is signed."""
        async with self._database.writing("head_signer") as transaction:
            end = (await transaction.session.scalars(select(ChainEnd).with_for_update())).one()
            signed: SignedHeadRow | None = await transaction.session.get(SignedHeadRow, end.position)
            if signed or not end.position:
                return
            head = sign_head(self._key, end.position, end.hash, transaction.now_ms)
            transaction.session.add(
                SignedHeadRow(
                    position=head.position,
                    hash=head.hash,
                    signed_ms=head.signed_ms,
                    signature=head.signature,
                    public_key=head.public_key,
                )
            )
        # A copy outside of the database: the log of the process goes elsewhere.
        _log.info("head_signed", position=head.position, hash=head.hash.hex(), signature=head.signature.hex())


def signing_key(file: Path) -> Ed25519PrivateKey:
    """The key in `file`, in PEM; made there, readable by its owner alone, where there is none. Raises StartError."""
    try:
        if not file.exists():
            make_keys(file)
        return private_key(file)
    except (OSError, ReferralError) as error:
        raise StartError(f"the signing key {file} cannot be used: {error}") from error
