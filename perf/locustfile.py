"""What locust runs: `locust -f perf/locustfile.py --host 127.0.0.1:8100`, and then its web form.

Its options beside locust's own are at the end of `locust -f perf/locustfile.py --help`. Without the web form:

    locust -f perf/locustfile.py --host 127.0.0.1:8100 --headless --shape soak --users 8 --run-time 2m --html soak.html
    locust -f perf/locustfile.py --host 127.0.0.1:8100 --headless --users 4 --run-time 30s ContentUser StreamUser
    locust -f perf/locustfile.py --host 127.0.0.1:8100 --headless --users 4 --run-time 30s --tags repeated

Rows of type `stage` are the server's own times, from its answers; `sent late` tells how late paced users were. With
`--server-metrics HOST:PORT` (the gateway's `--metrics`) there are rows of type `triton queue`, `triton compute` (by
model, milliseconds) and `core %` (by process, of one core), too.
"""

# ruff: noqa: E402
from __future__ import annotations

from grpc.experimental import gevent as grpc_gevent

grpc_gevent.init_gevent()  # before anything of grpc is made; locust itself has patched the standard library

from wildgate_perf.load_test import listeners  # noqa: F401  # listens to locust's events
from wildgate_perf.load_test.shapes import Ramp, Soak, Spike, Step
from wildgate_perf.load_test.users import ContentUser, RepeatedUser, StreamUser, UriUser

__all__ = ["ContentUser", "Ramp", "RepeatedUser", "Soak", "Spike", "Step", "StreamUser", "UriUser"]
