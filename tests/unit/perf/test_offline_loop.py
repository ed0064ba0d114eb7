"""The offline loop's processes, on a small clip."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import SAMPLES

from wildgate_perf.offline_loop import OfflineFailed, OfflineLoop, OfflineRound, total
from wildgate_perf.plain_scoring import file_source


def test_processes_together_are_one() -> None:
    both = total([OfflineRound(10, 5.0, 2.0, {"decoding": 1.5}), OfflineRound(30, 15.0, 4.0, {"decoding": 2.5})])
    assert both == OfflineRound(40, 20.0, 6.0, {"decoding": 4.0})
    assert both.cpu_ms() == {"decoding": 100.0, "rest": 50.0}


def test_two_processes_score_until_the_time_is_over(model_repository: Path) -> None:
    with OfflineLoop(model_repository, [file_source(SAMPLES / "tiger_passing.mp4")], 2) as offline:
        first, second = offline.run(1e-6), offline.run(0.01)
    assert first.videos == 2  # one each, which was begun in time
    assert second.videos >= 2
    assert second.per_s > 0
    assert second.parts_s.keys() == {"sampling", "decoding", "detecting", "policy"}


def test_what_fails_in_a_process_is_told(model_repository: Path) -> None:
    with pytest.raises(OfflineFailed, match="NotAVideo"), OfflineLoop(model_repository, [b"no video"], 1):
        pass
