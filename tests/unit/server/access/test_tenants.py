"""Quotas by tenant: what flows back, what is held, and whose file is read."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from wildgate_server.access.revoked import Revoked
from wildgate_server.access.tenants import Priority, Tenants
from wildgate_server.access.tokens import Caller
from wildgate_server.errors import QuotaExceeded, StartError

FILE = """
default: {in_flight: 1}
tenants:
  steady: {requests_per_s: 2, burst_s: 2, priority: low}
  heavy: {megabytes_per_s: 1, burst_s: 0, priority: high}
"""


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tenants(tmp_path: Path, clock: Clock) -> Tenants:
    (tmp_path / "tenants.yaml").write_text(FILE)
    return Tenants(tmp_path / "tenants.yaml", clock)


def of(tenant: str) -> Caller:
    return Caller("service", tenant)


def ask(tenants: Tenants, tenant: str, size: int = 0) -> float | None:
    """For how long to wait; None where the video is let in, and done at once."""
    try:
        with tenants.video(of(tenant)) as weigh:
            weigh(size)
    except QuotaExceeded as refusal:
        return refusal.retry_after_s
    return None


def test_requests_flow_back_at_their_rate_and_are_saved_up_for_the_burst(tenants: Tenants, clock: Clock) -> None:
    for _ in range(3):
        assert [ask(tenants, "steady") for _ in range(6)] == [*[None] * 5, 0.5]
        clock.now_s += 1000.0  # no more than the burst is saved up
    assert [ask(tenants, "steady") for _ in range(6)][-1] == 0.5
    clock.now_s += 0.5
    assert [ask(tenants, "steady") for _ in range(2)] == [None, 0.5]


def test_a_large_video_is_let_in_and_paid_for_by_those_after_it(tenants: Tenants, clock: Clock) -> None:
    assert ask(tenants, "heavy", 8_000_000) is None
    assert ask(tenants, "heavy") == 8.0
    assert ask(tenants, "steady") is None
    clock.now_s += 8.0
    assert ask(tenants, "heavy") is None


def test_each_tenant_that_is_not_named_has_the_default_for_itself(tenants: Tenants) -> None:
    with ExitStack() as held:
        for tenant in ("a", "b"):
            held.enter_context(tenants.video(of(tenant)))
            assert ask(tenants, tenant)
    assert ask(tenants, "a") is None


def test_the_file_says_who_comes_first_and_without_one_all_are_alike(tenants: Tenants) -> None:
    named = [tenants.priority(caller) for caller in (of("steady"), of("heavy"), of("a"), None)]
    assert named == [Priority.LOW, Priority.HIGH, Priority.NORMAL, Priority.NORMAL]
    assert Tenants(None).priority(of("steady")) is Priority.HIGH


def test_a_changed_file_is_in_force_and_a_bad_one_is_not(tenants: Tenants, tmp_path: Path) -> None:
    (tmp_path / "tenants.yaml").write_text("default: {priority: low}")
    assert tenants.priority(of("heavy")) is Priority.LOW
    (tmp_path / "tenants.yaml").write_text("default: {requests_per_s: -1}")
    assert tenants.priority(of("heavy")) is Priority.LOW
    with pytest.raises(StartError, match=r"access\.tenants.*default\.requests_per_s"):
        Tenants(tmp_path / "tenants.yaml")


@pytest.mark.parametrize("line", ["token", "cert 0123", "issuer someone", "stolen"])
def test_a_line_that_revokes_nothing_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "revoked").write_text(f"# kept by hand\n\n{line}\n")
    with pytest.raises(ValueError, match="revoked:3:"):
        Revoked.of(tmp_path / "revoked")
