"""From what was found in clips to the evaluation's figures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from wildgate_detector.evaluate import (
    Figure,
    Tally,
    clip_figures,
    disturbed_figure,
    evaluate,
    frame_figure,
)
from wildgate_detector.filming import Kind, LabelledClip


def clips_of(*wanted: tuple[str, ...], kind: Kind = Kind.HARMLESS) -> Iterator[LabelledClip]:
    return (LabelledClip(Path(f"{i}.mp4"), labels, Kind.SHOWING if labels else kind) for i, labels in enumerate(wanted))


def run(answers: dict[str, set[str]], *wanted: tuple[str, ...], kind: Kind = Kind.HARMLESS) -> Tally:
    def scorer(path: Path) -> set[str]:
        return answers.get(path.name, set())

    return evaluate(scorer, clips_of(*wanted, kind=kind), lambda clip, got: None)


def test_recall_counts_labels_and_false_alarms_count_clips() -> None:
    tally = run({"0.mp4": {"a"}, "1.mp4": {"b", "c"}}, ("a", "b"), (), ("c",), ())
    assert tally.recall == pytest.approx(1 / 3)
    assert tally.false_alarms(Kind.HARMLESS) == pytest.approx(1 / 2)
    assert tally.false_alarms(Kind.MISLEADING) == 0
    assert tally.wrong == {"b": 1, "c": 1}


def test_every_clip_and_its_answer_is_told() -> None:
    heard: list[tuple[str, set[str]]] = []
    evaluate(lambda path: {"a"}, clips_of(("a",), ()), lambda clip, got: heard.append((clip.path.name, got)))
    assert heard == [("0.mp4", {"a"}), ("1.mp4", {"a"})]


@pytest.mark.parametrize(
    ("missed", "alarms", "kind", "met"),
    [
        (10, 1, Kind.HARMLESS, [True, True]),
        (11, 1, Kind.HARMLESS, [False, True]),
        (0, 2, Kind.HARMLESS, [True, False]),
        (0, 1, Kind.MISLEADING, [True, True]),
        (0, 2, Kind.MISLEADING, [True, False]),
    ],
)
def test_limits(missed: int, alarms: int, kind: Kind, met: list[bool]) -> None:
    answers = {f"{i}.mp4": {"a"} for i in range(100 - missed)} | {f"{100 + i}.mp4": {"a"} for i in range(alarms)}
    tally = run(answers, *[("a",)] * 100, *[()] * 100, kind=kind)
    *products, animals = clip_figures(tally)
    assert [figure.met for figure in products] == met
    assert animals.met


def test_live_animals_are_counted_apart_from_products() -> None:
    tally = run({"1.mp4": {"live_otter"}, "2.mp4": {"a", "live_otter"}}, ("a",), (), ())
    assert tally.false_alarms(Kind.HARMLESS) == pytest.approx(1 / 2)
    *_, animals = clip_figures(tally)
    assert (animals.value, animals.met, animals.counted) == (1.0, False, "2 of 2 clips")


def test_a_figure_says_whether_its_aim_is_met_and_on_what() -> None:
    line = str(Figure("recall", 0.9512, 0.97, counted="97 of 102 labels"))
    assert "0.951" in line
    assert "at least 0.97" in line
    assert "MISSED" in line
    assert "97 of 102 labels" in line
    assert "MISSED" not in str(Figure("false alarms", 0.009, 0.01, more_is_better=False))


def test_disturbed_clips_and_frames_have_aims_of_their_own() -> None:
    tally = run({f"{i}.mp4": {"a"} for i in range(9)}, *[("a",)] * 10)
    assert disturbed_figure("mirrored", tally).met
    assert not disturbed_figure("mirrored", run({}, ("a",))).met
    assert frame_figure(0.85, 400).met
    assert not frame_figure(0.849, 400).met
