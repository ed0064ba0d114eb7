"""What the case service tells Prometheus of what waits."""

from __future__ import annotations

from enforcement_under_test import Clock, EnforcementUnderTest

from wildgate_enforcement.database import Database
from wildgate_enforcement.figures import Figures
from wildgate_server.server_metrics import ServerMetrics


async def test_cases_and_consequences_that_wait_are_counted(
    service: EnforcementUnderTest, database: Database, clock: Clock
) -> None:
    metrics = ServerMetrics()
    figures = Figures(database, metrics, clock=lambda: clock.now_ms / 1e3)

    def told(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"wildgate_enforcement_{name}", labels)

    await figures.count()
    assert told("oldest_open_case_seconds") == told("outbox_waiting") == told("cases", state="open") == 0
    await service.open()
    await service.decide("ann/moderator", await service.open())
    clock.advance(90)
    await figures.count()
    assert [told("cases", state=state) for state in ("open", "confirmed", "harmless")] == [1, 1, 0]
    assert told("outbox_waiting") == 2, "a notice and an entry of the list of blocks"
    assert told("outbox_dead") == 0
    assert told("oldest_open_case_seconds") == 90
