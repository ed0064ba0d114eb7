"""Reading objects from other hosts: how it is bounded, and what every fetcher offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wildgate_server.source.byte_source import ByteRange, ReadingBounds
from wildgate_server.source.public_address import Network
from wildgate_server.source.remote_uri import DEFAULT_PORTS, Scheme

__all__ = ["FetchConfig", "PartFetcher", "PartsUnfit", "TransientFailure"]

_BOUNDS = ReadingBounds(step_bytes=48 << 10, max_gap_bytes=32 << 10, max_requests=64)


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """How objects are read from other hosts.

    `timeout_s` bounds the reading of one video, from the first name resolved to the last byte; after `stall_s`
    without a byte, a request is given up. So is a host that has sent less than `slowest_kb_per_s` for each second that
    was waited for it, three seconds aside. Each request is tried `attempts` times. At most `parallel` requests are
    under way at once, and `bounds` limits how many there are in all. `schemes` are those that a redirect may lead to;
    `private_networks` are those that may be reached although they are not public, on any port; other hosts may be
    reached on `ports`.
    """

    timeout_s: float = 8.0
    stall_s: float = 3.0
    slowest_kb_per_s: int = 64
    attempts: int = 3
    parallel: int = 4
    bounds: ReadingBounds = _BOUNDS
    schemes: tuple[Scheme, ...] = ("http", "https")
    private_networks: tuple[Network, ...] = ()
    ports: tuple[int, ...] = tuple(DEFAULT_PORTS.values())


class TransientFailure(Exception):
    """A request failed in a way that may pass. Never reaches a caller."""

    @classmethod
    def unanswered(cls, error: Exception) -> TransientFailure:
        """The failure of a host that `error` came from in place of an answer."""
        return cls(f"the host does not answer: {getattr(error, 'strerror', None) or type(error).__name__}")


class PartsUnfit(Exception):
    """Parts of the object are not to be had, or not surely of one object: it has to be read whole. For this package."""


class PartFetcher(Protocol):
    """Reads one object, from several threads at once.

    All raise TransientFailure, UriNotFound, UriNotAllowed and FetchFailed; all but `whole` raise PartsUnfit.
    """

    def beginning(self, length: int, max_bytes: int) -> tuple[bytes, int]:
        """The first `length` bytes, or all where ranges are not served, and the size of all.

        Raises VideoTooLarge past `max_bytes`.
        """

    def part(self, span: ByteRange) -> bytes:
        """The bytes of a range, of the same object that `beginning` found."""

    def whole(self, max_bytes: int) -> bytes:
        """All of what lies there now, asked for without a range. Raises VideoTooLarge past `max_bytes`."""

    @property
    def received_bytes(self) -> int | None:
        """Bytes that have come so far; None where nobody counts them."""
        return None

    def close(self) -> None:
        """Ends what is under way, if that does not end by itself."""
        return
