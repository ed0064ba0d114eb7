"""Which versions answer from now on, and the batchers that feed them.

A video holds the releases in force from the moment it is sampled until its verdict, whatever is switched in between;
a release that is no longer in force is retired once the last video that holds it is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from wildgate_server.errors import BackendUnavailable
from wildgate_server.inference.batcher import Batcher, BatchSettings, RowResult
from wildgate_server.repository.model_configs import ensemble, ensembles
from wildgate_server.repository.releases import Release, Releases
from wildgate_server.triton.client import ClipRow, DetectionBatch

__all__ = ["ReleaseRouter"]

Detect = Callable[[str, Sequence[ClipRow], float], Awaitable[DetectionBatch]]


@dataclass(eq=False, slots=True)
class _InForce:
    """Releases, and how many videos hold them."""

    releases: Releases
    videos: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)


class ReleaseRouter:
    """Routes rows to ensembles: one batcher for each, so that rows of two ensembles never share a batch.

    `detect(ensemble, rows, timeout_s)` does what `TritonClient.detect` does. An async context manager that closes the
    batchers.
    """

    _alone = frozenset(ensemble(canary=canary, software=True) for canary in (False, True))

    def __init__(self, settings: BatchSettings, detect: Detect, releases: Releases) -> None:
        self._settings = settings
        self._detect = detect
        self._in_force = _InForce(releases)
        self._retiring: list[_InForce] = []
        self._expected = releases
        self._known: dict[int, Release] = dict(releases.by_version)
        self._batchers: dict[str, Batcher] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close(*self._batchers)

    @property
    def releases(self) -> Releases:
        """What is in force now."""
        return self._in_force.releases

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The labels that answers may have now or soon, by model version."""
        may_answer = [self._expected, *(held.releases for held in (self._in_force, *self._retiring))]
        return {one.model_version: one.labels for releases in may_answer for one in releases.by_version.values()}

    @property
    def depth(self) -> int:
        """Rows that wait for a batch."""
        return sum(batcher.depth for batcher in self._batchers.values())

    @property
    def healthy(self) -> bool:
        """Whether every batcher runs."""
        return all(batcher.healthy for batcher in self._batchers.values())

    @contextmanager
    def held(self) -> Iterator[Releases]:
        """The releases in force, which stay asked for as long as the context lasts."""
        holding = self._in_force
        holding.videos += 1
        try:
            yield holding.releases
        finally:
            holding.videos -= 1
            if not holding.videos:
                holding.free.set()

    def release(self, version: int) -> Release:
        """The release that made an answer. Raises BackendUnavailable for an unknown version."""
        try:
            return self._known[version]
        except KeyError:
            raise BackendUnavailable(f"version {version} of the detector answered, which is not known here") from None

    def expect(self, releases: Releases | None) -> None:
        """`releases` may answer from now on, though no video is sent to them yet; None takes back what was expected."""
        self._expected = releases or self.releases
        self._known |= self._expected.by_version

    def switch(self, releases: Releases) -> None:
        """Sends videos to `releases` from now on."""
        self.expect(releases)
        self._retiring.append(self._in_force)
        self._in_force = _InForce(releases)

    async def retire(self) -> None:
        """Waits until no video holds what is no longer in force, and closes the batchers that nothing is routed to."""
        for held in tuple(self._retiring):
            if held.videos:
                held.free.clear()
                await held.free.wait()
            self._retiring.remove(held)
        needed = ensembles(self.releases.rollout)
        await self._close(*(name for name in self._batchers if name not in needed))

    async def submit(self, name: str, rows: Sequence[ClipRow], deadline: float) -> list[RowResult]:
        """What the ensemble `name` detects in rows that share a clip. Raises as `Batcher.submit` does."""
        if (batcher := self._batchers.get(name)) is None:
            batcher = self._batchers[name] = Batcher(
                self._settings, partial(self._detect, name), alone=name in self._alone
            )
            batcher.start()
        return await batcher.submit(rows, deadline)

    async def _close(self, *names: str) -> None:
        for name in names:
            await self._batchers.pop(name).close()
