"""The rules: thresholds, persistence, spans, order, and a policy file refused in words that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wildgate_server.policy import Action, LabelGroup, Policy, PolicyError, Sighting, load_policy

TIMES_S = [0.0, 2.0, 4.0, 6.0, 8.0]


def rule(review: float = 0.4, frames: int = 1, block: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    fields = {
        "group": "product",
        "taxon": "Manis",
        "cites_appendix": "I",
        "review": {"score": review, "frames": frames},
    }
    return {**fields, **({"block": block} if block else {}), **changes}


def policy(**labels: dict[str, Any]) -> Policy:
    return Policy.model_validate({"version": "7", "labels": labels})


def seen(label: str, *scores: float) -> list[Sighting]:
    """One sighting in each looked-at frame; a score of 0 is none."""
    return [Sighting(label, score, time_s) for score, time_s in zip(scores, TIMES_S, strict=False) if score]


HORN = policy(horn=rule(0.4, 2, {"score": 0.6, "frames": 2}))


@pytest.mark.parametrize(
    ("scores", "action"),
    [
        ((), Action.ALLOW),
        ((0.9,), Action.ALLOW),
        ((0.39, 0.39, 0.39), Action.ALLOW),
        ((0.4, 0.4), Action.REVIEW),
        ((0.9, 0.4), Action.REVIEW),
        ((0.0, 0.4, 0.0, 0.4), Action.REVIEW),
        ((0.6, 0.6), Action.BLOCK),
        ((0.6, 0.59, 0.7), Action.BLOCK),
    ],
)
def test_a_threshold_is_reached_in_enough_frames(scores: tuple[float, ...], action: Action) -> None:
    assert HORN.judge(seen("horn", *scores), TIMES_S).action is action


def test_a_video_with_fewer_frames_than_asked_for_needs_all_of_them() -> None:
    strict = policy(horn=rule(0.4, 3))
    for scores, frames, action in (((0.5,), 1, "REVIEW"), ((0.5, 0.5), 2, "REVIEW"), ((0.5, 0.5), 3, "ALLOW")):
        assert strict.judge(seen("horn", *scores), TIMES_S[:frames]).action is Action[action]


def test_many_sightings_in_one_frame_are_one_frame() -> None:
    crowd = [Sighting("horn", score, 2.0) for score in (0.5, 0.9, 0.7)]
    assert HORN.judge(crowd, TIMES_S).action is Action.ALLOW
    judged = HORN.judge([*crowd, Sighting("horn", 0.45, 4.0)], TIMES_S)
    assert judged.action is Action.REVIEW
    assert (judged.labels[0].score, judged.labels[0].frames) == (0.9, 2)


def test_without_a_block_threshold_nothing_blocks() -> None:
    assert policy(bear=rule()).judge(seen("bear", 1.0, 1.0), TIMES_S).action is Action.REVIEW


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
    (label,) = policy(bear=rule()).judge(seen("bear", *scores), TIMES_S).labels
    assert list(label.spans_s) == spans
    assert label.frames == sum(score >= 0.4 for score in scores)


def test_spans_and_frames_count_at_the_review_threshold_also_when_blocking() -> None:
    (label,) = HORN.judge(seen("horn", 0.4, 0.6, 0.6, 0.4), TIMES_S).labels
    assert (label.action, label.frames, label.spans_s) == (Action.BLOCK, 4, ((0.0, 6.0),))


def test_the_gravest_action_comes_first_then_the_highest_score() -> None:
    rules = policy(bear=rule(), ape=rule(), owl=rule(), horn=rule(0.4, 1, {"score": 0.6, "frames": 1}), otter=rule(0.9))
    scores = {"owl": 0.5, "bear": 0.99, "horn": 0.61, "ape": 0.5, "otter": 0.8}
    judged = rules.judge([sighting for label, score in scores.items() for sighting in seen(label, score)], TIMES_S)
    assert judged.action is Action.BLOCK
    assert [label.label for label in judged.labels] == ["horn", "bear", "ape", "owl"]


def test_labels_without_a_rule_are_named() -> None:
    assert policy(bear=rule(), owl=rule()).missing(["owl", "lynx", "bear", "puma"]) == ["lynx", "puma"]
    with pytest.raises(KeyError, match="lynx"):
        policy(bear=rule()).judge(seen("lynx", 0.9), TIMES_S)


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
    content = {"version": "1", "labels": {"horn": rule(0.4, 2, {"score": 0.6, "frames": 2})}}
    assert loaded(tmp_path, content).labels == HORN.labels


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"review": {"score": 0, "frames": 1}}, r"labels\.horn\.review\.score: .*greater than 0 \(is 0\)"),
        ({"review": {"score": 1.5, "frames": 1}}, r"labels\.horn\.review\.score: .* \(is 1\.5\)"),
        ({"review": {"score": 0.5, "frames": 0}}, r"labels\.horn\.review\.frames: .* \(is 0\)"),
        ({"review": {"score": 0.5}}, r"labels\.horn\.review\.frames: Field required$"),
        ({"review": {"score": "high", "frames": 1}}, r"labels\.horn\.review\.score: .* \(is 'high'\)"),
        ({"block": {"score": 0.3, "frames": 1}}, r"block\.score 0\.3 is below review\.score 0\.4"),
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
