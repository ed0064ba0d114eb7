"""Histograms and tallies: percentiles near the truth, sums over processes, JSON there and back."""

from __future__ import annotations

import json
import math
import random

import pytest

from wildgate_perf.locust_load.histogram import Histogram
from wildgate_perf.locust_load.tally import Answer, Came, Outcomes, Tally


def histogram(*durations_ms: float) -> Histogram:
    counted = Histogram()
    for duration_ms in durations_ms:
        counted.add(duration_ms)
    return counted


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95, 0.99, 1.0])
def test_percentiles_are_within_one_percent_of_the_nearest_rank(share: float) -> None:
    chance = random.Random(1)
    durations = sorted(math.exp(chance.uniform(math.log(0.05), math.log(60_000))) for _ in range(2000))
    true = durations[max(1, math.ceil(share * len(durations))) - 1]
    assert histogram(*durations).percentile_ms(share) == pytest.approx(true, rel=0.0101)


def test_of_nothing_there_is_no_percentile_and_no_mean() -> None:
    assert math.isnan(Histogram().percentile_ms(0.5))
    assert math.isnan(Histogram().mean_ms)


def test_parts_add_up_to_the_whole() -> None:
    whole = histogram(1, 2, 3, 400, 0.001)
    parts = Histogram.sum([histogram(1, 2), histogram(3, 400), histogram(0.001), Histogram()])
    assert parts.as_json()[1:] == whole.as_json()[1:]
    assert parts.count == 5
    assert parts.mean_ms == pytest.approx(406.001 / 5)


def test_json_gives_the_same_histogram() -> None:
    written = json.loads(json.dumps(histogram(1, 1, 50).as_json()))
    assert Histogram.from_json(written).as_json() == written


@pytest.mark.parametrize("value", [[], [1.0, [2]], [1.0, 3], ["x"], 5])
def test_what_is_no_histogram_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a histogram"):
        Histogram.from_json(value)  # type: ignore[arg-type]


def answered(took_ms: float, **fields: object) -> Answer:
    return Answer(Came.ANSWERED, took_ms, **fields)  # type: ignore[arg-type]


def test_latencies_are_those_of_answers_alone() -> None:
    outcomes = Outcomes()
    for answer in (
        answered(100, response_bytes=10, request_bytes=1000, cached=True, stages_ms={"infer": 40}),
        Answer(Came.REFUSED, 1, request_bytes=1000, reason="RESOURCE_EXHAUSTED OVERLOADED"),
        Answer(Came.FAILED, 9000, request_bytes=1000, reason="INTERNAL"),
    ):
        outcomes.add(answer)
    assert (outcomes.asked, outcomes.answered, outcomes.refused, outcomes.failed, outcomes.cached) == (3, 1, 1, 1, 1)
    assert outcomes.latency.percentile_ms(1) == pytest.approx(100, rel=0.01)
    assert outcomes.stages["infer"].percentile_ms(0.5) == pytest.approx(40, rel=0.01)
    assert (outcomes.request_bytes, outcomes.response_bytes) == (3000, 10)
    assert outcomes.reasons == {"RESOURCE_EXHAUSTED OVERLOADED": 1, "INTERNAL": 1}


def test_tallies_of_processes_become_one_and_are_sent_once() -> None:
    master, worker = Tally(), Tally()
    worker.add(10, "uri", answered(5, stages_ms={"infer": 1}))
    master.merge(Tally.from_json(json.loads(json.dumps(worker.take().as_json()))))
    worker.add(10, "uri", answered(7))
    worker.add(11, "content", Answer(Came.FAILED, 3, reason="INTERNAL"))
    master.merge(Tally.from_json(json.loads(json.dumps(worker.take().as_json()))))
    assert worker.take().as_json() == []
    assert [(second, kind, came.answered, came.failed) for second, kind, came in master] == [
        (10, "uri", 2, 0),
        (11, "content", 0, 1),
    ]
    assert master.answered == 2
