"""A Prometheus of this machine's own that scrapes a fleet, and what it answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wildgate_perf.observe.dashboards import DEPLOY
from wildgate_perf.observe.fleet import Fleet
from wildgate_perf.server_parts import free_address

__all__ = ["Prometheus", "PrometheusMissing", "prometheus"]

_START_S = 30.0
_EACH = "3s"  # and as long for a scrape: on a busy machine one takes more than a second
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class PrometheusMissing(Exception):
    """There is no Prometheus here, or it did not start; says what to do."""


@dataclass(frozen=True)
class Prometheus:
    """Answers at `address`."""

    address: str

    def ask(self, query: str, at_s: float) -> list[dict[str, Any]]:
        """The series that `query` had at a time, in seconds since 1970. Raises ValueError in Prometheus's own words."""
        return list(self._get("query", query=query, time=at_s)["result"])

    def ask_over(self, query: str, start_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        """The same over a time, in seconds since 1970."""
        return list(self._get("query_range", query=query, start=start_s, end=end_s, step=step_s)["result"])

    def alerts(self) -> dict[str, tuple[str, str]]:
        """State (inactive, pending, firing) and last error of each alerting rule."""
        groups = self._get("rules")["groups"]
        found = (rule for group in groups for rule in group["rules"] if rule["type"] == "alerting")
        return {rule["name"]: (rule["state"], rule.get("lastError", "")) for rule in found}

    def _get(self, what: str, **options: Any) -> Any:
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(options)}"
        try:
            with _opener.open(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise ValueError(json.load(refused)["error"]) from None


@contextmanager
def prometheus(folder: Path, fleet: Fleet) -> Iterator[Prometheus]:
    """Runs Debian's Prometheus over `fleet` with the committed rules. Raises PrometheusMissing."""
    if not (program := shutil.which("prometheus")):
        raise PrometheusMissing("prometheus is not installed (Debian: apt-get install prometheus)")
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
    for group in rules["groups"]:
        group["interval"] = _EACH
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    jobs = [
        {"job_name": job, "metrics_path": path, "static_configs": [{"targets": [at], "labels": {"namespace": "here"}}]}
        for job, at, path in fleet.scraped
    ]
    settings = {"global": {"scrape_interval": _EACH}, "rule_files": ["rules.yaml"], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    address = free_address()
    options = ("--config.file", "prometheus.yml", "--storage.tsdb.path", "data", "--web.listen-address", address)
    log = folder / "prometheus.log"
    with log.open("wb") as written:
        process = subprocess.Popen((program, *options), cwd=folder, stdout=written, stderr=written)
    try:
        _wait(process, f"http://{address}/-/ready", log)
        yield Prometheus(address)
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    give_up = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < give_up:
        try:
            _opener.open(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise PrometheusMissing(f"prometheus did not start: {log.read_text()[-500:]}")
