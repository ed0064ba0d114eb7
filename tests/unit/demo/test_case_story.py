from __future__ import annotations

import dataclasses

from case_story import log_is_signed, recognises
from verdicts import TIGER_VERDICT

from wildgate_client import Action, BlockMatch

HEAD = "ab" * 32


def test_a_copy_is_recognised_only_if_the_entry_itself_blocks_it():
    match = BlockMatch("case-1", "live_tiger", "", "", "FRAMES", Action.BLOCK, (), 1.0, None, 0)
    blocked = dataclasses.replace(TIGER_VERDICT, action=Action.BLOCK, block_matches=(match,))
    assert recognises(blocked, {"case-1"})
    assert not recognises(blocked, {"case-2"})
    assert not recognises(dataclasses.replace(blocked, block_matches=()), {"case-1"})
    assert not recognises(dataclasses.replace(blocked, action=Action.REVIEW), {"case-1"})


def test_a_log_counts_only_if_it_has_events_and_all_are_under_a_trusted_signature():
    assert log_is_signed(f"12 events hold, up to 12 signed; head {HEAD}")
    assert not log_is_signed(f"12 events hold, up to 11 signed; head {HEAD}")
    assert not log_is_signed(f"0 events hold, up to 0 signed; head {HEAD}")
    assert not log_is_signed(f"12 events hold, up to 12 signed, by keys that were not checked; head {HEAD}")
