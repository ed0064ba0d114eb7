"""Every role against every call."""

from __future__ import annotations

import grpc
import pytest
from enforcement_under_test import As, EnforcementUnderTest

from wildgate_enforcement.roles import ALLOWED, Role
from wildgate_proto.v1 import cases_pb2 as pb

CALLS = [
    f"{service}/{method.name}"
    for service in ("CaseService", "ReportService")
    for method in pb.DESCRIPTOR.services_by_name[service].methods
]


def test_the_table_has_every_call_and_no_other() -> None:
    assert sorted(ALLOWED) == sorted(CALLS)
    assert all(ALLOWED.values())


async def status(caller: As, call: str) -> tuple[grpc.StatusCode, str]:
    try:
        await getattr(caller, call.partition("/")[2])()
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("role", [*Role, "nothing"])
async def test_a_role_makes_the_calls_of_the_table_and_others_are_denied_and_logged(
    service: EnforcementUnderTest, role: str
) -> None:
    denied = []
    for call in CALLS:
        code, details = await status(service.as_(f"pat/{role}"), call)
        assert code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAUTHENTICATED)
        may_not = code is grpc.StatusCode.PERMISSION_DENIED and "is for:" in details
        assert may_not == (role not in ALLOWED[call]), call
        denied += [call] * may_not
    events = (await service.as_("otto/auditor").ListEvents()).events
    logged = [event.canonical for event in events if b'"kind":"denied"' in event.canonical]
    assert len(logged) == len(denied)
    assert all(f'"call":"{call}"'.encode() in event for call, event in zip(denied, logged, strict=True))


@pytest.mark.parametrize("metadata", [(), (("authorization", "Basic eDp5"),), (("authorization", "Bearer forged"),)])
async def test_without_a_good_token_nothing_is_answered(
    service: EnforcementUnderTest, metadata: tuple[tuple[str, str], ...]
) -> None:
    caller = service.as_("")
    caller._metadata = metadata  # type: ignore[assignment]
    for call in CALLS:
        assert (await status(caller, call))[0] is grpc.StatusCode.UNAUTHENTICATED
