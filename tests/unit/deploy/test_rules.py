"""Alerting rules, dashboards and the runbook: at one with each other, and with what is made of them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from rendered_manifests import DEPLOY

from wildgate_perf.observe.dashboards import panels
from wildgate_perf.observe.manifests import made
from wildgate_perf.observe.queries import all_queries, metrics_in, recorded, rules
from wildgate_server import errors

ALERTS = {rule["alert"] for rule in rules() if "alert" in rule}
RUNBOOK = (DEPLOY.parent / "docs" / "runbook.md").read_text()


def promtool(*arguments: str) -> str:
    if not (program := shutil.which("promtool")):
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run([program, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_do_what_their_tests_say() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "rules.test.yaml")


def test_each_alert_is_tested_and_has_its_page() -> None:
    tested = (DEPLOY / "prometheus" / "rules.test.yaml").read_text()
    assert {alert for alert in ALERTS if f'alertname="{alert}"' in tested} == ALERTS
    assert set(re.findall(r"^## (Wildgate\w+)$", RUNBOOK, re.MULTILINE)) == ALERTS


def test_alerts_say_how_grave_they_are() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]  # type: ignore[index]
            assert rule["annotations"]["summary"], rule["alert"]  # type: ignore[index]


def test_what_is_made_of_other_files_is_up_to_date() -> None:
    assert [file.name for file, text in made().items() if file.read_text() != text] == []


def test_queries_are_promql_and_name_only_what_is_recorded() -> None:
    for where, query in all_queries():
        unknown = {name for name in metrics_in(query) if ":" in name} - recorded()
        assert not unknown, where


def test_outcomes_in_queries_are_reasons_or_actions() -> None:
    reasons = {kind.reason.lower() for kind in vars(errors).values() if isinstance(getattr(kind, "reason", None), str)}
    known = reasons | {"allow", "review", "block", "cancelled"} | {"hit", "failed"}
    for where, query in all_queries():
        for _, values in re.findall(r'outcome(=~?)"([^"]+)"', query):
            assert set(values.split("|")) <= known, where


def test_titles_of_panels_differ() -> None:
    titles = [panel.title for panel in panels()]
    assert len(titles) == len(set(titles)) > 50
