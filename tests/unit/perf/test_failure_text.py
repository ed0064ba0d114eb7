"""What results tell of failures."""

from __future__ import annotations

import pytest

from wildgate_perf.results import brief, first_line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no room: /home/me/out/server.log, see there\nlast lines: secret", "no room: <path>, see there"),
        ("cannot read '/srv/x y'", "cannot read '<path> y'"),
        ("file:///data/me.mp4: gone", "<path>: gone"),
        ("~/models is away", "<path> is away"),
        ("3.5 videos/s, p50/p99", "3.5 videos/s, p50/p99"),
        ("http://127.0.0.1:99/a.mp4 refused", "http://127.0.0.1:99/a.mp4 refused"),
        ("\n  late\n", "late"),
        ("", ""),
    ],
)
def test_one_line_without_paths(text: str, told: str) -> None:
    assert first_line(text) == told


def test_a_failure_is_called_by_its_type() -> None:
    assert brief(ValueError("bad\nworse")) == "ValueError: bad"
