"""Queues with known answers: formulas from the literature, and simulations."""

from __future__ import annotations

import math

import pytest
from simulated_node import waits

from wildgate_perf.capacity.model import erlang_c, mean_wait, wait_percentile

EQUAL = 0.5  # arrivals at random, equal service times


@pytest.mark.parametrize(
    ("servers", "utilisation", "probability"),
    [
        (1, 0.0, 0.0),
        (1, 0.7, 0.7),  # M/M/1: one waits whenever somebody is there
        (2, 0.5, 1 / 3),  # 2 u^2 / (1 + u)
        (2, 0.8, 2 * 0.64 / 1.8),
        (5, 0.8, 0.5541),  # tables of Erlang's C formula
        (10, 0.8, 0.4092),
        (400, 0.5, 0.0),
    ],
)
def test_the_probability_of_waiting(servers: int, utilisation: float, probability: float) -> None:
    assert erlang_c(servers, utilisation) == pytest.approx(probability, abs=1e-4)


def test_the_sum_of_erlangs_own_formula_gives_the_same() -> None:
    servers, offered = 7, 5.6
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    others = sum(offered**number / math.factorial(number) for number in range(servers))
    assert erlang_c(servers, offered / servers) == pytest.approx(last / (others + last))


@pytest.mark.parametrize(("servers", "utilisation"), [(0, 0.5), (1, 1.0), (1, -0.1)])
def test_a_queue_that_cannot_be_is_refused(servers: int, utilisation: float) -> None:
    with pytest.raises(ValueError, match="utilisation from 0 to below 1"):
        erlang_c(servers, utilisation)


@pytest.mark.parametrize("utilisation", [0.3, 0.7, 0.9])
def test_one_server_waits_as_pollaczek_and_khinchine_say(utilisation: float) -> None:
    assert mean_wait(1, utilisation, 10.0) == pytest.approx(10 * utilisation / (1 - utilisation))
    assert mean_wait(1, utilisation, 10.0, EQUAL) == pytest.approx(5 * utilisation / (1 - utilisation))


def test_most_wait_not_at_all_while_there_is_room() -> None:
    assert wait_percentile(0.5, 2, 0.5, 10.0) == 0.0  # two thirds do not
    assert wait_percentile(0.7, 2, 0.5, 10.0) > 0.0


def test_percentiles_of_one_server() -> None:
    # M/M/1: P(W > t) = u exp(-(1 - u) t / service)
    found = wait_percentile(0.99, 1, 0.8, 10.0)
    assert 0.8 * math.exp(-0.2 * found / 10.0) == pytest.approx(0.01)


@pytest.mark.parametrize("servers", [1, 2, 8])
def test_simulated_waiting_with_exponential_service(servers: int) -> None:
    utilisation, service = 0.7, 2.0
    found = sorted(waits(servers, utilisation * servers / service, lambda c: c.expovariate(1 / service), 150_000, 5))
    assert sum(found) / len(found) == pytest.approx(mean_wait(servers, utilisation, service), rel=0.08)
    assert found[int(0.95 * len(found))] == pytest.approx(
        wait_percentile(0.95, servers, utilisation, service), rel=0.08
    )


@pytest.mark.parametrize("servers", [1, 2, 8])
def test_simulated_waiting_with_equal_service(servers: int) -> None:
    utilisation, service = 0.8, 2.0
    found = waits(servers, utilisation * servers / service, lambda chance: service, 150_000, 5)
    # Allen and Cunneen are exact for one server and a few percent low for several.
    assert sum(found) / len(found) == pytest.approx(mean_wait(servers, utilisation, service, EQUAL), rel=0.12)
