from __future__ import annotations

import dataclasses
from pathlib import Path

from run_demo import clip_paths, compare
from sample_truth import ClipTruth
from verdicts import TIGER_VERDICT

from wildgate_client import Action, StreamResult, TimeSpan, Unavailable

TIGER = ClipTruth("clip.mp4", Action.BLOCK, {"live_tiger": (TimeSpan(5.0, 8.0),)})
HARMLESS = ClipTruth("clip.mp4", Action.ALLOW, {})
ALLOWED = dataclasses.replace(TIGER_VERDICT, action=Action.ALLOW, labels=())


def test_clips_that_failed_or_are_unknown_never_agree():
    failed = StreamResult("samples/clip.mp4", error=Unavailable("away", code=None, reason="X"))
    scored = StreamResult("samples/clip.mp4", verdict=ALLOWED)
    assert compare(failed, {"clip.mp4": HARMLESS}).differences == ["not scored"]
    assert compare(scored, {}).differences == ["not in the truth file"]
    assert compare(scored, {"clip.mp4": HARMLESS}).differences == []
    assert compare(scored, {"clip.mp4": TIGER}).differences != []


def test_a_missing_clip_or_truth_is_noticed(tmp_path: Path):
    for name in ("extra.webm", "truth.json", "NOTES.md"):
        (tmp_path / name).touch()
    assert clip_paths(tmp_path, {"clip.mp4": TIGER}) == [tmp_path / "clip.mp4", tmp_path / "extra.webm"]
