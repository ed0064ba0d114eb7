"""Results as files, targets, and their table."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from wildgate_perf.results import TARGETS, Target, figure_of, read, target_table, write


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


def test_targets_have_different_keys() -> None:
    keys = [target.key for target in TARGETS]
    assert len(set(keys)) == len(keys)


def test_dotted_keys_lead_into_objects() -> None:
    figures = {"share": {"mp4": 0.05, "ts": None, "ogg": float("nan")}, "flat": 2}
    assert figure_of(figures, "share.mp4") == 0.05
    assert figure_of(figures, "flat") == 2
    assert [figure_of(figures, key) for key in ("share.ts", "share.ogg", "share.webm", "no.way", "flat.deeper")] == [
        None
    ] * 5


def test_the_table_says_met_missed_or_not_measured() -> None:
    console = Console(width=100, file=io.StringIO())
    targets = (Target("good", at_least=1), Target("bad", at_most=1), Target("away", at_least=1), Target("just.known"))
    console.print(target_table({"good": 1.5, "bad": 1.5, "just": {"known": 0.25}}, targets))
    rows = {line.split()[0]: line.split()[1:] for line in console.file.getvalue().splitlines() if line.split()}
    assert rows["good"] == ["at", "least", "1", "1.5", "met"]
    assert rows["bad"] == ["at", "most", "1", "1.5", "missed"]
    assert rows["away"] == ["at", "least", "1", "-", "not", "measured"]
    assert rows["just.known"] == ["as", "low", "as", "it", "goes", "0.25"]


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
