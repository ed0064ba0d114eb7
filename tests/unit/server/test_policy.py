"""The rules: thresholds, persistence, spans, order, and a policy file refused in words that help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from wildgate_server.policy import (
    Action,
    Doubt,
    Judgement,
    LabelGroup,
    Policy,
    PolicyError,
    ShownFrame,
    Sighting,
    View,
    load_policy,
)

TIMES_S = [0.0, 2.0, 4.0, 6.0, 8.0]
FRAME_S = 0.04


def rule(
    review: float = 0.4, seconds: float = 0, block: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    fields = {
        "group": "product",
        "taxon": "Manis",
        "cites_appendix": "I",
        "review": {"score": review, "seconds": seconds},
    }
    return {**fields, **({"block": block} if block else {}), **changes}


def policy(unlooked: dict[str, Any] | None = None, **labels: dict[str, Any]) -> Policy:
    return Policy.model_validate({"version": "7", "unlooked": unlooked, "labels": labels})


def seen(label: str, *scores: float, times_s: Sequence[float] = TIMES_S) -> list[Sighting]:
    """One sighting in each looked-at frame; a score of 0 is none."""
    return [Sighting(label, score, time_s) for score, time_s in zip(scores, times_s, strict=False) if score]


def view(*times_s: float, shown_s: float = FRAME_S, last_s: float = 8.0) -> View:
    return View(0.0, last_s, tuple(ShownFrame(time_s, shown_s) for time_s in times_s))


VIEW = view(*TIMES_S)
AROUND = view(3.5, 3.75, 4.0, 4.25, 4.5)
HORN = policy(horn=rule(0.4, 1.5, {"score": 0.6, "seconds": 1.5}))


@pytest.mark.parametrize(
    ("scores", "action", "certain"),
    [
        ((), "ALLOW", "ALLOW"),
        ((0.39, 0.39, 0.39), "ALLOW", "ALLOW"),
        ((0.4, 0.4), "REVIEW", "REVIEW"),
        ((0.6, 0.6), "BLOCK", "BLOCK"),
        ((0.6, 0.59, 0.7), "BLOCK", "REVIEW"),
        ((0.9,), "BLOCK", "ALLOW"),
        ((0.9, 0.4), "BLOCK", "REVIEW"),
    ],
)
def test_a_threshold_is_reached_for_long_enough_or_undisputed(
    scores: tuple[float, ...], action: str, certain: str
) -> None:
    judged = HORN.judge(seen("horn", *scores), VIEW)
    assert (judged.action.name, judged.certain.name) == (action, certain)


@pytest.mark.parametrize(
    ("scores", "action"),
    [
        ((0.0, 0.0, 0.9, 0.0, 0.0), "ALLOW"),
        ((0.0, 0.9, 0.9, 0.0, 0.0), "ALLOW"),
        ((0.0, 0.9, 0.9, 0.9, 0.0), "BLOCK"),
        ((0.9, 0.0, 0.9, 0.0, 0.9), "BLOCK"),
        ((0.9, 0.9, 0.0, 0.0, 0.0), "ALLOW"),
        ((0.9, 0.9, 0.9, 0.0, 0.0), "BLOCK"),
    ],
)
def test_frames_around_a_sighting_confirm_or_dispute_it(scores: tuple[float, ...], action: str) -> None:
    short = policy(horn=rule(0.6, 0.4, {"score": 0.6, "seconds": 0.4}))
    assert short.judge(seen("horn", *scores, times_s=[3.5, 3.75, 4.0, 4.25, 4.5]), AROUND).action.name == action


@pytest.mark.parametrize("starts_s", [at / 100 for at in range(0, 100, 7)])
def test_a_shot_of_one_second_counts_wherever_the_first_look_falls_in_it(starts_s: float) -> None:
    shipped = load_policy()
    sighting_s = 10.0
    times_s = [sighting_s + offset_s for offset_s in (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)]
    shows = [sighting_s - starts_s <= time_s < sighting_s - starts_s + 1.0 for time_s in times_s]
    tusks = [Sighting("elephant_tusk", 0.9, time_s) for time_s, here in zip(times_s, shows, strict=True) if here]
    assert shipped.judge(tusks, view(*times_s, shown_s=1 / 30)).action is Action.BLOCK


def test_a_slide_counts_for_as_long_as_it_stands() -> None:
    slides = view(0.0, 4.0, shown_s=4.0)
    judged = HORN.judge(seen("horn", 0.9), slides)
    assert (judged.action, judged.certain, judged.doubts) == (Action.BLOCK, Action.BLOCK, ())
    assert judged.labels[0].seconds == 4.0


def test_what_is_seen_here_and_there_adds_up() -> None:
    frames = view(0.0, 1.0, 2.0, 3.0, 4.0, shown_s=0.5, last_s=4.0)
    flashes = [Sighting("horn", 0.9, time_s) for time_s in (0.0, 2.0, 4.0)]
    assert [HORN.judge(flashes[:count], frames).certain for count in (2, 3)] == [Action.ALLOW, Action.BLOCK]


def test_a_video_with_nothing_more_to_look_at_needs_all_there_is() -> None:
    assert HORN.judge(seen("horn", 0.9), view(0.0, shown_s=0.0, last_s=0.0)).action is Action.BLOCK
    short = view(0.0, 0.2, 0.4, shown_s=0.2, last_s=0.4)
    all_of_it, most_of_it = ([Sighting("horn", 0.9, at / 5) for at in range(count)] for count in (3, 2))
    assert HORN.judge(all_of_it, short).action is Action.BLOCK
    assert HORN.judge(most_of_it, short).action is Action.ALLOW


def test_many_sightings_in_one_frame_are_one_frame() -> None:
    crowd = [Sighting("horn", score, 4.0) for score in (0.5, 0.9, 0.7)]
    assert HORN.judge(crowd, AROUND).action is Action.ALLOW
    judged = HORN.judge([*crowd, Sighting("horn", 0.45, 6.0)], VIEW)
    assert (judged.labels[0].score, judged.labels[0].frames) == (0.9, 2)
    assert judged.labels[0].seconds == pytest.approx(2.0 + FRAME_S)


def test_without_a_block_threshold_nothing_blocks() -> None:
    assert policy(bear=rule()).judge(seen("bear", 1.0, 1.0), VIEW).action is Action.REVIEW


@pytest.mark.parametrize(
    ("scores", "spans"),
    [
        ((0.5,), [(0.0, 0.0)]),
        ((0.5, 0.5, 0.5, 0.5, 0.5), [(0.0, 8.0)]),
        ((0.5, 0.0, 0.5, 0.5), [(0.0, 0.0), (4.0, 6.0)]),
        ((0.5, 0.3, 0.5), [(0.0, 0.0), (4.0, 4.0)]),
        ((0.0, 0.0, 0.0, 0.0, 0.5), [(8.0, 8.0)]),
    ],
)
def test_spans_are_stretches_of_looked_at_frames(scores: tuple[float, ...], spans: list[tuple[float, float]]) -> None:
    (label,) = policy(bear=rule()).judge(seen("bear", *scores), VIEW).labels
    assert list(label.spans_s) == spans
    assert label.frames == sum(score >= 0.4 for score in scores)


def test_spans_frames_and_seconds_count_at_the_review_threshold_also_when_blocking() -> None:
    (label,) = HORN.judge(seen("horn", 0.4, 0.6, 0.6, 0.4), VIEW).labels
    assert (label.action, label.frames, label.spans_s) == (Action.BLOCK, 4, ((0.0, 6.0),))
    assert label.seconds == pytest.approx(6.0 + FRAME_S)


def test_the_gravest_action_comes_first_then_the_highest_score() -> None:
    rules = policy(
        bear=rule(), ape=rule(), owl=rule(), horn=rule(0.4, 0, {"score": 0.6, "seconds": 0}), otter=rule(0.9)
    )
    scores = {"owl": 0.5, "bear": 0.99, "horn": 0.61, "ape": 0.5, "otter": 0.8}
    judged = rules.judge([sighting for label, score in scores.items() for sighting in seen(label, score)], VIEW)
    assert judged.action is Action.BLOCK
    assert [label.label for label in judged.labels] == ["horn", "bear", "ape", "owl"]


class TestDoubts:
    """What a second look is for."""

    def test_a_sighting_that_was_not_shown_for_long_enough(self) -> None:
        [doubt] = HORN.judge(seen("horn", 0.0, 0.7), VIEW).doubts
        assert doubt == Doubt(Action.BLOCK, 0.7, 0, 2.0)

    def test_one_that_calls_for_less_than_is_certain_is_none(self) -> None:
        both = policy(horn=rule(0.4, 1.5, {"score": 0.6, "seconds": 1.5}), bear=rule(0.4, 1.5))
        horns = seen("horn", 0.7, 0.7)
        assert both.judge([*horns, *seen("bear", 0.0, 0.0, 0.0, 0.9)], VIEW).doubts == ()
        assert both.judge(seen("bear", 0.0, 0.0, 0.0, 0.9), VIEW).doubts != ()

    def test_where_review_is_certain_only_what_may_block_is_in_doubt(self) -> None:
        doubts = HORN.judge(seen("horn", 0.5, 0.5, 0.0, 0.8), VIEW).doubts
        assert [(doubt.action, doubt.time_s) for doubt in doubts] == [(Action.BLOCK, 6.0)]

    def test_nothing_seen_is_no_doubt(self) -> None:
        assert HORN.judge(seen("horn", 0.3, 0.3), VIEW).doubts == ()

    def test_another_track_may_settle_it(self) -> None:
        doubtful, certain = HORN.judge(seen("horn", 0.7), VIEW), HORN.judge(seen("horn", 0.7, 0.7), VIEW)
        assert Judgement.of_tracks([doubtful, certain]).doubts == ()
        assert Judgement.of_tracks([doubtful, HORN.judge([], VIEW)]).doubts == doubtful.doubts


class TestUnlooked:
    RULES = policy({"seconds": 6, "share": 0.04}, bear=rule())

    @pytest.mark.parametrize(
        ("times_s", "shown_s", "last_s", "spans"),
        [
            ((0.0, 6.0, 12.0), 0.0, 18.0, []),
            ((0.0, 6.1), 0.0, 6.1, [(0.0, 6.1)]),
            ((7.0,), 0.0, 7.0, [(0.0, 7.0)]),
            ((0.0,), 0.0, 60.0, [(0.0, 60.0)]),
            ((), 0.0, 60.0, [(0.0, 60.0)]),
            ((0.0, 30.0), 30.0, 60.0, []),
            ((0.0, 30.0), 20.0, 60.0, [(20.0, 30.0), (50.0, 60.0)]),
        ],
    )
    def test_a_long_stretch_calls_for_review(
        self, times_s: tuple[float, ...], shown_s: float, last_s: float, spans: list[tuple[float, float]]
    ) -> None:
        judged = self.RULES.judge([], view(*times_s, shown_s=shown_s, last_s=last_s))
        assert judged.action is (Action.REVIEW if spans else Action.ALLOW)
        assert [span for label in judged.labels for span in label.spans_s] == [pytest.approx(span) for span in spans]
        for label in judged.labels:
            assert (label.label, label.rule, label.frames) == ("unlooked", None, 0)
            assert label.seconds == pytest.approx(sum(end_s - start_s for start_s, end_s in spans))

    def test_a_long_video_that_is_looked_at_evenly_is_left_alone(self) -> None:
        even = [600 / 32 * at for at in range(33)]
        assert self.RULES.judge([], view(*even, last_s=600.0)).action is Action.ALLOW
        assert load_policy().judge([], view(*even, last_s=600.0)).action is Action.ALLOW
        del even[10]
        assert self.RULES.judge([], view(*even, last_s=600.0)).action is Action.REVIEW

    def test_it_may_block_or_call_for_nothing(self) -> None:
        unseen = view(last_s=10.0)
        assert policy({"seconds": 6, "action": "BLOCK"}, bear=rule()).judge([], unseen).action is Action.BLOCK
        assert policy(bear=rule()).judge([], unseen).action is Action.ALLOW


def test_labels_without_a_rule_are_named() -> None:
    assert policy(bear=rule(), owl=rule()).missing(["owl", "lynx", "bear", "puma"]) == ["lynx", "puma"]
    with pytest.raises(KeyError, match="lynx"):
        policy(bear=rule()).judge(seen("lynx", 0.9), VIEW)


def test_the_shipped_policy() -> None:
    shipped = load_policy()
    assert shipped.version
    for label, each in shipped.labels.items():
        alive = each.group is LabelGroup.LIVE_ANIMAL
        assert label.startswith("live_") == alive
        assert (each.block is None) == (alive or label == "rhino_horn")


def loaded(tmp_path: Path, content: object) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_policy(file)


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    content = {"version": "1", "labels": {"horn": rule(0.4, 1.5, {"score": 0.6, "seconds": 1.5})}}
    assert loaded(tmp_path, content).labels == HORN.labels


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"review": {"score": 0, "seconds": 1}}, r"labels\.horn\.review\.score: .*greater than 0 \(is 0\)"),
        ({"review": {"score": 1.5, "seconds": 1}}, r"labels\.horn\.review\.score: .* \(is 1\.5\)"),
        ({"review": {"score": 0.5, "seconds": -1}}, r"labels\.horn\.review\.seconds: .* \(is -1\)"),
        ({"review": {"score": 0.5, "seconds": float("nan")}}, r"labels\.horn\.review\.seconds: .* \(is nan\)"),
        ({"review": {"score": 0.5}}, r"labels\.horn\.review: .*give either seconds or probability"),
        ({"review": {"score": 0.5, "frames": 2}}, r"labels\.horn\.review: .*give seconds"),
        ({"review": {"score": "high", "seconds": 1}}, r"labels\.horn\.review\.score: .* \(is 'high'\)"),
        ({"block": {"score": 0.3, "seconds": 1}}, r"block\.score 0\.3 is below review\.score 0\.4"),
        ({"group": "plant"}, r"labels\.horn\.group: .* \(is 'plant'\)"),
        ({"taxon": ""}, r"labels\.horn\.taxon: .* \(is ''\)"),
        ({"cites_appendix": "IV"}, r"labels\.horn\.cites_appendix: .* \(is 'IV'\)"),
        ({"cites_appendix": "I/"}, r"labels\.horn\.cites_appendix: .* \(is 'I/'\)"),
        ({"threshold": 0.5}, r"labels\.horn\.threshold: Extra inputs .* \(is 0\.5\)"),
    ],
)
def test_a_broken_rule_is_named_with_its_value(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint) as refusal:
        loaded(tmp_path, {"version": "1", "labels": {"horn": rule() | changes}})
    assert str(tmp_path / "policy.yaml") in str(refusal.value)


@pytest.mark.parametrize(
    ("unlooked", "complaint"),
    [
        ({"seconds": 0}, r"unlooked\.seconds: .* \(is 0\)"),
        ({"seconds": 6, "share": 2}, r"unlooked\.share: .* \(is 2\)"),
        ({"seconds": 6, "action": "ALLOW"}, r"unlooked\.action: .* \(is 'ALLOW'\)"),
    ],
)
def test_a_broken_rule_for_what_is_unlooked_is_named(tmp_path: Path, unlooked: Any, complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint):
        loaded(tmp_path, {"version": "1", "unlooked": unlooked, "labels": {"horn": rule()}})


def test_no_label_may_be_called_what_is_unlooked(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"labels: .*unlooked cannot be a label"):
        loaded(tmp_path, {"version": "1", "labels": {"unlooked": rule()}})


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as refusal:
        loaded(tmp_path, {"version": "", "labels": {"horn": rule(group="plant"), "bear": rule(taxon="")}})
    faults = sorted(line.split(": ")[1] for line in str(refusal.value).splitlines())
    assert faults == ["labels.bear.taxon", "labels.horn.group", "version"]


def test_cites_appendices() -> None:
    for appendix in ("", "I", "II", "III", "I/II", "I/II/III"):
        assert policy(bear=rule(cites_appendix=appendix)).labels["bear"].cites_appendix == appendix


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "the document"),
        ("- a list", "the document"),
        ("version: [1", "not YAML"),
        ("version: '1'\nlabels: {}", "labels"),
        ("version: 1\nlabels: {a: b}", r"version: .* \(is 1\)"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_what_is_no_policy_at_all(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint):
        loaded(tmp_path, content)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / "none.yaml")
    (tmp_path / "latin").write_bytes(b"version: '\xe9'")
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / "latin")
