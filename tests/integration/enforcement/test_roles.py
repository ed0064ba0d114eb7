"""Every role against every call."""

from __future__ import annotations

import grpc
import pytest
from enforcement_under_test import As, EnforcementUnderTest

from wildgate_enforcement.roles import CALLS, CASE_SERVICE, REPORT_SERVICE, Role
from wildgate_proto.v1 import cases_pb2 as pb

METHODS = {
    f"/{service}/{method.name}"
    for service in (CASE_SERVICE, REPORT_SERVICE)
    for method in pb.DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods
}


def test_the_table_has_every_call_and_no_other_and_each_is_for_somebody() -> None:
    assert {call for call in CALLS if not call.startswith("/grpc.health.")} == METHODS
    assert all(CALLS[call].roles <= set(Role) and CALLS[call].roles and not CALLS[call].scopes for call in METHODS)


@pytest.mark.parametrize(
    ("role", "calls"),
    [
        (Role.GATEWAY, "OpenCase"),
        (Role.REPORTER, "Appeal GetReport Report"),
        (Role.ADMINISTRATOR, "ListDeliveries Replay"),
        (Role.AUDITOR, "GetCase GetEvidence GetReport ListCases ListDeliveries ListEvents"),
    ],
)
def test_services_do_one_thing_and_who_watches_changes_nothing(role: Role, calls: str) -> None:
    assert sorted(call.rpartition("/")[2] for call in METHODS if role in CALLS[call].roles) == calls.split()


async def status(caller: As, call: str) -> tuple[grpc.StatusCode, str]:
    try:
        await getattr(caller, call.rpartition("/")[2])()
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("role", [*Role, "nothing"])
async def test_a_role_makes_the_calls_of_the_table_and_others_are_denied_and_logged(
    service: EnforcementUnderTest, role: str
) -> None:
    denied = []
    for call in sorted(METHODS):
        code, details = await status(service.as_(f"pat/{role}"), call)
        assert code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAUTHENTICATED)
        may_not = code is grpc.StatusCode.PERMISSION_DENIED
        assert may_not == (role not in CALLS[call].roles), (call, details)
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
    for call in sorted(METHODS):
        assert (await status(caller, call))[0] is grpc.StatusCode.UNAUTHENTICATED
