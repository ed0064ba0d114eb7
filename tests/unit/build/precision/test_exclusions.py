"""The search for operators to leave in fp32: what it tries, in which order, and when it stops."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from wildgate_build.precision.exclusions import Attempt, SearchLimits, search_exclusions

OPERATORS = "abcuvwxyz"
PLENTY = 1e9
ALIKE = dict.fromkeys(OPERATORS, 0.1)


class Network:
    """Loses `harm` for each operator that is not left out; each look at the clock takes a second."""

    def __init__(self, harm: dict[str, float]) -> None:
        self.harm = harm
        self.tried: list[str] = []
        self.now = 0.0

    def loss(self, excluded: Sequence[str]) -> float:
        self.tried.append("".join(excluded))
        return self.error(excluded)

    def error(self, excluded: Sequence[str]) -> float:
        return sum(harm for name, harm in self.harm.items() if name not in excluded)

    def clock(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize(
    ("harm", "max_loss", "seconds", "start", "best", "tried"),
    [
        pytest.param({"a": 0.005}, 0.01, PLENTY, "", "", [], id="nothing is tried within the loss"),
        pytest.param({"a": 0.5, "z": 0.005}, 0.01, PLENTY, "", "a", ["a"], id="the first operator comes first"),
        pytest.param(
            {"a": 0.02, "b": 0.5, "c": 0.3, "z": 0.01},
            0.05,
            PLENTY,
            "",
            "bc",
            ["a", "b", "bc"],
            id="then those that bring the outputs nearest",
        ),
        pytest.param(ALIKE, 0.01, PLENTY, "", "abcu", ["a", "a", "ab", "abcu"], id="half of the operators stay"),
        pytest.param(ALIKE, 0.01, PLENTY, "yz", "yzab", ["yza", "yza", "yzab"], id="what is left out at first counts"),
        pytest.param(ALIKE, 0.01, PLENTY, "abcu", "abcu", [], id="half are left out at first"),
        pytest.param(
            {"a": 0.001, "b": 0.5, "z": 0.5}, 0.01, PLENTY, "b", "bz", ["ba", "bz"], id="what was left out stays out"
        ),
        pytest.param(
            {"a": 0.1, "d": 0.4}, 0.01, PLENTY, "", "a", ["a", "a", "ab", "abcu"], id="the best where none will do"
        ),
        pytest.param({"a": 0.1, "b": 0.4}, 0.01, 1.5, "", "a", ["a"], id="it stops when time is up"),
        pytest.param({"a": 0.5}, 0.01, 0, "", "", [], id="no time means no search"),
    ],
)
def test_the_search(
    harm: dict[str, float], max_loss: float, seconds: float, start: str, best: str, tried: list[str]
) -> None:
    network = Network(harm)
    first, limits = Attempt(tuple(start), network.error(start)), SearchLimits(max_loss, seconds)
    found = search_exclusions(first, OPERATORS, network.loss, network.error, limits, network.clock)
    assert found == Attempt(tuple(best), pytest.approx(network.error(best)))
    assert network.tried == tried
