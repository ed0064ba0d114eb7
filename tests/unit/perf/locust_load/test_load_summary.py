"""Records to figures, judgement, pages and pictures: a run of known answers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from wildgate_perf.locust_load.figures import AFTER, figures_of, phases_of
from wildgate_perf.locust_load.kinds import DIGEST, UNKNOWN_DIGEST
from wildgate_perf.locust_load.load_shapes import WARM_UP
from wildgate_perf.locust_load.objectives import (
    DEFAULT_FILE,
    Objectives,
    ObjectivesInvalid,
    judge,
    read_objectives,
)
from wildgate_perf.locust_load.page import Heading, Page, Paragraph, Picture, Table, as_html, as_markdown
from wildgate_perf.locust_load.record import BadRecord, RunRecord, Users, read_record, write_record
from wildgate_perf.locust_load.summary import loop_of, summarise
from wildgate_perf.locust_load.tally import Answer, Came, Tally

BEGAN = 1000


def record(rate_per_user: float = 1.0, kinds: tuple[str, ...] = ("content", "uri")) -> RunRecord:
    """10 s of warm-up with 2 users, 20 s held with 4: two answers a second of 100 ms, uri refused and failed once."""
    tally = Tally()
    for second in range(30):
        for _ in range(2):
            stages = {"infer": 60.0, "total": 90.0}
            tally.add(
                BEGAN + second,
                "content",
                Answer(Came.ANSWERED, 900.0 if second < 10 else 100.0, 200, 5000, second == 12, stages),
            )
    tally.add(BEGAN + 15, "uri", Answer(Came.REFUSED, 1, reason="RESOURCE_EXHAUSTED OVERLOADED"))
    tally.add(BEGAN + 16, "uri", Answer(Came.FAILED, 1, reason="UNAVAILABLE FETCH_FAILED"))
    tally.add(BEGAN + 31, "content", Answer(Came.ANSWERED, 5000))
    return RunRecord(
        shape="soak",
        mix={"content": 1, "uri": 1},
        kinds=kinds,
        rate_per_user=rate_per_user,
        processes=1,
        machine={"cores": 2},
        users=(Users(BEGAN, 2, WARM_UP), Users(BEGAN + 10, 4, "held")),
        ended=BEGAN + 30,
        tally=tally,
    )


def test_phases_take_the_time_between_changes() -> None:
    assert phases_of(record()) == {WARM_UP: 10, "held": 20}


def test_a_run_counts_neither_warm_up_nor_what_comes_after() -> None:
    figures = figures_of(record())
    whole = figures[None, None]
    assert (whole.seconds, whole.users, whole.offered_per_s) == (20, 4, 4)
    assert (whole.outcomes.answered, whole.outcomes.refused, whole.outcomes.failed) == (40, 1, 1)
    assert whole.answered_per_s == 2
    assert whole.p99_ms == pytest.approx(100, rel=0.01)
    assert whole.failed_share == pytest.approx(1 / 42)
    assert whole.cached_share == pytest.approx(2 / 40)
    assert figures[WARM_UP, None].p50_ms == pytest.approx(900, rel=0.01)
    assert figures[AFTER, None].outcomes.answered == 1
    assert figures["held", "uri"].outcomes.asked == 2
    assert (WARM_UP, "uri") not in figures


def test_being_told_to_send_the_video_is_no_answer_about_it() -> None:
    run = record(kinds=("content", "uri", DIGEST, UNKNOWN_DIGEST))
    before = figures_of(run)[None, None].outcomes.answered
    for kind in (DIGEST, UNKNOWN_DIGEST):
        run.tally.add(BEGAN + 20, kind, Answer(Came.ANSWERED, 1))
    figures = figures_of(run)
    assert figures[None, None].outcomes.answered == before + 1
    assert figures[None, UNKNOWN_DIGEST].outcomes.answered == 1


def test_the_loop_is_told_as_it_is() -> None:
    assert loop_of(record(0), figures_of(record(0))[None, None]).startswith("Closed loop")
    behind = loop_of(record(1.0), figures_of(record(1.0))[None, None])
    assert "4.0/s together; 52% of that" in behind  # 42 of 80
    assert "fell behind" in behind
    assert "load was kept" in loop_of(record(0.5), figures_of(record(0.5))[None, None])


def objectives(*entries: dict[str, object]) -> Objectives:
    return Objectives.model_validate({"objectives": entries})


def met(*entries: dict[str, object]) -> list[bool]:
    run = record()
    return [entry.met for entry in judge(objectives(*entries), run.shape, run.kinds, figures_of(run))]


def test_bounds_hold_or_do_not() -> None:
    assert met({"kind": "content", "p50_ms": 102, "p99_ms": 95}) == [True, False]
    assert met({"answered_per_s": 2}, {"answered_per_s": 2.1}) == [True, False]
    assert met({"failed_share": 0.03, "refused_share": 0.01}) == [True, False]
    assert met({"phase": WARM_UP, "p95_ms": 500}) == [False]


def test_the_offered_load_is_to_be_kept() -> None:
    assert figures_of(record())[None, None].kept_share == pytest.approx(42 / 80)
    assert met({"kept_share": 0.52}, {"kept_share": 0.53}, {"phase": "held", "kept_share": 0.95}) == [
        True,
        False,
        False,
    ]
    closed = record(rate_per_user=0)
    assert judge(objectives({"kept_share": 0.95}), "soak", closed.kinds, figures_of(closed)) == []


def test_what_was_not_answered_meets_no_bound_on_time() -> None:
    assert met({"kind": "uri", "p50_ms": 1e9}) == [False]
    assert met({"phase": "no such phase", "p50_ms": 1e9}) == [False]


def test_objectives_of_other_shapes_and_mixes_are_passed_over() -> None:
    assert met({"shape": "spike", "p50_ms": 1}, {"kind": "stream", "p50_ms": 1}) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("objectives: [{kind: contents, p50_ms: 1}]", r"objectives\.0\.kind: .*not one of content; .*'contents'"),
        ("objectives: [{shape: square, p50_ms: 1}]", r"objectives\.0\.shape: .*'square'"),
        ("objectives: [{kind: uri}]", r"objectives\.0: .*bounds nothing: give one of p50_ms"),
        ("objectives: [{p50_ms: -1}]", r"objectives\.0\.p50_ms: .*greater than 0 \(is -1\)"),
        ("objectives: [{kind: uri, kept_share: 0.9}]", "kept_share is of all kinds of requests together"),
        ("objectives: [{failed_share: 2}]", r"objectives\.0\.failed_share: .*\(is 2\)"),
        ("objectives: [{p75_ms: 1}]", r"objectives\.0\.p75_ms: "),
        ("objectives: []", "objectives: "),
        ("objectives: [", "is no YAML"),
    ],
)
def test_bad_objectives_are_refused_by_field_and_value(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ObjectivesInvalid, match=words) as refused:
        read_objectives(file)
    assert str(file) in str(refused.value)


def test_the_shipped_objectives_bound_every_shape() -> None:
    shipped = read_objectives(DEFAULT_FILE)
    for shape in ("ramp", "soak", "spike", "step"):
        assert any(objective.shape in (None, shape) for objective in shipped.objectives)
    kept = {objective.shape: objective.kept_share for objective in shipped.objectives if objective.kept_share}
    assert kept == {"soak": 0.95, "ramp": 0.95, "spike": 0.95}


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    write_record(file, record())
    again = read_record(file)
    assert again.tally.as_json() == record().tally.as_json()
    assert (again.users, again.ended, again.kinds) == (record().users, record().ended, record().kinds)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shape": 1}'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BadRecord, match=r"run\.json: no record of a run"):
        read_record(tmp_path / "run.json")


def test_the_summary_has_figures_judgement_and_pictures(tmp_path: Path) -> None:
    assert not summarise(tmp_path, record(), objectives({"failed_share": 0}, {"kind": "content", "p50_ms": 200}))
    page = (tmp_path / "summary.md").read_text()
    assert "| all requests | failed_share | at most 0 | 0.0238 | MISSED |" in page
    assert "| content | p50_ms | at most 200 |" in page
    assert "Objectives are missed." in page
    assert "| RESOURCE_EXHAUSTED OVERLOADED | 1 |" in page
    assert "| held | 4 | 4 | 2.1 | 2 | 1 | 1 | 2 |" in page
    for name in ("over_time", "latency_against_throughput", "stages"):
        assert f"]({name}.svg)" in page
        assert f'src="{name}.svg"' in (tmp_path / "summary.html").read_text()
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()
    figures = json.loads((tmp_path / "summary.json").read_text())
    assert figures["passed"] is False
    assert figures["phases"]["held"]["answered_per_s"] == 2
    assert figures["whole"]["stages_p50_ms"]["infer"] == pytest.approx(60, rel=0.01)


def test_a_run_that_meets_all_passes(tmp_path: Path) -> None:
    assert summarise(tmp_path, record(), objectives({"failed_share": 0.1}))
    assert "All objectives hold." in (tmp_path / "summary.md").read_text()


def test_a_run_without_an_answer_passes_nothing(tmp_path: Path) -> None:
    silent = RunRecord("soak", {"uri": 1}, ("uri",), 1.0, 1, {}, (Users(BEGAN, 1, "held"),), BEGAN + 5, Tally())
    assert not summarise(tmp_path, silent, objectives({"kind": "content", "p50_ms": 1}))
    assert "Nothing was answered." in (tmp_path / "summary.md").read_text()
    assert math.isnan(figures_of(silent)[None, None].p50_ms)


def test_pages_say_the_same_in_both_languages() -> None:
    page = Page(
        "A & B", [Heading("Part"), Paragraph("x < y"), Table(("a|b", "c"), [("1", "2")]), Picture("p.svg", "a picture")]
    )
    assert as_markdown(page) == (
        "# A & B\n\n## Part\n\nx < y\n\n| a\\|b | c |\n| --- | ---: |\n| 1 | 2 |\n\n![a picture](p.svg)\n"
    )
    html = as_html(page)
    for part in (
        "<h1>A &amp; B</h1>",
        "<h2>Part</h2>",
        "<p>x &lt; y</p>",
        "<th>a|b</th>",
        "<td>2</td>",
        'alt="a picture"',
    ):
        assert part in html


def steps(*answered: int) -> RunRecord:
    """A step of 10 s for each number of answers."""
    tally, users = Tally(), []
    for number, count in enumerate(answered):
        users.append(Users(BEGAN + 10 * number, number + 1, f"{number + 1} users"))
        for _ in range(count):
            tally.add(BEGAN + 10 * number + 5, "content", Answer(Came.ANSWERED, 100))
    ended = BEGAN + 10 * len(answered)
    return RunRecord("step", {"content": 1}, ("content",), 0.0, 1, {}, tuple(users), ended, tally)


def test_steps_tell_where_most_got_done(tmp_path: Path) -> None:
    summarise(tmp_path, steps(10, 30, 28), objectives({"failed_share": 0}))
    assert "Most got done at 2 users: 3 answers a second, p50 " in (tmp_path / "summary.md").read_text()


def test_steps_that_end_too_soon_say_so(tmp_path: Path) -> None:
    summarise(tmp_path, steps(10, 20, 30), objectives({"failed_share": 0}))
    assert "Most got done at the last step: the server may be able to do more" in (tmp_path / "summary.md").read_text()
