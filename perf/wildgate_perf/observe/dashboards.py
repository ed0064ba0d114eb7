"""The dashboards' source: what panels there are and what each asks; and Grafana's JSON of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["DEPLOY", "Panel", "dashboards", "grafana_json", "panels"]

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
_SOURCE = DEPLOY / "grafana" / "dashboards.yaml"
_DATA_SOURCE = {"type": "prometheus", "uid": "$datasource"}
_WIDTH, _HEIGHT, _A_ROW = 6, 8, 4


@dataclass(frozen=True)
class Panel:
    """One picture: `queries` as the source has them, with NS and RATE. `empty` says why there may be no data."""

    title: str
    unit: str
    queries: tuple[str, ...]
    legends: tuple[str, ...]
    stacked: bool = False
    about: str = ""
    empty: str = ""
    gpu: bool = False
    main: bool = False

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Panel:
        """The panel of an entry. Raises KeyError, TypeError, ValueError for one that is not whole."""
        queries, legends = (
            tuple(value) if isinstance(value, list) else (value,) for value in (entry.pop("expr"), entry.pop("legend"))
        )
        if len(queries) != len(legends):
            raise ValueError(f"{entry['title']}: {len(queries)} queries, {len(legends)} legends")
        return cls(queries=queries, legends=legends, **entry)

    def asked(self, namespace: str, rate: str) -> tuple[str, ...]:
        """The queries for `namespace`, a regular expression, and a range such as `1m`."""
        matcher = f'namespace=~"{namespace}"'
        return tuple(re.sub(r"\bRATE\b", rate, re.sub(r"\bNS\b", matcher, query)) for query in self.queries)


def dashboards() -> dict[str, Any]:
    """The source, by the dashboards' names; panels as `Panel`."""
    source: dict[str, Any] = yaml.safe_load(_SOURCE.read_text())
    for board in source.values():
        for row in board["rows"]:
            row["panels"] = [Panel.of(entry) for entry in row["panels"]]
    return source


def panels() -> Iterator[Panel]:
    """All panels."""
    for board in dashboards().values():
        for row in board["rows"]:
            yield from row["panels"]


def grafana_json(name: str, board: dict[str, Any]) -> dict[str, Any]:
    """Grafana's model of a dashboard (schema 39, Grafana 10 and later)."""
    shown: list[dict[str, Any]] = []
    y = 0
    for row in board["rows"]:
        shown.append(_placed({"type": "row", "title": row["title"], "collapsed": False}, len(shown), 0, y, 24, 1))
        y += 1
        for index, panel in enumerate(row["panels"]):
            x, down = index % _A_ROW * _WIDTH, index // _A_ROW * _HEIGHT
            shown.append(_placed(_time_series(panel), len(shown), x, y + down, _WIDTH, _HEIGHT))
        y += -(-len(row["panels"]) // _A_ROW) * _HEIGHT
    return {
        "uid": f"wildgate-{name}",
        "title": board["title"],
        "tags": ["wildgate"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_data_source_choice(), _namespace_choice()]},
        "links": [{"type": "dashboards", "tags": ["wildgate"], "title": "wildgate", "asDropdown": True}],
        "panels": shown,
    }


def _placed(panel: dict[str, Any], number: int, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"id": number + 1, **panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _time_series(panel: Panel) -> dict[str, Any]:
    custom = {"fillOpacity": 20 if panel.stacked else 5, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    asked = zip(panel.asked("$namespace", "$__rate_interval"), panel.legends, strict=True)
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATA_SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _DATA_SOURCE, "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(asked)
        ],
    }


def _data_source_choice() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _namespace_choice() -> dict[str, Any]:
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": _DATA_SOURCE,
        "query": "label_values(wildgate_build_info, namespace)",
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
    }
