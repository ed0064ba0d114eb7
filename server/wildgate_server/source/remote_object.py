"""A video on another host, read by range in bounded time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter, sleep
from typing import TypeVar

from wildgate_server.errors import FetchFailed
from wildgate_server.source.byte_source import ByteRange, ByteSource
from wildgate_server.source.fetching import FetchConfig, PartFetcher, PartsUnfit, TransientFailure
from wildgate_server.source.remote_uri import BucketUri, HttpUrl
from wildgate_server.source.video_source import VideoSource

__all__ = ["RemoteObject"]

_FIRST_PAUSE_S = 0.1
_PATIENCE_S = 3.0  # before a slow host is given up
_LOOKED_AFTER_S = 0.25
_RETRY_AFTER_S = 1.0  # what callers are told, once all attempts have failed

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RemoteObject(VideoSource):
    """An object on another host that may be read."""

    place: HttpUrl | BucketUri
    config: FetchConfig

    @property
    def origin(self) -> str:
        """Its host, or its bucket."""
        return self.place.host if isinstance(self.place, HttpUrl) else f"{self.place.scheme}://{self.place.bucket}"

    @property
    def kind(self) -> str:
        """Its scheme, but http for https."""
        return "http" if self.place.scheme == "https" else self.place.scheme

    @property
    def key(self) -> str:
        """The URI as it was given."""
        return self.place.text

    @contextmanager
    def opened(self, max_bytes: int) -> Iterator[ByteSource]:
        """The object, to be read in parts, or read already where its server does not serve ranges.

        Raises VideoTooLarge past `max_bytes`, UriNotAllowed, UriNotFound and FetchFailed.
        """
        started = perf_counter()
        reader = _RetryingReader(_fetcher(self.place, self.config), self.config, max_bytes)
        try:
            head, size = reader.begin()
            source = ByteSource(size, reader.fetch, self.config.bounds, head)
            source.waited_s = perf_counter() - started
            yield source
        finally:
            reader.close()


class _RetryingReader:
    """Has several requests under way, retries those that fail for the moment.

    Gives up at a deadline, and before it where little comes.
    """

    def __init__(self, fetcher: PartFetcher, config: FetchConfig, max_bytes: int) -> None:
        self._fetcher = fetcher
        self._max_bytes = max_bytes
        self._config = config
        self._deadline = monotonic() + config.timeout_s
        self._waited_s = 0.0
        self._threads = ThreadPoolExecutor(config.parallel, thread_name_prefix="fetch")

    def begin(self) -> tuple[bytes, int]:
        """The beginning of the object, or all of it, and its size."""
        step_bytes = self._config.bounds.step_bytes
        try:
            return self._all_of([lambda: self._fetcher.beginning(step_bytes, self._max_bytes)])[0]
        except PartsUnfit:
            content = self._whole()
            return content, len(content)

    def fetch(self, spans: Sequence[ByteRange]) -> list[bytes] | bytes:
        """The bytes of each range, or all where the ranges cannot be relied on."""
        try:
            return self._all_of([lambda span=span: self._fetcher.part(span) for span in spans])  # type: ignore[misc]
        except PartsUnfit:
            return self._whole()

    def _whole(self) -> bytes:
        return self._all_of([lambda: self._fetcher.whole(self._max_bytes)])[0]

    def close(self) -> None:
        """Ends what is under way; waits for nothing."""
        self._fetcher.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _all_of(self, requests: Sequence[Callable[[], Result]]) -> list[Result]:
        began = monotonic()
        futures: list[Future[Result]] = [self._threads.submit(self._tried, request) for request in requests]
        try:
            while wait(futures, _LOOKED_AFTER_S, FIRST_EXCEPTION).not_done:
                if failed := next((future for future in futures if future.done() and future.exception()), None):
                    return [failed.result()]  # which raises
                self._check_pace(monotonic() - began)
            return [future.result() for future in futures]
        finally:
            self._waited_s += monotonic() - began
            for future in futures:
                future.cancel()  # after a failure; the others are done

    def _tried(self, request: Callable[[], Result]) -> Result:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, self._config.attempts + 1):
            try:
                return request()
            except TransientFailure as failure:
                if monotonic() >= self._deadline:
                    raise self._too_late() from None
                if attempt == self._config.attempts or monotonic() + pause_s > self._deadline:
                    raise FetchFailed(str(failure), field="uri", retry_after_s=_RETRY_AFTER_S) from None
            sleep(pause_s)
            pause_s *= 2
        raise AssertionError("attempts is at least 1")

    def _check_pace(self, waiting_s: float) -> None:
        """Raises FetchFailed at the deadline, and where the host has sent too little for the time it was given."""
        if monotonic() >= self._deadline:
            raise self._too_late()
        received, slowest = self._fetcher.received_bytes, self._config.slowest_kb_per_s << 10
        if received is not None and received < slowest * (self._waited_s + waiting_s - _PATIENCE_S):
            raise FetchFailed(
                f"the host sends less than {self._config.slowest_kb_per_s} kB/s",
                field="uri",
                retry_after_s=_RETRY_AFTER_S,
            )

    def _too_late(self) -> FetchFailed:
        return FetchFailed(
            f"reading the video took longer than {self._config.timeout_s:g} s",
            field="uri",
            retry_after_s=_RETRY_AFTER_S,
        )


def _fetcher(place: HttpUrl | BucketUri, config: FetchConfig) -> PartFetcher:
    """Imported when it is needed: few workers fetch, and clients cost memory and start-up time."""
    if isinstance(place, BucketUri):
        from wildgate_server.source.bucket_fetcher import BucketFetcher

        return BucketFetcher(place, config)
    from wildgate_server.source.http_fetcher import HttpFetcher

    return HttpFetcher(place, config)
