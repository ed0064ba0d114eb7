from __future__ import annotations

from wildgate_console.timeline import timeline
from wildgate_proto.v1 import scoring_pb2


def test_a_line_of_time_shows_what_was_looked_at_seen_and_left_out() -> None:
    looked_at = [0.0, 1.0, 2.0, 8.0, 10.0]
    coverage = scoring_pb2.Coverage(looked_at_s=looked_at, last_frame_s=10, max_gap_s=2)
    seen = scoring_pb2.LabelVerdict(label="horn", spans=[scoring_pb2.TimeSpan(start_s=1, end_s=2)])
    line = timeline(scoring_pb2.Verdict(coverage=coverage, labels=[seen]), [8.0])
    assert line.looked_at == [0, 100, 200, 800, 1000]
    assert [(gap.x, gap.width) for gap in line.gaps] == [(200, 600)]
    assert [(bar.x, bar.width) for bar in line.rows[0].bars] == [(100, 100)]
    assert line.frames == [800]


def test_a_verdict_without_a_video_still_has_a_line() -> None:
    assert timeline(scoring_pb2.Verdict(), []).rows == []
