"""The adversary's videos: they show what they say, to viewers, and hide it from a rule that looks every two seconds."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import av
import pytest

from wildgate_perf.evasion.adversary import draft_of, video_of
from wildgate_perf.evasion.attacks import ATTACKS, IN_PLAIN_SIGHT, ORDINARY, Attack, Attempt, attempts
from wildgate_perf.evasion.pictures import luma_of, shows_contraband
from wildgate_perf.evasion.rule import LookedAt, Rule
from wildgate_perf.server_parts import Scrutiny
from wildgate_perf.server_process import MODEL_REPOSITORY

LONG = "single_keyframe"  # a minute of video


def frames(content: bytes, every: int = 1) -> list[LookedAt]:
    """Every frame of the last video track, or one in so many, as a player shows it."""
    with av.open(io.BytesIO(content)) as file:
        shown = list(file.decode(file.streams.video[-1]))[::every]
        pictures = [luma_of(frame) for frame in shown]
    return [
        LookedAt(float(frame.time or 0), shows_contraband(luma)) for frame, luma in zip(shown, pictures, strict=True)
    ]


class EveryTwoSeconds(Rule):
    """Looks at a frame every two seconds, whatever it holds."""

    def __init__(self) -> None:
        pass

    def looks(self, content: bytes, scrutiny: Scrutiny = Scrutiny.NORMAL) -> list[LookedAt]:
        return frames(content, every=48)

    def times_s(self, content: bytes, scrutiny: Scrutiny) -> list[float]:
        return [look.time_s for look in self.looks(content)]


def attack(name: str) -> Attack:
    return next(each for each in ATTACKS if each.name == name)


@pytest.mark.parametrize("each", [each for each in ATTACKS if each.name != LONG], ids=lambda each: each.name)
def test_an_attack_shows_its_contraband_to_viewers(each: Attack) -> None:
    attempt = Attempt(each, each.shown_s[0], each.encoders[0], seed=1)
    draft = draft_of(attempt, start=170)
    seen = [number for number, frame in enumerate(frames(each.make(draft))) if frame.contraband]
    assert len(draft.shown) == pytest.approx(attempt.frames_shown, abs=2), "what is left out are keyframes"
    assert len(seen) == pytest.approx(attempt.frames_shown, abs=8), "a fade, once coded, is about half through"
    first = 0 if each.name == "edit_list" else draft.shown[0]
    assert seen[0] == pytest.approx(first, abs=4)


def test_the_harmless_show_none() -> None:
    assert not any(frame.contraband for frame in frames(ORDINARY.make(draft_of(Attempt(ORDINARY, 0, "mpeg4", 2), 0))))


def test_equal_drafts_are_equal_files() -> None:
    drafts = [draft_of(Attempt(IN_PLAIN_SIGHT, 12, "libvpx", seed), 0) for seed in (1, 1, 2)]
    first, again, other = map(IN_PLAIN_SIGHT.make, drafts)
    assert first == again != other


@pytest.mark.parametrize("name", ["between_looks", "keyframe_decoy", "many_cuts"])
def test_the_adversary_hides_a_second_from_a_rule_that_can_be_foretold(name: str, tmp_path: Path) -> None:
    rule = EveryTwoSeconds()
    content = video_of(Attempt(attack(name), 1, "libx264", 3), tmp_path, rule).read_bytes()
    assert not any(look.contraband for look in rule.looks(content))
    assert sum(frame.contraband for frame in frames(content)) == pytest.approx(24, abs=3)


def test_what_was_encoded_is_not_encoded_again(tmp_path: Path) -> None:
    attempt = Attempt(replace(attack("between_looks"), form=replace(ORDINARY.form, seconds=6)), 1, "mpeg4", 0)
    first = video_of(attempt, tmp_path, EveryTwoSeconds())
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert video_of(attempt, tmp_path, EveryTwoSeconds()) == first
    assert kept == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}


def test_the_projects_own_rule_sees_contraband_in_plain_sight() -> None:
    content = IN_PLAIN_SIGHT.make(draft_of(Attempt(IN_PLAIN_SIGHT, 12, "libx265", 0), 0))
    looks = Rule(MODEL_REPOSITORY).looks(content)
    assert looks
    assert all(look.contraband for look in looks)


def test_at_least_two_hundred_videos_are_tried_each_once() -> None:
    names = [attempt.name for attempt in attempts(ATTACKS)]
    assert len(names) >= 200
    assert len(set(names)) == len(names)
    assert len(attempts(ATTACKS, one_each=True)) == sum(len(each.shown_s) for each in ATTACKS)
