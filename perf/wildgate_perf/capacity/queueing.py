"""Waiting times of queues with several servers, in the unit of the service time.

`servers` servers take `service` each for a customer, who come at random at such a rate that each server is busy for
the share `utilisation` (0 to below 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["RANDOM", "Variability", "erlang_c", "mean_wait", "wait_percentile"]


@dataclass(frozen=True)
class Variability:
    """Squared coefficients of variation: of the times between arrivals and of the service times.

    1 is an exponential distribution (arrivals at random, Poisson's), 0 always the same time.
    """

    arrivals: float = 1.0
    service: float = 1.0


RANDOM = Variability()
"""Arrivals at random and exponential service times: M/M/c."""


def erlang_c(servers: int, utilisation: float) -> float:
    """The probability that a customer has to wait, in M/M/c: Erlang's C formula.

    By the recursion of Erlang's B formula, which does not overflow (L. Kleinrock, "Queueing Systems I", 1975, 3.5 and
    3.6). Raises ValueError for values out of range.
    """
    if servers < 1 or not 0 <= utilisation < 1:
        raise ValueError(
            f"servers must be 1 or more and utilisation from 0 to below 1, not {servers} and {utilisation}"
        )
    offered = servers * utilisation
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = offered * blocked / (number + offered * blocked)
    return blocked / (1 - utilisation * (1 - blocked))


def mean_wait(servers: int, utilisation: float, service: float, variability: Variability = RANDOM) -> float:
    """The mean time before service begins, in G/G/c, by Allen and Cunneen.

    Exact for M/M/c, and with one server for arrivals at random whatever the service times (Pollaczek, Khinchine).
    """
    exponential = erlang_c(servers, utilisation) * service / (servers * (1 - utilisation))
    return exponential * (variability.arrivals + variability.service) / 2


def wait_percentile(
    share: float, servers: int, utilisation: float, service: float, variability: Variability = RANDOM
) -> float:
    """The time that a `share` (0 to below 1) of customers do not wait longer than; exact for M/M/c.

    Who waits at all is taken to wait for an exponentially distributed time, of the mean that `mean_wait` gives.
    """
    waits = erlang_c(servers, utilisation)
    if 1 - share >= waits:
        return 0.0
    return math.log(waits / (1 - share)) * mean_wait(servers, utilisation, service, variability) / waits
