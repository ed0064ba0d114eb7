"""What happens at locust's events: options are added, checked and read; objectives decide the exit status.

Only the locustfile imports this, because locust patches the standard library.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import flask
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner
from locust.web import WebUI

from wildgate_perf.load_test.kinds import Kind
from wildgate_perf.load_test.load_shapes import SHAPES
from wildgate_perf.load_test.objectives import ObjectivesInvalid, judge, read_objectives
from wildgate_perf.load_test.options import LoadOptions, OptionsInvalid, add_options, target_of
from wildgate_perf.load_test.phases import Phases
from wildgate_perf.load_test.server_side import ServerSide
from wildgate_perf.load_test.shapes import PlannedShape
from wildgate_perf.load_test.users import ScoringUser, UriUser
from wildgate_perf.load_test.videos import NoVideos, VideoSource, load_videos
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import write

_MISSED, _USAGE = 1, 2
_SERVER_SIDE_S = 2.0
_INVALID = (OptionsInvalid, ObjectivesInvalid, NoVideos)
_log = logging.getLogger(__name__)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("wildgate", "What is asked, how fast, and what it is held against")
    group.add_argument(
        "--shape",
        choices=SHAPES,
        help="How the number of users changes, up to --users over --run-time. The web form offers the same.",
    )
    add_options(group)
    parser.set_defaults(class_picker=True)  # which is what offers shapes and kinds of users in the form


@events.init.add_listener  # type: ignore[untyped-decorator]
def _on_init(environment: Environment, web_ui: WebUI | None = None, **_: object) -> None:
    """Says what cannot run before anything does. Workers are told everything by their master when a test starts."""
    parsed = environment.parsed_options
    assert parsed is not None  # locust's command line always has them
    if isinstance(environment.runner, WorkerRunner):
        return
    try:
        options = _checked(vars(parsed))
        if web_ui is None or environment.host:
            target_of(environment.host)
    except _INVALID as error:
        _refuse(str(error))
    environment.shape_class = None  # locust would take the first of the file
    if parsed.shape:
        environment.shape_class = (environment.available_shape_classes or {})[parsed.shape.capitalize()]
        environment.shape_class.runner = environment.runner
    _choose_users(environment, parsed, options)
    if not environment.stop_timeout:  # requests in flight at the end count, and connections end in peace
        environment.stop_timeout = options.deadline_s + 1
    if web_ui is not None:
        web_ui.userclass_picker_is_active &= environment.shape_class is None
        assert web_ui.app is not None
        web_ui.app.before_request(lambda: _check_form(environment))


def _choose_users(environment: Environment, parsed: argparse.Namespace, options: LoadOptions) -> None:
    """Leaves out users without a task of the wanted tags, and those who ask by URI where there is no base."""
    wanted, unwanted = set(parsed.tags or ()), set(parsed.exclude_tags or ())

    def takes_part(user: Any) -> bool:
        tagged = any((not wanted or tags & wanted) and not tags & unwanted for tags in map(_tags, user.tasks))
        return tagged and (bool(options.uri_base) or user is not UriUser)

    if UriUser.__name__ in (parsed.user_classes or ()) and not options.uri_base:
        _refuse(f"{UriUser.__name__} needs --uri-base, by which the server finds the files")
    available = environment.available_user_classes or {}
    for name in [name for name, user in available.items() if not takes_part(user)]:
        del available[name]
    environment.user_classes[:] = [user for user in environment.user_classes if takes_part(user)]
    if not environment.user_classes:
        _refuse("no user has a task with these tags; there are content, repeated, stream and uri")


def _tags(task: object) -> set[str]:
    tags: set[str] = getattr(task, "locust_tag_set", set())
    return tags


def _check_form(environment: Environment) -> flask.Response | None:
    """Answers the web form where what it asks for cannot run, as locust answers for its own fields."""
    if flask.request.method != "POST" or not flask.request.path.endswith("/swarm"):
        return None
    form = flask.request.form.to_dict()
    try:
        target_of(form.get("host", environment.host))
        _checked({**vars(environment.parsed_options or argparse.Namespace()), **form})
    except _INVALID as error:
        return flask.jsonify({"success": False, "message": str(error), "host": environment.host})
    return None


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _on_test_start(environment: Environment, **_: object) -> None:
    """Reads the options as they are now, in every process; the master's salt comes with them."""
    parsed, shape = environment.parsed_options, environment.shape_class
    assert parsed is not None
    if not isinstance(environment.runner, WorkerRunner):
        parsed.salt = os.urandom(16).hex()
        PlannedShape.phases = Phases()
        phase = shape.first_phase if isinstance(shape, PlannedShape) else "whole run"
        PlannedShape.phases.begin(phase, environment.stats.entries)
    try:
        options = LoadOptions.of(vars(parsed))
        ScoringUser.options, ScoringUser.videos = options, VideoSource(options, load_videos(options.videos))
        if options.server_metrics and not isinstance(environment.runner, WorkerRunner):
            assert environment.runner is not None
            environment.runner.greenlet.spawn(_watch_server, environment, options.server_metrics)
    except _INVALID as error:
        _log.error("%s", error)
        environment.process_exit_code = _USAGE
        assert environment.runner is not None
        environment.runner.quit()


