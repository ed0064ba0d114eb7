"""What each tenant may ask for, and how far it comes before others, in this gateway.

A fleet's gateways do not count together: a tenant that may ask each of four for 10 videos a second may have 40.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

from cachetools import LRUCache
from pydantic import BeforeValidator, Field

from wildgate_server.access.tokens import Caller
from wildgate_server.errors import QuotaExceeded, StartError
from wildgate_server.renewed import Renewed
from wildgate_server.repository.yaml_document import StrictSection, read_document

__all__ = ["Priority", "Quota", "Tenants"]

_MOST_TENANTS = 10_000  # whose use is remembered
_BUSY_RETRY_S = 0.25


class Priority(StrEnum):
    """Whose videos find a place when there are few: the lower the class, the sooner it finds none."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Quota(StrictSection):
    """What a tenant may ask for; no limit where there is none."""

    requests_per_s: float | None = Field(None, gt=0)
    megabytes_per_s: float | None = Field(None, gt=0)
    """Of requests, videos sent as content included; not what is fetched by URI."""
    burst_s: float = Field(2.0, ge=0)
    """For how many seconds' worth a tenant may save up."""
    in_flight: int | None = Field(None, ge=1)
    """Videos at once."""
    priority: Annotated[Priority, BeforeValidator(lambda value: Priority(value))] = Priority.NORMAL


class _TenantFile(StrictSection):
    default: Quota = Quota()
    """Of tenants that are not named, each by itself, and of callers without one."""
    tenants: dict[str, Quota] = Field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    """A token bucket, kept as the time at which what was taken will have flowed back (GCRA, ITU-T I.371)."""

    until: float = float("-inf")

    def wait_s(self, now: float, burst_s: float) -> float:
        return max(self.until - burst_s - now, 0.0)

    def take(self, amount: float, per_s: float, now: float) -> None:
        self.until = max(self.until, now) + amount / per_s


@dataclass(slots=True)
class _Use:
    requests: _Bucket = field(default_factory=_Bucket)
    megabytes: _Bucket = field(default_factory=_Bucket)
    in_flight: int = 0


class Tenants:
    """Holds tenants to the quotas of a file, which is read anew as it changes; without one nobody is held to any.

    `clock` returns monotonic seconds. Raises StartError for a file that cannot be used.
    """

    def __init__(self, file: Path | None, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._uses: LRUCache[str, _Use] = LRUCache(_MOST_TENANTS)
        try:
            read: Callable[[], Any] = partial(read_document, file, _TenantFile, ValueError) if file else _TenantFile
            self._file: Renewed[_TenantFile] = Renewed([file] if file else [], read)
        except (OSError, ValueError) as error:
            raise StartError(f"access.tenants: {error}") from error
        self._held = file is not None

    def priority(self, caller: Caller | None) -> Priority:
        """The caller's class; without quotas, everybody's is the highest."""
        return self._quota(caller).priority if self._held else Priority.HIGH

    @contextmanager
    def video(self, caller: Caller | None, size: int = 0) -> Iterator[Callable[[int], None]]:
        """A video that the caller asks for; what it turns out to weigh is told to what this gives, in bytes.

        Raises QuotaExceeded where the caller's tenant has had its share, saying when it will have one again.
        """
        if not self._held:
            yield lambda size: None
            return
        tenant, quota, now = caller.tenant if caller else "", self._quota(caller), self._clock()
        use = self._uses.setdefault(tenant, _Use())
        if quota.in_flight and use.in_flight >= quota.in_flight:
            raise QuotaExceeded(f"{use.in_flight} videos of this tenant are in flight", retry_after_s=_BUSY_RETRY_S)
        for what, bucket, per_s in (
            ("requests", use.requests, quota.requests_per_s),
            ("megabytes", use.megabytes, quota.megabytes_per_s),
        ):
            if per_s and (wait_s := bucket.wait_s(now, quota.burst_s)):
                raise QuotaExceeded(f"this tenant may ask for {per_s:g} {what} a second", retry_after_s=wait_s)
        if quota.requests_per_s:
            use.requests.take(1, quota.requests_per_s, now)

        def weigh(size: int) -> None:
            if quota.megabytes_per_s:
                use.megabytes.take(size / 1e6, quota.megabytes_per_s, self._clock())

        weigh(size)
        use.in_flight += 1
        try:
            yield weigh
        finally:
            use.in_flight -= 1

    def _quota(self, caller: Caller | None) -> Quota:
        file = self._file.now
        return file.tenants.get(caller.tenant, file.default) if caller else file.default
