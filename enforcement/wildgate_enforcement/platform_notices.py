"""The platform is told what was decided on its videos, and what became of reports: by signed notices."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field, SecretStr

from wildgate_enforcement.errors import StartError
from wildgate_enforcement.notices.sending import Delivered, Endpoint, Gone, NoticeSender, RetryLater
from wildgate_enforcement.notices.statement import Source, Statement, Visibility
from wildgate_enforcement.outbox import DeliveryRefused, Outgoing, Send, TryLater
from wildgate_server.config_section import ConfigSection
from wildgate_server.source.fetching import FetchConfig

__all__ = ["PlatformSettings", "platform_senders"]

_log = structlog.get_logger()


class PlatformSettings(ConfigSection):
    """Where the platform takes notices."""

    url: str | None = None
    """https, on its usual port and a public address; without one, notices wait."""
    secrets: Path | None = None
    """File with the secrets that notices are signed with ("whsec_<base64>"), newest first, one a line."""
    private_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of yours that the platform may be in; there, plain http and any port will do."""
    legal_ground: str = Field("", max_length=500)
    """The law that confirmed videos break: turns on the statement of reasons, in the DSA database's fields."""
    explanation: str = Field("It shows animals, or parts of them, offered unlawfully.", max_length=2000)
    """Why that law applies."""
    territorial_scope: tuple[str, ...] = ()
    """Two-letter codes of the countries of the EEA in which it does."""


def platform_senders(settings: PlatformSettings) -> Mapping[str, Send]:
    """Who tells the platform; nobody where it has no URL. Raises StartError."""
    if settings.url is None:
        return {}
    try:
        lines = settings.secrets.read_text("ascii").split() if settings.secrets else []
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"platform.secrets cannot be read: {error}") from error
    if not lines:
        raise StartError("platform.secrets has to name a file with the secrets that notices are signed with")
    endpoint = Endpoint(settings.url, tuple(map(SecretStr, lines)))
    private = settings.private_networks
    sender = NoticeSender(
        FetchConfig(
            stall_s=5.0,
            schemes=("http", "https") if private else ("https",),
            private_networks=private,
            ports=(443,),
        )
    )
    gone = False

    async def send(outgoing: Outgoing, content: Mapping[str, Any]) -> None:
        nonlocal gone
        if gone:
            raise DeliveryRefused("the platform took the endpoint away (410)")
        match await sender.send(endpoint, outgoing.message_id, content):
            case Delivered():
                return
            case Gone():
                gone = True  # until the next start
                raise DeliveryRefused("the platform took the endpoint away (410)")
            case RetryLater(why, after_s):
                raise TryLater(why, after_s or 0.0)
            case refused:
                raise DeliveryRefused(refused.why)

    async def notice(outgoing: Outgoing) -> None:
        statement = _statement(settings, outgoing) if outgoing.payload["action"] == "remove" else None
        told = {"type": "decision", "case_id": outgoing.case_id, **outgoing.payload}
        await send(outgoing, {**told, "statement_of_reasons": statement} if statement else told)

    async def report_outcome(outgoing: Outgoing) -> None:
        await send(outgoing, {"type": "report_outcome", **outgoing.payload})

    return {"notice": notice, "report_outcome": report_outcome}


def _statement(settings: PlatformSettings, outgoing: Outgoing) -> dict[str, Any] | None:
    """None where none is wanted, or the reason holds what must not be in a public database."""
    if not settings.legal_ground:
        return None
    payload = outgoing.payload
    try:
        statement = Statement(
            case_id=outgoing.message_id,
            visibility=Visibility.REMOVED,
            legal_ground=settings.legal_ground,
            explanation=settings.explanation,
            facts=payload["reason"],
            content_date=_day(payload["known_ms"]),
            decided_on=_day(payload["decided_ms"]),
            source=Source[payload["found_by"]],
            found_by_machine=payload["found_by"] == Source.OWN_INITIATIVE.name,
            decided_by_people=True,
            territorial_scope=settings.territorial_scope,
        )
    except ValueError as error:
        _log.warning("statement_left_out", case_id=outgoing.case_id, error=str(error))
        return None
    return statement.fields()


def _day(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1e3, UTC).date()
