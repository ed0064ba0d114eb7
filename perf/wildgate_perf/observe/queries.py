"""Which metrics queries name, and which running servers tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

from wildgate_perf.observe.dashboards import DEPLOY, panels

__all__ = ["GPU_METRICS", "all_queries", "metrics_in", "recorded", "rules", "told"]

GPU_METRICS = frozenset(
    {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes", "nv_gpu_power_usage"}
)
"""What Triton tells of GPUs, by its documentation; a machine without one cannot show it."""

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}


def metrics_in(query: str) -> set[str]:
    """The metrics that a query names. Raises ValueError for one that is not PromQL."""
    names: set[str] = set()

    def note(node: object) -> bool:
        if isinstance(node, promql_parser.VectorSelector) and node.name:
            names.add(node.name)
        return True

    promql_parser.walk(promql_parser.parse(query), note)
    return names


def told(pages: Iterable[str]) -> set[str]:
    """The metrics of `/metrics` pages, those included that have no value yet."""
    names: set[str] = set()
    for page in pages:
        for family in text_string_to_metric_families(page):
            names |= {family.name, *(sample.name for sample in family.samples)}
            names |= {family.name + suffix for suffix in _SUFFIXES.get(family.type, ())}
    return names


def rules() -> list[dict[str, str]]:
    """Every recording and alerting rule."""
    document = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def recorded() -> set[str]:
    """The metrics that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def all_queries() -> Iterator[tuple[str, str]]:
    """Where each query stands, and the query: panels, rules, autoscalers of both kinds."""
    for panel in panels():
        for query in panel.asked(".*", "1m"):
            yield f"panel {panel.title}", query
    for rule in rules():
        yield f"rule {rule.get('alert') or rule['record']}", rule["expr"]
    components = DEPLOY / "kubernetes" / "components"
    adapter = yaml.safe_load((components / "autoscaling" / "adapter-rules.yaml").read_text())
    for rule in adapter["rules"] + adapter["externalRules"]:
        query = rule["metricsQuery"].replace("<<.GroupBy>>", "namespace").replace("<<.LabelMatchers>>", 'namespace="x"')
        yield f"adapter rule {rule['name']['as']}", query
        yield f"adapter rule {rule['name']['as']}", rule["seriesQuery"]
    for file in sorted(components.glob("keda*/scaled-object*.yaml")):
        for scaled in yaml.safe_load_all(file.read_text()):
            for trigger in scaled["spec"]["triggers"]:
                if trigger["type"] == "prometheus":
                    yield f"ScaledObject {scaled['metadata']['name']}", trigger["metadata"]["query"]
