"""Options of a load test, as locust's parser takes them, and the command that runs shapes one after the other."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from wildgate_perf.load_test.__main__ import locust_command, shapes_to_run
from wildgate_perf.load_test.options import LoadOptions, OptionsInvalid, add_options, target_of


def options(*arguments: str) -> LoadOptions:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return LoadOptions.of(vars(parser.parse_args(arguments)))


def test_options_come_from_the_command_line_or_the_web_form() -> None:
    assert (options().rate_per_user, options().pause_s) == (1.0, 1.0)
    given = options("--rate-per-user", "4", "--digest-first", "--videos", "v")
    assert (given.pause_s, given.digest_first, given.videos) == (0.25, True, Path("v"))
    form = LoadOptions.of({"rate_per_user": "0", "digest_first": "true", "user_count": "4"})
    assert (form.pause_s, form.digest_first) == (0.0, True)


def test_the_form_offers_what_is_not_about_this_machines_files() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    offered = {action.dest for action in parser._actions if getattr(action, "include_in_web_ui", False)}
    assert "rate_per_user" in offered
    assert not offered & {"uri_base", "uri_folder", "objectives", "summary", "salt"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"repeated_share": 1.5}, r"repeated_share: .*less than or equal to 1 \(is 1\.5\)"),
        ({"deadline_s": "0"}, r"deadline_s: .*greater than 0 \(is '0'\)"),
        ({"rate_per_user": float("nan")}, "rate_per_user: .*finite"),
        ({"catalogue": "2.5"}, "catalogue: .*integer"),
        ({"uri_folder": "/videos"}, "--uri-folder needs --uri-base"),
        ({"arrivals": "poisson", "rate_per_user": 0}, "--arrivals poisson needs --rate-per-user"),
    ],
)
def test_bad_values_are_refused_by_name(values: dict[str, object], words: str) -> None:
    with pytest.raises(OptionsInvalid, match=words):
        LoadOptions.of(values)


def test_metadata_goes_along_with_every_call() -> None:
    assert options("--metadata", "X-Tenant=a,x-trace==b=").connection.call_metadata() == (
        *(("x-tenant", "a"), ("x-trace", "=b=")),
    )
    with pytest.raises(OptionsInvalid, match="--metadata: 'tenant' is not NAME=VALUE"):
        _ = options("--metadata", "x=1,tenant").connection


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("http://127.0.0.1:8100/", "not the URL http://127.0.0.1:8100; try --host 127.0.0.1:8100"),
        ("https://example.com", "try --host example.com:8100"),
        ("localhost", "has no port; try --host localhost:8100"),
        (None, "--host HOST:PORT is missing"),
    ],
)
def test_what_is_no_target_is_refused_with_a_hint(host: str | None, hint: str) -> None:
    with pytest.raises(OptionsInvalid, match=hint):
        target_of(host)


@pytest.fixture
def run(tmp_path: Path) -> argparse.Namespace:
    return argparse.Namespace(users=4, seconds=30, out=tmp_path, peak=None, shape=None)


def option(command: list[str], name: str) -> str | None:
    return command[command.index(name) + 1] if name in command else None


def test_results_are_locusts_own_and_a_summary(run: argparse.Namespace) -> None:
    command = locust_command("soak", run, [])
    results = str(run.out / "soak")
    assert [option(command, name) for name in ("--html", "--csv", "--json-file", "--summary")] == [
        *(f"{results}.html", results, results, f"{results}_summary.json")
    ]
    assert "--master-port" not in command
    forked = locust_command("soak", run, ["--processes", "2"])
    assert option(forked, "--master-port") == option(forked, "--master-bind-port")


@pytest.mark.parametrize(
    ("shape", "peak", "others", "rate"),
    [
        ("soak", None, [], None),
        ("soak", 10.0, [], "1.5"),
        ("spike", 10.0, [], "3.75"),
        ("step", 10.0, [], "0"),
        ("soak", 10.0, ["--rate-per-user", "7"], "7"),
        ("step", None, ["--rate-per-user", "7"], "7"),
    ],
)
def test_shapes_are_sized_by_a_peak(
    run: argparse.Namespace, shape: str, peak: float | None, others: list[str], rate: str | None
) -> None:
    command = locust_command(shape, run, others, peak)
    assert option(command, "--rate-per-user") == rate
    assert option(command, "--arrivals") == ("poisson" if rate in ("1.5", "3.75") else None)


def test_the_peak_is_measured_without_cached_videos(run: argparse.Namespace) -> None:
    assert option(locust_command("step", run, []), "--exclude-tags") == "repeated"
    assert "--exclude-tags" not in locust_command("step", run, ["--tags", "repeated"])
    assert "--exclude-tags" not in locust_command("soak", run, [])


def test_step_goes_first_and_only_where_it_is_needed(run: argparse.Namespace) -> None:
    assert shapes_to_run(run, []) == ["step", "ramp", "soak", "spike"]
    run.shape = ["soak", "soak"]
    assert shapes_to_run(run, []) == ["step", "soak"]
    assert shapes_to_run(run, ["--rate-per-user=2"]) == ["soak"]
    run.peak = 20.0
    assert shapes_to_run(run, []) == ["soak"]
