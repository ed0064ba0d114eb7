"""Dashboards, rules and autoscalers ask only what running servers tell."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from wildgate_perf.observe.__main__ import Findings, page
from wildgate_perf.observe.fleet import fleet, load
from wildgate_perf.observe.queries import told

pytestmark = pytest.mark.triton


@pytest.mark.timeout(240)
def test_queries_name_only_what_running_servers_tell(tmp_path: Path) -> None:
    """`make observe` also asks a Prometheus; here it is names alone."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    findings = Findings()
    with fleet(tmp_path) as servers:
        asyncio.run(load(servers, seconds=1.0))
        known = told(page(address, path) for _, address, path in servers.scraped)
    findings.names(known)
    assert findings.faults == []
    assert {"wildgate_videos_total", "nv_inference_count", "wildgate_stage_seconds_bucket"} <= known
