from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import typer
from fake_gateway import FakeGateway
from typer.testing import CliRunner, Result
from verdicts import with_evidence

from wildgate_client.commands import app


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.mp4"
    path.write_bytes(b"video")
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"garbage")
    return path


def test_all_scored_is_a_table_and_exit_0(command_target: str, good: Path):
    result = run("score", "--server", command_target, good)
    assert result.exit_code == 0, result.output
    (row,) = [line for line in result.stdout.splitlines() if "good.mp4" in line]
    for cell in (
        str(good),
        "BLOCK",
        "live_tiger 0.75 at 1.0-3.0 s",
        "3 frames of 4.0 s, gap 2.0 s",
        "sample 5, infer 40",
    ):
        assert cell in row


def test_some_failed_is_a_row_each_and_exit_1(command_target: str, good: Path, bad: Path, tmp_path: Path):
    result = run("score", "--server", command_target, good, bad, tmp_path / "missing.mp4")
    assert result.exit_code == 1
    rows = [line for line in result.stdout.splitlines() if ".mp4" in line]
    assert [row.split()[1] for row in rows] == ["BLOCK", "failed", "failed"]
    assert "NOT_A_VIDEO" in rows[1]
    assert "no media container" in rows[1]
    assert "SOURCE_UNREADABLE" in rows[2]


def test_json_is_one_object_per_video_in_the_order_asked(command_target: str, good: Path, bad: Path):
    result = run("score", "--json", "--concurrency", "1", "--server", command_target, bad, good)
    assert result.exit_code == 1
    failed, scored = [json.loads(line) for line in result.stdout.splitlines()]
    assert failed == {
        "file": str(bad),
        "error": {
            "code": "INVALID_ARGUMENT",
            "reason": "NOT_A_VIDEO",
            "message": "no media container",
            "metadata": {},
            "retry_after_s": None,
            "field": None,
        },
    }
    assert list(scored) == [
        "file",
        "action",
        "labels",
        "detections",
        "coverage",
        "video",
        "model_version",
        "policy_version",
        "content_digest",
        "cached",
        "timings",
    ]
    assert scored["file"] == str(good)
    assert scored["action"] == "BLOCK"
    assert scored["labels"][0]["group"] == "LIVE_ANIMAL"
    assert scored["labels"][0]["spans"] == [{"start_s": 1.0, "end_s": 3.0}]
    assert scored["detections"][0]["box"] == {"x1": 0.25, "y1": 0.25, "x2": 0.75, "y2": 0.75}
    assert scored["timings"] == {"sample": 5.0, "infer": 40.0}


def test_uris_are_sent_as_uris(gateway: FakeGateway, command_target: str, good: Path):
    uris = ["file:///clips/a.mp4", "https://example.org/a.mp4", "s3://bucket/a.mp4", "gs://bucket/a.mp4"]
    assert run("score", "--concurrency", "1", "--server", command_target, *uris, good).exit_code == 0
    assert [request.uri for request in gateway.requests] == [*uris, ""]
    assert gateway.requests[-1].content == b"video"


def test_digest_first_sends_only_what_is_not_known(gateway: FakeGateway, command_target: str, good: Path):
    arguments = ("score", "--digest-first", "--server", command_target, good)
    assert run(*arguments).exit_code == 0
    assert [bool(request.content) for request in gateway.requests] == [False, True]
    gateway.known = {gateway.requests[0].content_digest}
    gateway.requests.clear()
    assert run(*arguments).exit_code == 0
    assert [bool(request.content) for request in gateway.requests] == [False]


def test_annotate_writes_frames(gateway: FakeGateway, command_target: str, good: Path, tmp_path: Path):
    gateway.verdict = with_evidence(1.0, 3.0)
    result = run("score", "--server", command_target, "--annotate", tmp_path / "frames", good)
    assert result.exit_code == 0
    assert gateway.requests[0].max_evidence_frames > 0
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [
        "good-001.000s.jpg",
        "good-003.000s.jpg",
    ]
    assert "2 annotated frames in" in result.stderr


def test_without_annotate_no_frames_are_asked_for(gateway: FakeGateway, command_target: str, good: Path):
    run("score", "--server", command_target, good)
    assert gateway.requests[0].max_evidence_frames == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["score"],
        ["score", "--no-such-option", "clip.mp4"],
        ["score", "--concurrency", "0", "clip.mp4"],
        ["score", "--deadline-s", "0", "clip.mp4"],
        ["score", "--annotate", __file__, "clip.mp4"],
        ["score", "--annotate", f"{__file__}/below", "clip.mp4"],
        ["no-such-command"],
    ],
)
def test_usage_errors_exit_2(arguments: list[str]):
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["--help"], ["--listen", "127.0.0.1:0", "--verbose", "-x", "words"], []])
@pytest.mark.parametrize("command", ["serve", "capacity"])
def test_what_another_distribution_brings_gets_its_arguments_untouched(
    monkeypatch: pytest.MonkeyPatch, command: str, arguments: list[str]
):
    seen: list[list[str]] = []
    module = ModuleType("brought_along")
    module.run = lambda given: seen.append(given) or 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "brought_along", module)
    point = metadata.EntryPoint(command, "brought_along:run", "wildgate.commands")
    monkeypatch.setattr(metadata, "entry_points", lambda group: metadata.EntryPoints([point]))
    assert run(command, *arguments).exit_code == 7
    assert seen == [arguments]


@pytest.mark.parametrize(("command", "distribution"), [("serve", "wildgate"), ("capacity", "wildgate-perf")])
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, distribution: str
):
    monkeypatch.setattr(metadata, "entry_points", lambda group: metadata.EntryPoints())
    result = run(command)
    assert result.exit_code == 2
    assert result.stderr == f"wildgate {command}: needs {distribution}; install it with: pip install {distribution}\n"


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("typer", ["score", "clip.mp4"], "wildgate-client[cli]"),
        ("rich.console", ["score", "clip.mp4"], "wildgate-client[cli]"),
        ("PIL", ["--help"], "wildgate-client[cli]"),
        ("pydantic_settings", ["serve"], "wildgate"),
    ],
)
def test_a_missing_extra_is_named(missing: str, arguments: list[str], extra: str):
    program = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = {arguments!r};"
        "from wildgate_client.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith((f"pip install '{extra}'", f"pip install {extra}"))


def test_the_client_needs_no_extra():
    """Only grpcio, protobuf and the google.rpc messages lie beneath `import wildgate_client`."""
    program = (
        "import sys\n"
        "for name in ('typer', 'rich', 'PIL', 'grpc_status', 'pydantic', 'numpy', 'av', 'yaml'):\n"
        "    sys.modules[name] = None\n"
        "import wildgate_client, wildgate_client.cli"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_help_says_which_options_do_not_go_together():
    score = typer.main.get_command(app).commands["score"]
    (digest_first,) = [option for option in score.params if option.name == "digest_first"]
    assert "--annotate switches it off" in digest_first.help
