from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from sample_truth import ClipTruth, disagreements, load_truth
from verdicts import TIGER_VERDICT, label

from wildgate_client import Action, LabelVerdict, TimeSpan, Verdict

TIGER = ClipTruth("clip.mp4", Action.BLOCK, {"live_tiger": (TimeSpan(5.0, 8.0),)})
HARMLESS = ClipTruth("clip.mp4", Action.ALLOW, {})


def verdict(action: Action, *labels: LabelVerdict) -> Verdict:
    return dataclasses.replace(TIGER_VERDICT, action=action, labels=labels)


@pytest.mark.parametrize("span", [(5.0, 8.0), (1.0, 3.0), (10.0, 12.0), (6.0, 6.0)])
def test_a_label_seen_within_the_slack_agrees(span: tuple[float, float]):
    assert disagreements(TIGER, verdict(Action.BLOCK, label("live_tiger", span))) == []


@pytest.mark.parametrize("span", [(0.0, 2.9), (10.1, 12.0)])
def test_a_label_seen_at_another_time_does_not_agree(span: tuple[float, float]):
    assert disagreements(TIGER, verdict(Action.BLOCK, label("live_tiger", span))) == ["live_tiger not seen at 5-8 s"]


def test_every_span_must_be_seen():
    twice = dataclasses.replace(TIGER, labels={"live_tiger": (TimeSpan(0.0, 1.0), TimeSpan(9.0, 10.0))})
    assert disagreements(twice, verdict(Action.BLOCK, label("live_tiger", (0.0, 1.0)))) == [
        "live_tiger not seen at 9-10 s"
    ]


def test_a_missing_label_and_another_action_do_not_agree():
    assert disagreements(TIGER, verdict(Action.ALLOW)) == ["action is ALLOW", "live_tiger not seen"]


def test_another_label_disagrees_only_if_it_calls_for_action():
    tiger = label("live_tiger", (5.0, 8.0))
    stray = label("ivory_tusk", (1.0, 1.0), action=Action.REVIEW)
    assert disagreements(TIGER, verdict(Action.BLOCK, tiger, stray)) == ["ivory_tusk is not there"]
    harmless = dataclasses.replace(stray, action=Action.ALLOW)
    assert disagreements(TIGER, verdict(Action.BLOCK, tiger, harmless)) == []


def test_a_harmless_clip_agrees_with_allow_alone():
    assert disagreements(HARMLESS, verdict(Action.ALLOW)) == []
    assert disagreements(HARMLESS, verdict(Action.BLOCK, label("live_tiger", (0.0, 1.0)))) == [
        "action is BLOCK",
        "live_tiger is not there",
    ]


def test_truth_is_read_and_a_faulty_entry_is_named(tmp_path: Path):
    path = tmp_path / "truth.json"
    clip = {"action": "BLOCK", "labels": {"live_tiger": [[5, 8]]}, "note": "turned"}
    path.write_text(json.dumps({"clips": {"clip.mp4": clip}}))
    assert load_truth(path) == {"clip.mp4": TIGER}
    path.write_text(json.dumps({"clips": {"clip.mp4": {**clip, "action": "FORBID"}}}))
    with pytest.raises(ValueError, match=r"clip\.mp4: .*FORBID"):
        load_truth(path)
