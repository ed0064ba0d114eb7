"""Which videos a version is tried on; what happens to them is in test_scoring."""

from __future__ import annotations

import pytest
from blake3 import blake3

from wildgate_server.rollout.canary import on_trial

DIGESTS = [f"blake3:{blake3(str(number).encode()).hexdigest()}" for number in range(4000)]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.9])
def test_the_share_is_kept_within_sampling_error(share: float) -> None:
    tried = sum(on_trial(digest, share) for digest in DIGESTS) / len(DIGESTS)
    assert tried == pytest.approx(share, abs=4 * (share * (1 - share) / len(DIGESTS)) ** 0.5)


def test_all_of_them() -> None:
    assert all(on_trial(digest, 1.0) for digest in [*DIGESTS, "blake3:" + "f" * 64, "blake3:" + "0" * 64])


def test_a_larger_share_keeps_the_videos_of_a_smaller_one() -> None:
    assert {digest for digest in DIGESTS if on_trial(digest, 0.1)} < {d for d in DIGESTS if on_trial(d, 0.3)}
