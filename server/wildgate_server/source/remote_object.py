"""A video that lies elsewhere: what it takes to read it by range, in bounded time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter, sleep
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from wildgate_server.errors import FetchFailed, VideoTooLarge
from wildgate_server.source.byte_ranges import ByteRange, ByteSource, MemorySource
from wildgate_server.source.http_url import DEFAULT_PORTS, Scheme
from wildgate_server.source.public_address import Network
from wildgate_server.source.ranged_source import RangedSource, ReadingBounds

__all__ = ["Beginning", "FetchConfig", "PartFetcher", "RemoteObject", "TransientFailure"]

_FIRST_PAUSE_S = 0.1
_BOUNDS = ReadingBounds(step_bytes=48 << 10, max_gap_bytes=32 << 10, max_requests=64)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """How objects are read from elsewhere.

    `timeout_s` bounds the reading of one video, from the first name resolved to the last byte; after `stall_s`
    without a byte, a request is given up. Each request is tried `attempts` times. At most `parallel` requests are
    under way at once, and `bounds` says how many there are in all. `schemes` are those that a redirect may lead to;
    `private_networks` are those that may be reached although they are not public, on any port; other hosts may be
    reached on `ports`.
    """

    timeout_s: float = 8.0
    stall_s: float = 3.0
    attempts: int = 3
    parallel: int = 4
    bounds: ReadingBounds = _BOUNDS
    schemes: tuple[Scheme, ...] = ("http", "https")
    private_networks: tuple[Network, ...] = ()
    ports: tuple[int, ...] = tuple(DEFAULT_PORTS.values())


class TransientFailure(Exception):
    """A request failed in a way that may pass. Never reaches a caller."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first bytes of an object, and the size of all of it; `content` is all of it where parts are not to be had."""

    content: bytes
    size: int
    is_all: bool


class PartFetcher(Protocol):
    """Reads one object, from several threads at once.

    Both raise TransientFailure, UriNotFound, UriNotAllowed and FetchFailed.
    """

    def beginning(self, length: int, max_bytes: int) -> Beginning:
        """The first `length` bytes, or all where parts are not to be had; raises VideoTooLarge past `max_bytes`."""

    def part(self, span: ByteRange) -> bytes:
        """The bytes of a range, of the same object that `beginning` found."""

    def close(self) -> None:
        """Ends what is under way."""


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """An object behind an http, https, s3 or gs URI that may be read."""

    uri: str
    config: FetchConfig = FetchConfig()

    @contextmanager
    def opened(self, max_bytes: int) -> Iterator[ByteSource]:
        """The object, to be read in parts, or read already where its server does not give parts.

        Raises VideoTooLarge past `max_bytes`, UriNotAllowed, UriNotFound and FetchFailed.
        """
        deadline = monotonic() + self.config.timeout_s
        started = perf_counter()
        fetcher = _fetcher(self.uri, self.config, deadline)
        reader = _PatientReader(fetcher, self.config, deadline)
        try:
            beginning = reader.begin(max_bytes)
            waited_s = perf_counter() - started
            if beginning.is_all:
                whole = MemorySource(beginning.content)
                whole.read_requests, whole.waited_s = 1, waited_s
                yield whole
            else:
                yield RangedSource(reader, self.config.bounds, beginning.content, waited_s)
        finally:
            reader.close()


class _PatientReader:
    """A `RangeReader` that has several requests under way, tries again, and gives up at a deadline."""

    def __init__(self, fetcher: PartFetcher, config: FetchConfig, deadline: float) -> None:
        self._fetcher = fetcher
        self._config = config
        self._deadline = deadline
        self._threads = ThreadPoolExecutor(config.parallel, thread_name_prefix="fetch")
        self.size = 0

    def begin(self, max_bytes: int) -> Beginning:
        """The beginning of the object."""
        step_bytes = self._config.bounds.step_bytes
        beginning = self._all_of([lambda: self._fetcher.beginning(step_bytes, max_bytes)])[0]
        if beginning.size > max_bytes:
            raise VideoTooLarge.past("max_bytes", max_bytes, beginning.size)
        self.size = beginning.size
        return beginning

    def fetch(self, spans: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of each range."""
        return self._all_of([lambda span=span: self._fetcher.part(span) for span in spans])  # type: ignore[misc]

    def close(self) -> None:
        """Ends what is under way; waits for nothing."""
        self._fetcher.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _all_of(self, requests: Sequence[Callable[[], Result]]) -> list[Result]:
        futures: list[Future[Result]] = [self._threads.submit(self._tried, request) for request in requests]
        try:
            return [future.result(max(self._deadline - monotonic(), 0.0)) for future in futures]
        except TooLate:
            raise self._too_late() from None

    def _tried(self, request: Callable[[], Result]) -> Result:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, self._config.attempts + 1):
            try:
                return request()
            except TransientFailure as failure:
                if monotonic() >= self._deadline:
                    raise self._too_late() from None
                if attempt == self._config.attempts or monotonic() + pause_s > self._deadline:
                    raise FetchFailed(str(failure), field="uri") from None
            sleep(pause_s)
            pause_s *= 2
        raise AssertionError("attempts is at least 1")

    def _too_late(self) -> FetchFailed:
        return FetchFailed(f"reading the video took longer than {self._config.timeout_s:g} s", field="uri")


def _fetcher(uri: str, config: FetchConfig, deadline: float) -> PartFetcher:
    if urlsplit(uri).scheme in ("s3", "gs"):
        from wildgate_server.source.bucket_fetcher import BucketFetcher  # brings a runtime of its own, which few need

        return BucketFetcher(uri, config)
    from wildgate_server.source.http_fetcher import HttpFetcher

    return HttpFetcher(uri, config, deadline)
