"""Files that are made of others and committed: Grafana's dashboards, and the rules for the Prometheus operator.

python -m wildgate_perf.observe.manifests --write|--check
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from wildgate_perf.observe.dashboards import DEPLOY, dashboards, grafana_json

__all__ = ["made"]

_RULES = DEPLOY / "prometheus" / "rules.yaml"
_HEAD = f"# Made of {_RULES.name} by `python -m wildgate_perf.observe.manifests --write`.\n"


def made() -> dict[Path, str]:
    """What each file should hold."""
    files = {
        DEPLOY / "grafana" / f"{name}.json": _by_panel(grafana_json(name, board))
        for name, board in dashboards().items()
    }
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "wildgate"},
        "spec": yaml.safe_load(_RULES.read_text()),
    }
    files[DEPLOY / "prometheus" / "prometheus-rule.yaml"] = _HEAD + yaml.safe_dump(rule, sort_keys=False, width=1000)
    return files


def _by_panel(board: dict[str, Any]) -> str:
    """JSON with a line for each panel, so that a change shows."""
    panels = ",\n".join(map(json.dumps, board.pop("panels")))
    return f'{json.dumps(board)[:-1]}, "panels": [\n{panels}\n]}}\n'


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the files, or says which are not as they should be; the exit status is 1 then."""
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.observe.manifests", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="say which are not as they should be")
    options = parser.parse_args(arguments)
    stale = [file for file, text in made().items() if not file.exists() or file.read_text() != text]
    for file in stale:
        if options.write:
            file.write_text(made()[file])
        else:
            print(f"{file}: is stale; run `make dashboards`", file=sys.stderr)
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
