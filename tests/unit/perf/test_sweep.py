"""What the sweep advises, by ratios whose truth is known."""

from __future__ import annotations

import pytest

from wildgate_perf.spread import Spread
from wildgate_perf.sweep import Tried, advice


def tried(name: str, per_s: list[float], p99_ms: list[float]) -> Tried:
    return Tried(name, "1" if name != "nothing" else "", Spread.of(per_s), Spread.of(p99_ms))


NOTHING = tried("nothing", [1.01, 0.99], [1.1, 0.95])


def test_the_best_of_those_that_gain_in_every_round_is_advised_with_what_it_costs() -> None:
    more, quicker = advice(
        [
            NOTHING,
            tried("batch.max_rows", [0.97, 0.95], [0.7, 0.8]),
            tried("sampling.workers", [1.08, 1.06], [1.2, 1.2]),
            tried("backend.instances", [1.3, 0.98], [0.5, 1.4]),
        ]
    )
    assert more == "for videos a second: --sampling.workers 1 (videos a second x 1.07, p99 x 1.20; noise 1%)"
    assert quicker == "for p99: --batch.max-rows 1 (p99 x 0.75, videos a second x 0.96; noise 10%)"


@pytest.mark.parametrize("p99_ms", [[0.92, 0.91], [1.2, 1.2]])
def test_what_lies_within_noise_is_no_gain(p99_ms: list[float]) -> None:
    said = advice([NOTHING, tried("batch.max_rows", [1.02, 1.02], p99_ms)])
    assert said == [
        "for videos a second: leave all as it is; nothing gains more than noise (3%)",
        "for p99: leave all as it is; nothing gains more than noise (10%)",
    ]
