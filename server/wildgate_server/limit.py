"""How much may be under way at once: as much as takes hardly longer than little does.

More than a machine can do at once only makes all of it slower, and keeps who comes next, however urgent, waiting behind
what has begun. What it can do is not known beforehand: it depends on cores, GPU, batches and the videos themselves. So
the limit follows the gradient of the time that work takes, as that of Envoy's adaptive concurrency filter does
(https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/adaptive_concurrency_filter).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import sqrt
from time import monotonic

__all__ = ["GradientLimit"]

_SLACK = 1.25  # how much longer work may take than little work does
_ROOM = 0.25  # Envoy's is 1: of two cores, each would have two or three videos at once, and callers a longer tail
_STEEPEST = 0.5  # the limit is halved at most, at a time
_FEWEST_SAMPLES, _CALM_SAMPLES, _PROBE_SAMPLES = 8, 15, 5
_PROBED_EVERY_S = 60.0
_BURST_S = 10.0  # a line that has not been empty for longer stands
# And is kept as short as this, or as so much work takes, or as a share of the time that a caller has.
_STANDING_S, _STANDING_WORK, _STANDING_SHARE = 2.0, 4.0, 0.25


class GradientLimit:
    """A limit from `least` to `most`, by what `sample` is told; `clock` returns monotonic seconds.

    Every few samples of work that was done while other work waited, it becomes limit * calm / full with some slack, and
    a little more to grow (by its root): `full` is how long such work takes, `calm` how long it took when `least` were
    under way at most. Where so little was under way for a minute never, it goes down to `least` for a moment, to see.
    """

    def __init__(self, least: int, most: int, clock: Callable[[], float] = monotonic) -> None:
        self._least = min(least, most)
        self._most = most
        self._clock = clock
        self._limit = float(self._least)
        self.usual_s = 0.0
        """Seconds that work takes now; 0 while that is not known."""
        self.pace_s = 0.0
        """Seconds from one end of work to the next where all that may be is under way; 0 while that is not known."""
        self.apart = 0
        """What is done apart from this work, and holds none of it up."""
        self._calm: deque[float] = deque(maxlen=_CALM_SAMPLES)
        self._calm_at = clock()
        self._probe = 0  # samples that it still waits for
        self._samples = 0
        self._full_s = 0.0  # as `usual_s`, while work waits
        self._full_since: float | None = None

    @property
    def limit(self) -> int:
        """How much may be under way."""
        return self._least if self._probe else int(self._limit)

    @property
    def _several(self) -> float:
        """Samples after which a change shows."""
        return max(self._limit, _FEWEST_SAMPLES)

    @property
    def calm_s(self) -> float:
        """Seconds that work takes when little is under way; 0 while that is not known."""
        # Not the median: of what counts as little, other work may have come and gone meanwhile.
        return sorted(self._calm)[len(self._calm) // 4] if self._calm else 0.0

    def patience_s(self, within_s: float) -> float:
        """How many of the seconds that there are waiting and work may take.

        All, but a part of them where work has waited for longer than a burst lasts: a line that never ends serves
        nobody sooner, and makes all wait who come to its end.
        """
        if self._full_since is None or self._clock() - self._full_since < _BURST_S:
            return within_s
        return min(within_s, max(_STANDING_S, _STANDING_WORK * self.usual_s, _STANDING_SHARE * within_s))

    def ends_in_s(self, ahead: int) -> float:
        """Seconds until the end of work that begins after `ahead` others; 0 where it may begin at once."""
        waiting = ahead - self.apart - self.limit + 1
        return waiting * self.pace_s + self.usual_s if waiting > 0 else 0.0

    def sample(self, took_s: float, at_once: int, *, full: bool) -> None:
        """Counts work that was done, with so much under way as it began or ended; `full`: other work waits."""
        weight = 2 / (self._several + 1) if self.usual_s else 1.0
        self.usual_s += (took_s - self.usual_s) * weight
        self.pace_s += (took_s / (at_once if full else max(at_once, self.limit)) - self.pace_s) * weight
        now = self._clock()
        if at_once <= self._least:
            self._calm.append(took_s)
            self._calm_at = now
            self._probe = max(self._probe - 1, 0)
        elif now - self._calm_at > _PROBED_EVERY_S:
            self._probe, self._calm_at = _PROBE_SAMPLES, now
        if not full:
            self._full_since = None
        else:
            self._full_since = self._full_since or now
            self._full_s += (took_s - self._full_s) * (weight if self._full_s else 1.0)
            self._samples += 1
        if self._samples >= self._several and not self._probe:
            self._step()

    def _step(self) -> None:
        gradient = min(max(_SLACK * self.calm_s / self._full_s, _STEEPEST), 1.0) if self._full_s else 1.0
        wanted = self._limit * gradient + _ROOM * sqrt(self._limit)
        self._limit = min(max(wanted, self._least), self._most)
        self._samples = 0
