"""The server's side of a load test, as rows of locust's statistics: what Triton and each kind of process do meanwhile.

Rows of type `triton queue` and `triton compute` are by model: milliseconds that a request to it waited and was worked
on, on average between two readings; an ensemble's are those of its models together. Rows of type `core %` are by
process: how much of one core it used.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["COMPUTE", "CORE", "QUEUE", "ServerSide"]

QUEUE, COMPUTE, CORE = "triton queue", "triton compute", "core %"
"""Types of rows."""

_TIMEOUT_S = 5.0
_TRITON = re.compile(r'^nv_inference_(\w+)\{model="(\w+)",version="\d+"\} (\S+)$', re.MULTILINE)
_PROCESSOR = re.compile(r'^wildgate_process_cpu_seconds_total\{process="(\w+)"\} (\S+)$', re.MULTILINE)
_REQUESTS, _WAITED_US = "request_success", "queue_duration_us"
_WORKED_US = ("compute_input_duration_us", "compute_infer_duration_us", "compute_output_duration_us")

_Counters = Mapping[tuple[str, str], float]
"""By what is counted and its model or process."""


class ServerSide:
    """Reads the metrics of the gateway at `address` (HOST:PORT) and logs `row(name, kind, value)`.

    A gateway with an external Triton passes on nothing of that: then there are rows of its own processes alone.
    """

    def __init__(
        self, address: str, row: Callable[[str, str, float], Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = address
        self._row = row
        self._clock = clock
        self._before: tuple[float, _Counters] | None = None
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read(self) -> None:
        """Logs what has happened since the last reading. Raises OSError where the metrics cannot be had."""
        now, counters = self._clock(), dict(self._counters())
        then, before = self._before or (now, counters)
        self._before = now, counters
        change = {key: value - before.get(key, value) for key, value in counters.items()}
        for (what, name), grown in change.items():
            if what == CORE and now > then:
                self._row(name, CORE, grown / (now - then) * 100)
            if what == _REQUESTS and grown > 0:
                self._row(name, QUEUE, change.get((_WAITED_US, name), 0.0) / grown / 1e3)
                worked_us = sum(change.get((part, name), 0.0) for part in _WORKED_US)
                self._row(name, COMPUTE, worked_us / grown / 1e3)

    def _counters(self) -> Iterator[tuple[tuple[str, str], float]]:
        for process, seconds in _PROCESSOR.findall(self._page("/metrics")):
            yield (CORE, process), float(seconds)
        try:
            told = self._page("/metrics/triton")
        except OSError:
            return
        for what, model, value in _TRITON.findall(told):
            yield (what, model), float(value)

    def _page(self, path: str) -> str:
        with self._opener.open(f"http://{self._address}{path}", timeout=_TIMEOUT_S) as answer:
            page: bytes = answer.read()
        return page.decode()
