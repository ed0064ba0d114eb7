"""Who may do what: one table of calls and roles, and the caller that a token stands for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

__all__ = ["ALLOWED", "Caller", "Role", "TokenCheck"]


class Role(StrEnum):
    """What a token's subject is here."""

    GATEWAY = "gateway"  # hands verdicts in
    REPORTER = "reporter"  # the platform's service: reports and appeals
    MODERATOR = "moderator"
    SENIOR = "senior"
    LIAISON = "liaison"  # speaks with those that cases are referred to
    AUDITOR = "auditor"  # sees everything and changes nothing
    ADMINISTRATOR = "administrator"  # keeps the service running and decides nothing


class Caller(Protocol):
    """Who calls: `subject` is the id of a person or service, `roles` are names of `Role`."""

    @property
    def subject(self) -> str:
        """Never empty."""

    @property
    def roles(self) -> frozenset[str]:
        """Names that are not of this service mean nothing."""


class TokenCheck(Protocol):
    """Tells who a bearer token stands for. Raises a WildgateError with status UNAUTHENTICATED."""

    async def __call__(self, token: str) -> Caller:
        """The caller."""


_REVIEWERS: Final = frozenset({Role.MODERATOR, Role.SENIOR})
_STAFF: Final = _REVIEWERS | {Role.LIAISON, Role.AUDITOR}

ALLOWED: Final[Mapping[str, frozenset[Role]]] = MappingProxyType(
    {
        "CaseService/OpenCase": frozenset({Role.GATEWAY}),
        "CaseService/GetCase": _STAFF,
        "CaseService/ListCases": _STAFF,
        "CaseService/GetEvidence": _STAFF,
        "CaseService/Claim": _REVIEWERS,
        "CaseService/Release": _REVIEWERS,
        "CaseService/Reassign": frozenset({Role.SENIOR}),
        "CaseService/Snooze": _REVIEWERS,
        "CaseService/Decide": _REVIEWERS,
        "CaseService/Withdraw": _REVIEWERS,
        "CaseService/Appeal": frozenset({Role.REPORTER}),
        "CaseService/Refer": frozenset({Role.SENIOR, Role.LIAISON}),
        "CaseService/ApproveReferral": frozenset({Role.SENIOR, Role.LIAISON}),
        "CaseService/CancelReferral": frozenset({Role.SENIOR, Role.LIAISON}),
        "CaseService/RecordReceipt": frozenset({Role.LIAISON}),
        "CaseService/ListEvents": frozenset({Role.AUDITOR}),
        "CaseService/ListDeliveries": frozenset({Role.AUDITOR, Role.ADMINISTRATOR}),
        "CaseService/Replay": frozenset({Role.ADMINISTRATOR}),
        "ReportService/Report": frozenset({Role.REPORTER}),
        "ReportService/GetReport": frozenset({Role.REPORTER}) | _STAFF,
    }
)
"""Calls, by service and method; a call that is not here may be made by nobody."""
