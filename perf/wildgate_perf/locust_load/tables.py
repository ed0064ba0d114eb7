"""The tables of a run as CSV: locust's own, as they are at the end, and ours over time.

To be imported by locust alone. Locust's option `--csv` would write while locust closes the files.
"""

from __future__ import annotations

import csv
from pathlib import Path

from locust.env import Environment
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

from wildgate_perf.locust_load.figures import AFTER, per_second
from wildgate_perf.locust_load.record import RunRecord

__all__ = ["write_tables"]

_OVER_TIME = (
    "seconds",
    "phase",
    "users",
    "kind",
    "answered",
    "refused",
    "failed",
    "cached",
    "p50_ms",
    "p95_ms",
    "p99_ms",
)


def write_tables(folder: Path, environment: Environment, record: RunRecord) -> None:
    """Writes `locust_stats.csv`, `locust_failures.csv`, `locust_exceptions.csv` and `over_time.csv` into `folder`."""
    tables = StatsCSV(environment, PERCENTILES_TO_REPORT)
    for name, fill in (
        ("locust_stats", tables.requests_csv),
        ("locust_failures", tables.failures_csv),
        ("locust_exceptions", tables.exceptions_csv),
    ):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            fill(csv.writer(file))
    with (folder / "over_time.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_OVER_TIME)
        for time_s, kinds in per_second(record):
            moment = record.began + time_s
            users = next((u.count for u in reversed(record.users) if u.second <= moment), 0)
            for kind, came in kinds.items():
                counts = (came.answered, came.refused, came.failed, came.cached)
                times = [f"{came.latency.percentile_ms(share):.3g}" for share in (0.5, 0.95, 0.99)]
                writer.writerow([f"{time_s:.2f}", record.phase_at(moment) or AFTER, users, kind, *counts, *times])
