"""Who may do what: one table of calls and roles."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from wildgate_proto.v1 import blocks_pb2, cases_pb2
from wildgate_server.access.access_interceptor import OPEN, Need

__all__ = ["BLOCK_CALLS", "BLOCK_SERVICE", "CALLS", "CASE_SERVICE", "REPORT_SERVICE", "Role"]

CASE_SERVICE: Final[str] = cases_pb2.DESCRIPTOR.services_by_name["CaseService"].full_name
BLOCK_SERVICE: Final[str] = blocks_pb2.DESCRIPTOR.services_by_name["BlockService"].full_name
REPORT_SERVICE: Final[str] = cases_pb2.DESCRIPTOR.services_by_name["ReportService"].full_name


class Role(StrEnum):
    """What a token's subject is here."""

    GATEWAY = "gateway"  # hands verdicts in
    REPORTER = "reporter"  # the platform's service: reports and appeals
    MODERATOR = "moderator"
    SENIOR = "senior"
    LIAISON = "liaison"  # speaks with those that cases are referred to
    AUDITOR = "auditor"  # sees everything and changes nothing
    ADMINISTRATOR = "administrator"  # keeps the service running and decides nothing


_ROLES: Final[Mapping[str, set[Role]]] = {
    "CaseService/OpenCase": {Role.GATEWAY},
    "CaseService/GetCase": {Role.MODERATOR, Role.SENIOR, Role.LIAISON, Role.AUDITOR},
    "CaseService/ListCases": {Role.MODERATOR, Role.SENIOR, Role.LIAISON, Role.AUDITOR},
    "CaseService/GetEvidence": {Role.MODERATOR, Role.SENIOR, Role.LIAISON, Role.AUDITOR},
    "CaseService/Claim": {Role.MODERATOR, Role.SENIOR},
    "CaseService/Release": {Role.MODERATOR, Role.SENIOR},
    "CaseService/Reassign": {Role.SENIOR},
    "CaseService/Snooze": {Role.MODERATOR, Role.SENIOR},
    "CaseService/Decide": {Role.MODERATOR, Role.SENIOR},
    "CaseService/Withdraw": {Role.MODERATOR, Role.SENIOR},
    "CaseService/Appeal": {Role.REPORTER},
    "CaseService/Refer": {Role.SENIOR, Role.LIAISON},
    "CaseService/ApproveReferral": {Role.SENIOR, Role.LIAISON},
    "CaseService/CancelReferral": {Role.SENIOR, Role.LIAISON},
    "CaseService/RecordReceipt": {Role.LIAISON},
    "CaseService/ListEvents": {Role.AUDITOR},
    "CaseService/ListDeliveries": {Role.AUDITOR, Role.ADMINISTRATOR},
    "CaseService/Replay": {Role.ADMINISTRATOR},
    "ReportService/Report": {Role.REPORTER},
    "ReportService/GetReport": {Role.REPORTER, Role.MODERATOR, Role.SENIOR, Role.LIAISON, Role.AUDITOR},
}

CALLS: Final[Mapping[str, Need]] = MappingProxyType(
    {
        **{f"/wildgate.v1.{call}": Need.role(*roles) for call, roles in _ROLES.items()},
        "/grpc.health.v1.Health/Check": OPEN,
        "/grpc.health.v1.Health/Watch": OPEN,
    }
)
"""Full names of all calls and what each takes; one that is not here may be made by nobody."""

_READERS: Final = (Role.MODERATOR, Role.SENIOR, Role.LIAISON, Role.AUDITOR)
BLOCK_CALLS: Final[Mapping[str, Need]] = MappingProxyType(
    {
        f"/{BLOCK_SERVICE}/List": Need.role(*_READERS),
        f"/{BLOCK_SERVICE}/Get": Need.role(*_READERS),
        f"/{BLOCK_SERVICE}/Add": Need.role(Role.SENIOR),
        f"/{BLOCK_SERVICE}/Update": Need.role(Role.SENIOR),
    }
)
"""Calls of the list of blocks that the console makes for people, under this service's own token."""
