"""What locust runs: `locust -f perf/wildgate_perf/locust_load/locustfile.py --host 127.0.0.1:8100`.

Its options beside locust's own: `locust -f ... --help`, at the end. Results: see `summary`. A run with a `--shape`
waits at its end for what is under way; locust's own `--run-time` does so in one process, but not with `--processes`.
"""

# ruff: noqa: E402
from __future__ import annotations

from grpc.experimental import gevent as grpc_gevent

grpc_gevent.init_gevent()  # before anything of grpc is made; locust itself has patched the standard library

import argparse
import os
import sys
from typing import NoReturn

from locust import events
from locust.env import Environment

from wildgate_perf.locust_load import shape_in_locust
from wildgate_perf.locust_load.asked_videos import AskedVideos, NoVideos, Popularity, load_videos
from wildgate_perf.locust_load.collecting import Collector
from wildgate_perf.locust_load.load_shapes import SHAPES
from wildgate_perf.locust_load.objectives import ObjectivesInvalid, read_objectives
from wildgate_perf.locust_load.options import NO_SHAPE, add_options, load_options
from wildgate_perf.locust_load.users import ContentUser, Load, RepeatedUser, StreamUser, UriUser, put_to_work

__all__ = ["ContentUser", "RepeatedUser", "StreamUser", "UriUser"]

_USAGE = 2
_SALT = os.urandom(16)  # read before locust forks its workers, so that they share one catalogue


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_options(parser: argparse.ArgumentParser) -> None:
    add_options(parser.add_argument_group("wildgate", "What is asked, how fast, and what it is held against"))


@events.init.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_: object) -> None:
    """Reads what the run needs; in every process, before any user."""
    parsed = environment.parsed_options
    assert parsed is not None  # locust's command line always has them
    try:
        options = load_options(parsed)
        objectives = read_objectives(options.objectives)
        asked = AskedVideos(
            load_videos(options.videos),
            _SALT,
            Popularity(options.catalogue, options.zipf_exponent),
            options.repeated_share,
        )
    except (ValueError, ObjectivesInvalid, NoVideos) as error:
        _refuse(str(error))
    if not environment.host:
        _refuse("--host HOST:PORT is missing: the gRPC target of a running server")
    environment.host = environment.host.removeprefix("grpc://")
    collector = Collector(environment, options, objectives)
    wanted = parsed.user_classes or [user.__name__ for user in environment.user_classes]
    working = put_to_work(Load(options, asked, collector))
    environment.user_classes[:] = [user for user in working if user.__name__ in wanted]
    if not environment.user_classes:
        _refuse(f"--mix has none of the users {', '.join(wanted)}")
    if not environment.stop_timeout:  # requests under way at the end count, and connections end in peace
        environment.stop_timeout = options.deadline_s + 1
    if options.shape != NO_SHAPE:
        plan = SHAPES[options.shape](options.shape_options)
        shape = shape_in_locust.ShapeOfRun(plan, collector, drain_s=environment.stop_timeout)
        environment.shape_class = shape
        shape.runner = environment.runner


def _refuse(why: str) -> NoReturn:
    print(f"wildgate: {why}", file=sys.stderr)
    sys.exit(_USAGE)
