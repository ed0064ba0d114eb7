from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_gateway import FakeGateway
from typer.testing import CliRunner, Result
from verdicts import with_evidence

from wildgate_client.commands import app
from wildgate_proto.v1 import scoring_pb2


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def python_without(modules: list[str], program: str) -> subprocess.CompletedProcess[str]:
    absent = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in modules)
    return subprocess.run([sys.executable, "-c", absent + program], capture_output=True, text=True, timeout=60)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "good.mp4").write_bytes(b"video")
    return tmp_path / "good.mp4"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    (tmp_path / "bad.mp4").write_bytes(b"garbage")
    return tmp_path / "bad.mp4"


def test_all_scored_is_a_table_and_exit_0(command_target: str, good: Path):
    result = run("score", "--server", command_target, good)
    assert result.exit_code == 0, result.output
    (row,) = [line for line in result.stdout.splitlines() if "good.mp4" in line]
    cells = [str(good), "BLOCK", "live_tiger 0.75 at 1.0-3.0 s", "3 frames of 4.0 s, gap 2.0 s", "sample 5, infer 40"]
    assert [cell for cell in cells if cell not in row] == []


def test_some_failed_is_a_row_each_and_exit_1(command_target: str, good: Path, bad: Path, tmp_path: Path):
    result = run("score", "--server", command_target, good, bad, tmp_path / "missing.mp4")
    assert result.exit_code == 1
    rows = [line.split(maxsplit=3)[1:] for line in result.stdout.splitlines() if ".mp4" in line]
    assert [row[0] for row in rows] == ["BLOCK", "failed", "failed"]
    assert rows[1][1:] == ["NOT_A_VIDEO", "no media container"]
    assert rows[2][1] == "SOURCE_UNREADABLE"


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
    assert " ".join(scored) == (
        "file action labels detections coverage video model_version policy_version content_digest cached timings "
        "block_matches block_check case_id case_handoff"
    )
    assert (scored["file"], scored["action"]) == (str(good), "BLOCK")
    assert scored["labels"][0]["group"] == "LIVE_ANIMAL"
    assert scored["labels"][0]["spans"] == [{"start_s": 1.0, "end_s": 3.0}]
    assert scored["detections"][0]["box"] == {"x1": 0.25, "y1": 0.25, "x2": 0.75, "y2": 0.75}
    assert scored["timings"] == {"sample": 5.0, "infer": 40.0}
    [match] = scored["block_matches"]
    assert (match["kind"], match["action"], scored["block_check"]["state"]) == ("CONFIRMED", "BLOCK", "STALE")
    assert [frame["distance"] for frame in match["frames"]] == [12]


def test_uris_are_sent_as_uris(gateway: FakeGateway, command_target: str, good: Path):
    uris = ["file:///clips/a.mp4", "https://example.org/a.mp4", "s3://bucket/a.mp4", "gs://bucket/a.mp4"]
    assert run("score", "--concurrency", "1", "--server", command_target, *uris, good).exit_code == 0
    assert [request.uri for request in gateway.requests] == [*uris, ""]
    assert gateway.requests[-1].content == b"video"


def test_digest_first_sends_only_what_the_server_does_not_know(gateway: FakeGateway, command_target: str, good: Path):
    arguments = ("score", "--digest-first", "--server", command_target, good)
    assert run(*arguments).exit_code == 0
    assert [bool(request.content) for request in gateway.requests] == [False, True]
    gateway.known = {gateway.requests[0].content_digest}
    gateway.requests.clear()
    assert run(*arguments).exit_code == 0
    assert [bool(request.content) for request in gateway.requests] == [False]


@pytest.mark.parametrize(
    ("options", "scrutiny"),
    [((), scoring_pb2.SCRUTINY_UNSPECIFIED), (("--scrutiny", "high"), scoring_pb2.SCRUTINY_HIGH)],
)
def test_scrutiny_is_asked_for(
    gateway: FakeGateway, command_target: str, good: Path, options: tuple[str, ...], scrutiny: int
):
    assert run("score", "--server", command_target, "--digest-first", *options, good).exit_code == 0
    assert [request.scrutiny for request in gateway.requests] == [scrutiny] * 2, "by digest and by content"


def test_annotate_writes_frames(gateway: FakeGateway, command_target: str, good: Path, tmp_path: Path):
    gateway.verdict = with_evidence(1.0, 3.0)
    result = run("score", "--server", command_target, "--annotate", tmp_path / "frames", good)
    assert result.exit_code == 0
    assert gateway.requests[0].max_evidence_frames > 0
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["good-001.000s.jpg", "good-003.000s.jpg"]
    assert "2 annotated frames in" in result.stderr


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


@pytest.mark.parametrize("missing", ["typer", "rich.console", "PIL"])
def test_a_missing_extra_is_named(missing: str):
    done = python_without([missing], "from wildgate_client.cli import main; main()")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("pip install 'wildgate-client[cli]'")


def test_the_client_needs_no_extra():
    """`import wildgate_client` needs grpcio, protobuf and the google.rpc messages alone."""
    others = ["typer", "rich", "PIL", "blake3", "grpc_status", "pydantic", "numpy", "av", "yaml"]
    done = python_without(others, "import wildgate_client, wildgate_client.cli")
    assert done.returncode == 0, done.stderr
