"""Locust's statistics to figures by phase, and figures to judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from wildgate_perf.load_test.load_shapes import WARM_UP
from wildgate_perf.load_test.objectives import DEFAULT_FILE, Objectives, ObjectivesInvalid, judge, read_objectives
from wildgate_perf.load_test.phases import FiguresBy, Phases


@dataclass
class Row:
    """A row of locust's statistics."""

    num_requests: int = 0
    num_failures: int = 0
    response_times: dict[int, int] = field(default_factory=dict)

    def add(self, count: int, took_ms: int, *, failed: bool = False) -> None:
        self.num_requests += count
        self.num_failures += count * failed
        self.response_times[took_ms] = self.response_times.get(took_ms, 0) + count


def run() -> FiguresBy:
    """10 s of warm-up, 20 s held: two answers a second, a few of them cached, one refused and one failed."""
    seconds = iter((0.0, 10.0, 30.0))
    phases = Phases(lambda: next(seconds))
    names = ("content", "uri", "uri (refused)", "repeated, cached", "digest, unknown", "sent late", "infer")
    rows = {(name, "Score"): Row() for name in names}
    phases.begin(WARM_UP, rows)
    rows["content", "Score"].add(20, 900)
    phases.begin("held", rows)
    phases.begin("held", rows)  # still the same
    rows["content", "Score"].add(38, 100)
    rows["content", "Score"].add(1, 400)
    rows["repeated, cached", "Score"].add(1, 5)
    rows["uri (refused)", "Score"].add(1, 1, failed=True)
    rows["uri", "Score"].add(1, 2, failed=True)
    rows["digest, unknown", "Score"].add(50, 1)
    rows["sent late", "Score"].add(30, 250)
    rows["infer", "Score"].add(50, 60)
    return phases.figures(rows)


def test_a_run_counts_neither_its_warm_up_nor_what_is_no_answer_about_a_video() -> None:
    whole = run()[None, None]
    assert whole["seconds"] == 20
    assert [whole[name] for name in ("asked", "answered", "refused", "failed")] == [42, 40, 1, 1]
    assert (whole["answered_per_s"], whole["asked_per_s"]) == (2, 2.1)
    assert (whole["p50_ms"], whole["p99_ms"]) == (100, 400)  # refused ones answer at once, and do not count
    assert whole["failed_share"] == pytest.approx(1 / 42)
    assert whole["cached_share"] == pytest.approx(1 / 40)


def test_figures_come_by_phase_and_kind() -> None:
    figures = run()
    assert figures[WARM_UP, None]["p50_ms"] == 900
    assert figures["held", "uri"]["asked"] == 2
    assert figures[None, "digest, unknown"]["answered"] == 50
    assert figures[None, "sent late"]["p95_ms"] == 250
    assert (WARM_UP, "uri") not in figures
    assert not {kind for _, kind in figures} & {"infer", "stream"}


def met(*entries: dict[str, object], shape: str | None = "soak") -> list[bool]:
    objectives = Objectives.model_validate({"objectives": entries})
    return [each.met for each in judge(objectives, shape, ("content", "uri", "sent late"), run())]


@pytest.mark.parametrize(
    ("entry", "holds"),
    [
        ({"kind": "content", "p50_ms": 100, "p99_ms": 95}, [True, False]),
        ({"answered_per_s": 2}, [True]),
        ({"answered_per_s": 2.1}, [False]),
        ({"failed_share": 0.03, "refused_share": 0.01}, [True, False]),
        ({"phase": WARM_UP, "p95_ms": 500}, [False]),
        ({"kind": "sent late", "p95_ms": 200}, [False]),
        ({"phase": "no such phase", "p50_ms": 1e9}, [False]),  # what was not measured meets no bound
        ({"shape": "spike", "p50_ms": 1}, []),  # of another shape
        ({"kind": "stream", "p50_ms": 1}, []),  # no such user took part
    ],
)
def test_bounds_hold_or_do_not(entry: dict[str, object], holds: list[bool]) -> None:
    assert met(entry) == holds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "objectives: [{kind: contents, p50_ms: 1}]",
            r"objectives\.0\.kind: Input .*\(is 'contents'\)",
        ),
        ("objectives: [{shape: square, p50_ms: 1}]", r"objectives\.0\.shape: .*'square'"),
        ("objectives: [{kind: uri}]", r"objectives\.0: .*bounds nothing: give one of p50_ms"),
        ("objectives: [{p50_ms: -1}]", r"objectives\.0\.p50_ms: .*greater than 0 \(is -1\)"),
        ("objectives: [{failed_share: 2}]", r"objectives\.0\.failed_share: .*\(is 2\)"),
        ("objectives: [{p75_ms: 1}]", r"objectives\.0\.p75_ms: "),
        ("objectives: []", "objectives: "),
        ("objectives: [", "YAML"),
    ],
)
def test_bad_objectives_are_refused_by_field_and_value(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ObjectivesInvalid, match=words) as refused:
        read_objectives(file)
    assert str(file) in str(refused.value)


def test_the_shipped_objectives_bound_every_shape() -> None:
    shipped = read_objectives(DEFAULT_FILE).objectives
    for shape in ("ramp", "soak", "spike", "step"):
        assert any(objective.shape == shape for objective in shipped)
    late = {objective.shape for objective in shipped if objective.kind == "sent late"}
    assert late == {"soak", "ramp", "spike"}
