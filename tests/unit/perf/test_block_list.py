"""What is measured of long lists of blocks."""

from __future__ import annotations

from wildgate_perf.block_list.hashes import searched


def test_all_that_is_near_is_found_in_a_short_list_and_nothing_else() -> None:
    [figures] = searched([4000]).values()
    assert (figures["found"], figures["by_chance"]) == (1.0, 0)
    assert figures["bytes"] > 4000 * 32
    assert 0 < figures["full_ms"]["wall_p50"] <= figures["full_ms"]["wall_p99"]
