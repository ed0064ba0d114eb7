"""The one way from a page to a case: calls of the case service, checked as those that come over gRPC are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf.message import Message

from wildgate_enforcement.case_service import CaseService
from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import AccessDenied
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.requests import check_fields
from wildgate_enforcement.roles import CALLS, CASE_SERVICE
from wildgate_enforcement.service import Denied
from wildgate_server.access.access_interceptor import as_caller
from wildgate_server.access.tokens import Caller

__all__ = ["Door"]


class Door:
    """Makes calls for people, by the table of calls and roles; what it refuses is an event of the log."""

    def __init__(
        self, database: Database, policy: EnforcementPolicy, recipients: Collection[str], denied: Denied
    ) -> None:
        self.recipients = sorted(recipients)
        self._cases = CaseService(database, policy, recipients)
        self._denied = denied

    def may(self, caller: Caller, call: str) -> bool:
        """Whether the caller's roles allow a call, such as "Claim"."""
        return CALLS[f"/{CASE_SERVICE}/{call}"].met_by(caller)

    async def require(self, caller: Caller, call: str) -> None:
        """Raises AccessDenied where the caller may not make the call."""
        if not self.may(caller, call):
            await self._denied(caller, f"/{CASE_SERVICE}/{call}")
            raise AccessDenied("your roles do not allow this")

    async def call(self, caller: Caller, call: str, request: Message) -> Any:
        """The answer to a call. Raises what the service raises, and AccessDenied."""
        await self.require(caller, call)
        check_fields(request)
        with as_caller(caller):
            return await getattr(self._cases, call)(request, None)  # no method looks at its context