def _watch_server(environment: Environment, address: str) -> None:
    """Logs the server's side for as long as the test runs."""
    stats: Any = environment.stats
    server = ServerSide(address, lambda name, kind, value: stats.get(name, kind).log(value, 0))
    runner = environment.runner
    while runner is not None and runner.state not in ("stopping", "stopped", "cleanup"):
        try:
            server.read()
        except OSError as error:
            _log.warning("--server-metrics %s: %s", address, error)
        time.sleep(_SERVER_SIDE_S)


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
def _on_test_stopping(**_: object) -> None:
    PlannedShape.phases.end()


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _on_quitting(environment: Environment, **_: object) -> None:
    """Has locust exit by the objectives, whatever its own counts say, and tells which are missed."""
    parsed = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner) or not getattr(parsed, "salt", None):
        return  # no test has started
    options = LoadOptions.of(vars(parsed))
    figures = PlannedShape.phases.figures(environment.stats.entries)
    shape = type(environment.shape_class).__name__.lower() if environment.shape_class else None
    kinds = [kind for user in environment.user_classes if issubclass(user, ScoringUser) for kind in user.makes]
    kinds += [Kind.SENT_LATE] if options.rate_per_user else []
    judged = judge(read_objectives(options.objectives), shape, kinds, figures)
    whole = figures[None, None]
    for entry in judged:
        print(entry, file=sys.stderr)
    if not whole["answered"]:
        print("MISSED: nothing was answered", file=sys.stderr)
    passed = bool(whole["answered"]) and all(entry.met for entry in judged)
    environment.process_exit_code = 0 if passed else _MISSED
    if options.summary:
        summary = {
            "shape": shape,
            "arrivals": options.arrivals,
            "machine": machine_facts(("grpcio", "locust", "gevent")),
            "passed": passed,
            "objectives": [asdict(entry) | {"met": entry.met} for entry in judged],
            "whole": whole,
            "phases": {phase: found for (phase, kind), found in figures.items() if phase and not kind},
            "kinds": {kind: found for (phase, kind), found in figures.items() if kind and not phase},
        }
        write(Path(options.summary), summary)


def _checked(values: dict[str, Any]) -> LoadOptions:
    """The options, where all that they name can be used."""
    options = LoadOptions.of(values)
    read_objectives(options.objectives)
    load_videos(options.videos)
    _ = options.connection
    return options


def _refuse(why: str) -> NoReturn:
    print(f"wildgate: {why}", file=sys.stderr)
    sys.exit(_USAGE)
