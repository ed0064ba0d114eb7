"""A short run of `make fuzz`, always the same, and what longer ones found."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_perf.fuzz import __main__ as fuzzing
from wildgate_perf.fuzz.__main__ import fuzz
from wildgate_perf.fuzz.corpus import requests, videos
from wildgate_perf.fuzz.mutation import mutated

VIDEOS = 300  # some 10 s of processor time, and 1,200 requests


async def test_nothing_that_is_changed_at_random_is_at_fault(tmp_path: Path) -> None:
    found = await fuzz(range(VIDEOS), keep=tmp_path)
    assert found.faults == []
    assert {said for _, _, said in found.costly} <= {"the video asks for more memory than a worker has"}
    assert found.inputs == 5 * VIDEOS
    assert {"read", "NOT_A_VIDEO", "CORRUPT_VIDEO"} <= set(found.outcomes)


async def test_what_is_at_fault_is_told_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "received_request", lambda _: 1 / 0)
    found = await fuzz(range(8), keep=tmp_path)
    assert {fault for _, _, fault in found.faults} == {"ZeroDivisionError('division by zero')"}


@pytest.mark.parametrize(("seed", "outcome"), [(1243, "CORRUPT_VIDEO"), (15238, "CORRUPT_VIDEO"), (202395, "read")])
async def test_nothing_that_was_at_fault_is_any_more(seed: int, outcome: str) -> None:
    """Two show no frame; the last packet of the third ends within its header."""
    assert (await fuzz(range(seed, seed + 1))).outcomes == {outcome: 1}


async def test_what_hangs_in_ffmpeg_is_ended_by_its_budget() -> None:
    """FFmpeg's muxer is told by the parameter sets of HEVC to count to billions."""
    found = await fuzz(range(16591, 16592))
    assert [said for _, _, said in found.costly] == ["reading the video took more processor time than it may"]
    assert not found.faults


def test_a_seed_always_makes_the_same_change() -> None:
    corpus = [*videos().values(), *requests().values()]
    for seed, content in enumerate(corpus):
        assert mutated(content, corpus, seed) == mutated(content, corpus, seed)
    assert len({mutated(corpus[0], corpus, seed) for seed in range(100)}) > 90
