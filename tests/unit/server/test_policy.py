"""The rules: thresholds, persistence, spans, order, and a policy file refused in words that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wildgate_server.policy import (
    UNLOOKED,
    Action,
    Judgement,
    LabelGroup,
    Policy,
    PolicyError,
    ShownFrame,
    Sighting,
    View,
    load_policy,
)

TIMES_S = [0.0, 1.0, 2.0, 3.0, 4.0]
VIEW = View(0.0, 4.0, tuple(ShownFrame(time_s, 0.04) for time_s in TIMES_S))
"""Looked at every second, of a video of 25 frames a second."""


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


def policy(**labels: dict[str, Any]) -> Policy:
    return Policy.model_validate({"version": "7", "labels": labels})


def seen(label: str, *scores: float) -> list[Sighting]:
    """One sighting in each looked-at frame; a score of 0 is none."""
    return [Sighting(label, score, time_s) for score, time_s in zip(scores, TIMES_S, strict=False) if score]


def judged(rules: Policy, sightings: list[Sighting], *frames: tuple[float, float]) -> Judgement:
    """By frames of a video, each with its time and for how long it is shown; by default those of VIEW."""
    view = View(frames[0][0], sum(frames[-1]), tuple(ShownFrame(*frame) for frame in frames)) if frames else VIEW
    return rules.judge(sightings, view)


HORN = policy(horn=rule(0.4, 1, {"score": 0.6, "seconds": 1}))


@pytest.mark.parametrize(
    ("scores", "action"),
    [
        ((), Action.ALLOW),
        ((0.9,), Action.ALLOW),
        ((0.39, 0.39, 0.39), Action.ALLOW),
        ((0.4, 0.4), Action.REVIEW),
        ((0.9, 0.4), Action.REVIEW),
        ((0.0, 0.4, 0.0, 0.4), Action.ALLOW),
        ((0.6, 0.6), Action.BLOCK),
        ((0.6, 0.59, 0.7, 0.7), Action.BLOCK),
    ],
)
def test_neighbours_that_show_it_vouch_for_the_time_between_them(scores: tuple[float, ...], action: Action) -> None:
    assert judged(HORN, seen("horn", *scores)).action is action


def test_a_frame_counts_for_as_long_as_it_is_shown() -> None:
    slide = [Sighting("horn", 0.9, 4.0)]
    assert judged(HORN, slide, (0.0, 4.0), (4.0, 4.0), (8.0, 4.0)).action is Action.BLOCK
    assert judged(HORN, slide, (0.0, 4.0), (4.0, 0.5), (4.5, 4.0)).action is Action.ALLOW


def test_what_is_seen_here_and_there_adds_up() -> None:
    flashes = [Sighting("horn", 0.9, time_s) for time_s in (0.0, 2.0, 4.0)]
    frames = [(time_s, 0.5) for time_s in (0.0, 1.0, 2.0, 3.0, 4.0)]
    assert judged(HORN, flashes, *frames).action is Action.BLOCK
    assert judged(HORN, flashes[:1], *frames).action is Action.ALLOW


def test_a_video_too_short_for_it_must_show_it_throughout() -> None:
    assert judged(HORN, [Sighting("horn", 0.9, 0.0)], (0.0, 0.0)).action is Action.BLOCK
    assert judged(HORN, [Sighting("horn", 0.9, 0.0)], (0.0, 0.3), (0.3, 0.3)).action is Action.ALLOW
    both = [Sighting("horn", 0.9, 0.0), Sighting("horn", 0.9, 0.3)]
    assert judged(HORN, both, (0.0, 0.3), (0.3, 0.3)).action is Action.BLOCK


def test_what_was_not_seen_for_long_enough_is_doubtful_until_more_is_looked_at() -> None:
    once = judged(HORN, seen("horn", 0.0, 0.9))
    assert (once.action, once.certain) == (Action.ALLOW, Action.ALLOW)
    assert [(doubt.action, doubt.score, doubt.time_s) for doubt in once.doubts] == [(Action.BLOCK, 0.9, 1.0)]
    assert judged(HORN, seen("horn", 0.9, 0.9)).doubts == (), "it cannot get graver"
    reviewed = judged(HORN, seen("horn", 0.5, 0.5, 0.0, 0.9))
    assert (reviewed.action, [doubt.time_s for doubt in reviewed.doubts]) == (Action.REVIEW, [3.0])


def test_the_gravest_of_the_tracks_counts() -> None:
    both = Judgement.of_tracks([judged(HORN, seen("horn", 0.9)), judged(HORN, seen("horn", 0.6, 0.6))])
    assert (both.action, both.doubts) == (Action.BLOCK, ())
    harmless = Judgement.of_tracks([judged(HORN, []), judged(HORN, seen("horn", 0.9))])
    assert (harmless.action, len(harmless.doubts)) == (Action.ALLOW, 1)


@pytest.mark.parametrize(
    ("limit", "frames", "spans"),
    [
        ({"seconds": 5}, ((0.0, 0.0), (4.0, 0.0), (10.0, 0.0)), [(4.0, 10.0)]),
        ({"seconds": 5}, ((0.0, 0.0), (4.0, 2.0), (10.0, 0.0)), []),
        ({"seconds": 5, "share": 0.5}, ((0.0, 0.0), (4.0, 0.0), (12.0, 0.0)), [(4.0, 12.0)]),
        ({"seconds": 5, "share": 0.7}, ((0.0, 0.0), (4.0, 0.0), (12.0, 0.0)), []),
    ],
)
def test_a_stretch_that_nobody_looked_at_is_an_answer(
    limit: dict[str, float], frames: tuple[tuple[float, float], ...], spans: list[tuple[float, float]]
) -> None:
    rules = Policy.model_validate({"version": "7", "labels": {"horn": rule()}, "unlooked": limit})
    found = judged(rules, [], *frames)
    assert [list(label.spans_s) for label in found.labels] == ([spans] if spans else [])
    assert found.action is (Action.REVIEW if spans else Action.ALLOW)
    assert {label.label for label in found.labels} <= {UNLOOKED}


def test_many_sightings_in_one_frame_are_one_frame() -> None:
    crowd = [Sighting("horn", score, 2.0) for score in (0.5, 0.9, 0.7)]
    assert judged(HORN, crowd).action is Action.ALLOW
    found = judged(HORN, [*crowd, Sighting("horn", 0.45, 3.0)])
    assert found.action is Action.REVIEW
    assert (found.labels[0].score, found.labels[0].frames) == (0.9, 2)


def test_without_a_block_threshold_nothing_blocks() -> None:
    assert policy(bear=rule()).judge(seen("bear", 1.0, 1.0), VIEW).action is Action.REVIEW


@pytest.mark.parametrize(
    ("scores", "spans"),
    [
        ((0.5,), [(0.0, 0.0)]),
        ((0.5, 0.5, 0.5, 0.5, 0.5), [(0.0, 4.0)]),
        ((0.5, 0.0, 0.5, 0.5), [(0.0, 0.0), (2.0, 3.0)]),
        ((0.5, 0.3, 0.5), [(0.0, 0.0), (2.0, 2.0)]),
        ((0.0, 0.0, 0.0, 0.0, 0.5), [(4.0, 4.0)]),
    ],
)
def test_spans_are_stretches_of_looked_at_frames(scores: tuple[float, ...], spans: list[tuple[float, float]]) -> None:
    (label,) = policy(bear=rule()).judge(seen("bear", *scores), VIEW).labels
    assert list(label.spans_s) == spans
    assert label.frames == sum(score >= 0.4 for score in scores)


def test_spans_and_frames_count_at_the_review_threshold_also_when_blocking() -> None:
    (label,) = HORN.judge(seen("horn", 0.4, 0.6, 0.6, 0.4), VIEW).labels
    assert (label.action, label.frames, label.spans_s) == (Action.BLOCK, 4, ((0.0, 3.0),))


def test_the_gravest_action_comes_first_then_the_highest_score() -> None:
    rules = policy(
        bear=rule(), ape=rule(), owl=rule(), horn=rule(0.4, 0, {"score": 0.6, "seconds": 0}), otter=rule(0.9)
    )
    scores = {"owl": 0.5, "bear": 0.99, "horn": 0.61, "ape": 0.5, "otter": 0.8}
    judged = rules.judge([sighting for label, score in scores.items() for sighting in seen(label, score)], VIEW)
    assert judged.action is Action.BLOCK
    assert [label.label for label in judged.labels] == ["horn", "bear", "ape", "owl"]


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
        assert (each.block is None) == alive


def loaded(tmp_path: Path, content: object) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_policy(file)


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    content = {"version": "1", "labels": {"horn": rule(0.4, 1, {"score": 0.6, "seconds": 1})}}
    assert loaded(tmp_path, content).labels == HORN.labels


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"review": {"score": 0, "seconds": 1}}, r"labels\.horn\.review\.score: .*greater than 0 \(is 0\)"),
        ({"review": {"score": 1.5, "seconds": 1}}, r"labels\.horn\.review\.score: .* \(is 1\.5\)"),
        ({"review": {"score": 0.5, "seconds": -1}}, r"labels\.horn\.review\.seconds: .* \(is -1\)"),
        (
            {"review": {"score": 0.5, "frames": 2}},
            r"labels\.horn\.review: .*frames are not counted any more: give seconds",
        ),
        ({"review": {"score": 0.5}}, r"labels\.horn\.review\.seconds: Field required$"),
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
