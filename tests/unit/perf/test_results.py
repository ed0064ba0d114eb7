"""Results as files, targets, and their table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wildgate_perf.results import Target, read, write


def test_a_target_is_met_from_its_own_side() -> None:
    at_least, at_most = Target("rate", at_least=0.9), Target("cost", at_most=2)
    assert [at_least.met_by(figure) for figure in (0.9, 0.89, None, float("nan"))] == [True, False, None, None]
    assert [at_most.met_by(figure) for figure in (2, 2.1, -1, None)] == [True, False, True, None]
    assert Target("known").met_by(7) is None
    assert at_most.met_by(float("inf")) is False
    assert str(Target("x", unbounded="for information")) == "for information"
    assert [str(target) for target in (at_least, at_most, Target("x"))] == [
        "at least 0.9",
        "at most 2",
        "as low as it goes",
    ]


def test_results_are_written_whole_and_finite_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "results" / "latest.json"
    assert read(file) == {}
    write(file, {"figure": 1.5, "none": float("nan"), "deep": [{"x": float("inf")}, (1, 2)], "path": tmp_path})
    assert read(file) == {"figure": 1.5, "none": None, "deep": [{"x": None}, [1, 2]], "path": str(tmp_path)}
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", ["{", "[1]", "7"])
def test_what_is_no_object_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.json"):
        read(file)


def test_a_failed_write_leaves_the_old_results(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write(file, {"old": 1})
    with pytest.raises(TypeError):
        write(file, {"new": object()})
    assert json.loads(file.read_text()) == {"old": 1}
