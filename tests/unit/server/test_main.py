"""`wildgate serve` does not start with what does not fit together, and names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from patch_detector import POLICY

from wildgate_server.main import serve_command


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--model-repository", "no/such/place"], ["no/such/place", "start in a checkout"]),
        (["--backend.profile", "rtx"], ["model.rtx", "wildgate-build engine", "--target rtx"]),
    ],
    ids=["repository", "engine"],
)
def test_a_model_that_is_not_there_is_named(
    given: list[str], named: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert serve_command(given) == 2
    check_refusal(capfd, *named)


def test_a_version_that_is_not_as_published_is_named(own_models: Path, capfd: pytest.CaptureFixture[str]) -> None:
    [graph] = (own_models / "wildlife_detector").glob("*/model.onnx")
    graph.write_bytes(graph.read_bytes() + b"more")
    assert serve_command(["--model-repository", str(own_models)]) == 2
    check_refusal(capfd, f"{graph}: is blake3:")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (POLICY.replace("score: 0.5", "score: 1.45"), ["labels.yellow_patch.block.score", "1.45"]),
        (POLICY, ["elephant_tusk"]),  # it is another detector's
    ],
    ids=["broken", "of another detector"],
)
def test_a_bad_policy_is_named_with_what_is_wrong(
    text: str, named: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "mine.yaml"
    policy.write_text(text)
    assert serve_command(["--policy", str(policy)]) == 2
    check_refusal(capfd, str(policy), *named)


def check_refusal(capfd: pytest.CaptureFixture[str], *named: str) -> None:
    printed, told = capfd.readouterr()
    assert printed == ""
    for part in named:
        assert part in told
