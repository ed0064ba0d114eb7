"""Dashboards and rules against what running servers really tell: `make observe`.

`dashboards` reads deploy/grafana/dashboards.yaml, `manifests` makes Grafana's and the Prometheus operator's files of
their sources, `fleet` runs the servers, `prometheus` a Prometheus that scrapes them, `__main__` asks it every query.
"""
