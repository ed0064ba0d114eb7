"""Options of a run, as locust's parser takes them."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from wildgate_perf.locust_load.__main__ import (
    locust_command,
    main,
    mix_options,
    peak_of_steps,
    rate_options,
    shapes_to_run,
)
from wildgate_perf.locust_load.options import LoadOptions, add_options, load_options, mix_of


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", dest="num_users", type=int)
    parser.add_argument("--run-time", type=int)
    add_options(parser)
    return parser.parse_args(arguments)


def options(*arguments: str) -> LoadOptions:
    return load_options(parsed(*arguments))


def test_defaults_ask_for_no_uris_where_there_is_no_base() -> None:
    found = options()
    assert found.mix == {"content": 2, "stream": 1, "uri": 0, "repeated": 2}
    assert found.kinds == ("content", "stream", "repeated, scored", "repeated, cached")
    assert options("--uri-base", "file:///v/").mix["uri"] == 1


def test_users_are_paced_but_for_steps() -> None:
    assert (options().rate_per_user, options().pause_s) == (1.0, 1.0)
    assert (options("--shape", "step").rate_per_user, options("--shape", "step").pause_s) == (0.0, 0.0)
    assert options("--shape", "step", "--rate-per-user", "4").pause_s == 0.25


def test_locusts_own_options_size_the_shape() -> None:
    found = options("--shape", "step", "--users", "40", "--run-time", "90", "--step-s", "5")
    shape = found.shape_options
    assert (shape.users, shape.seconds, shape.step_users, shape.step_s) == (40, 90.0, 10, 5.0)
    assert found.out == Path("out/perf/step")


def test_steps_fit_the_time_there_is() -> None:
    shape = options("--shape", "step", "--users", "10", "--run-time", "50").shape_options
    assert (shape.step_users, shape.step_s) == (2, 10.0)


def test_asking_by_digest_has_kinds_of_its_own() -> None:
    assert options("--mix", "repeated=1", "--digest-first").kinds[2:] == ("digest, cached", "digest, unknown")
    assert options("--mix", "content=1", "--digest-first").kinds == ("content",)


def test_uri_users_need_a_base() -> None:
    with pytest.raises(ValueError, match="--mix has uri=3, which needs --uri-base"):
        options("--mix", "uri=3")


def test_a_folder_for_uris_needs_a_base() -> None:
    with pytest.raises(ValueError, match="--uri-folder needs --uri-base"):
        options("--uri-folder", "/videos")
    assert options("--uri-folder", "/videos", "--uri-base", "file:///videos/").uri_folder == "/videos"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mix", "contents=1"), "'contents' is no kind of user; there are content, stream"),
        (("--mix", "content=-1"), "a weight is a whole number"),
        (("--mix", "content=0"), "has no users"),
        (("--repeated-share", "1.5"), "'1.5' is not a number from 0 to 1"),
        (("--deadline-s", "0"), "'0' is not a number above 0"),
        (("--rate-per-user", "nan"), "'nan' is not a number 0 or more"),
        (("--catalogue", "2.5"), "'2.5' is not a number above 0"),
        (("--shape", "square"), "invalid choice: 'square'"),
    ],
)
def test_bad_values_are_refused_by_name(
    arguments: tuple[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parsed(*arguments)
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert f"argument {arguments[0]}" in told
    assert words in told


def test_processes_of_a_run_meet_at_a_port_of_their_own() -> None:
    run = argparse.Namespace(users=4, seconds=30, out="o")
    plain, forked = locust_command("soak", run, []), locust_command("soak", run, ["--processes", "2"])
    assert "--master-port" not in plain
    assert forked[forked.index("--master-port") + 1] == forked[forked.index("--master-bind-port") + 1]
    assert plain[plain.index("--out") + 1] == "o/soak"


def a_run(tmp_path: Path, peak: float | None = None) -> argparse.Namespace:
    return argparse.Namespace(users=4, seconds=30, out=str(tmp_path), peak=peak)


def steps_found(folder: Path, *answered_per_s: float) -> None:
    (folder / "step").mkdir(exist_ok=True)
    phases = {f"{place} users": {"answered_per_s": per_s} for place, per_s in enumerate(answered_per_s)}
    (folder / "step/summary.json").write_text(json.dumps({"phases": phases}))


def test_shapes_are_sized_by_a_peak() -> None:
    assert rate_options("soak", 4, None, []) == []
    assert rate_options("soak", 4, 10.0, []) == ["--rate-per-user", "1.5"]
    assert rate_options("spike", 4, 10.0, []) == ["--rate-per-user", "3.75"]
    assert rate_options("step", 4, 10.0, []) == []
    assert rate_options("soak", 4, 10.0, ["--rate-per-user", "7"]) == []


def test_the_peak_is_that_of_the_best_step(tmp_path: Path) -> None:
    assert peak_of_steps(tmp_path) is None
    steps_found(tmp_path, 10.0, 9.0)
    assert peak_of_steps(tmp_path) == 10
    steps_found(tmp_path, 0.0)
    assert peak_of_steps(tmp_path) is None
    (tmp_path / "step/summary.json").write_text("{")
    assert peak_of_steps(tmp_path) is None


def test_what_an_earlier_run_found_sizes_nothing(tmp_path: Path) -> None:
    steps_found(tmp_path, 1000.0)
    run = a_run(tmp_path)
    assert "--rate-per-user" not in locust_command("soak", run, [])
    assert shapes_to_run(["soak"], run, []) == ["step", "soak"]
    assert shapes_to_run(["spike", "step", "spike"], run, []) == ["step", "spike"]
    assert shapes_to_run(["step"], run, []) == ["step"]


def test_a_run_is_sized_by_its_own_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps_found(tmp_path, 1000.0)
    commands: list[list[str]] = []

    def locust(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        shape = command[command.index("--shape") + 1]
        assert not (tmp_path / shape / "summary.json").exists()  # what was there is of another run
        commands.append(command)
        if shape == "step":
            steps_found(tmp_path, 8.0)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", locust)
    assert main(["--host", "h:1", "--shape", "soak", "--users", "4", "--out", str(tmp_path)]) == 0
    step, soak = commands
    assert "--rate-per-user" not in step
    assert step[step.index("--mix") + 1].endswith("repeated=0")
    assert soak[soak.index("--rate-per-user") + 1] == "1.2"  # 60 % of 8/s, by 4 users
    assert "--mix" not in soak
    commands.clear()
    assert main(["--host", "h:1", "--shape", "soak", "--users", "4", "--peak", "20", "--out", str(tmp_path)]) == 0
    [soak] = commands
    assert soak[soak.index("--rate-per-user") + 1] == "3"


def test_steps_are_not_needed_where_the_load_is_given(tmp_path: Path) -> None:
    assert shapes_to_run(["soak"], a_run(tmp_path, peak=20.0), []) == ["soak"]
    assert shapes_to_run(["soak"], a_run(tmp_path), ["--rate-per-user=2"]) == ["soak"]


def test_the_peak_is_measured_without_cached_videos() -> None:
    def mix(*others: str) -> Mapping[str, int]:
        [_, text] = mix_options("step", others)
        return mix_of(text)

    assert mix() == {"content": 2, "stream": 1, "uri": 0, "repeated": 0}
    assert mix("--uri-base", "file:///v/")["uri"] == 1
    assert mix("--mix", "content=1,repeated=5") == {"content": 1, "stream": 0, "uri": 0, "repeated": 0}
    assert mix_options("step", ["--mix", "repeated=1"]) == []  # or nobody would be left
    assert mix_options("step", ["--mix=nobody=1"]) == []
    assert mix_options("step", ["--rate-per-user", "1"]) == []
    assert mix_options("soak", []) == []
