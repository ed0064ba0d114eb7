"""The running gateway follows `rollout.yaml`: a change is validated, loaded and switched to, then the old one goes.

Clearing up waits for the last video of what was in force; the next change does not, and takes its place.

One that is refused changes nothing: it is logged, a gauge shows it, and what is in force answers on. It is tried again
by itself, less and less often, and at once when the file changes or SIGHUP comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from time import monotonic

import structlog

from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.policy import PolicyError
from wildgate_server.repository.engine_key import EngineDoesNotFit
from wildgate_server.repository.manifest import ManifestError, ModelManifest
from wildgate_server.repository.releases import Releases, Rollout, load_releases, load_rollout, verify_files
from wildgate_server.rollout.backend import Backend, NotReadyYet
from wildgate_server.rollout.model_rollout import NotLoaded

__all__ = ["RolloutFollower", "RolloutState"]

_log = structlog.get_logger()

_FIRST_PAUSE_S, _MAX_PAUSE_S = 4.0, 300.0
_REFUSALS = (ManifestError, PolicyError, EngineDoesNotFit, NotLoaded)


class RolloutState(IntEnum):
    """How the rollout in the file stands to the one in force."""

    IN_FORCE = 0
    WAITING = 1
    """It waits for an external Triton."""
    REFUSED = 2


class RolloutFollower:
    """Keeps `router` at what `repository` says, from `run` on.

    `check(releases)` raises PolicyError or EngineDoesNotFit for releases that cannot answer here; `clock` returns
    monotonic seconds.
    """

    def __init__(
        self,
        repository: Path,
        manifest: ModelManifest,
        router: ReleaseRouter,
        backend: Backend,
        check: Callable[[Releases], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._repository = repository
        self._manifest = manifest
        self._router = router
        self._backend = backend
        self._check = check
        self._clock = clock
        self._now = asyncio.Event()
        self._tried: object = None
        self._try_again = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._settled = True
        self._retired = True
        self._settling: asyncio.Task[None] | None = None
        self.state = RolloutState.IN_FORCE

    def look_again(self) -> None:
        """Looks at the file at once, and tries again what was refused."""
        self._tried = None
        self._now.set()

    async def run(self, period_s: float) -> None:
        """Looks at the file every `period_s` seconds; runs until it is cancelled."""
        try:
            while True:
                await self.follow()
                try:
                    async with asyncio.timeout(period_s):
                        await self._now.wait()
                except TimeoutError:
                    pass
                self._now.clear()
        finally:
            if self._settling:
                self._settling.cancel()
                await asyncio.wait({self._settling})

    async def follow(self) -> None:
        """Looks at the file once, and does what it asks for; clearing up after it goes on when this returns."""
        wanted: Rollout | None = None
        try:
            wanted = await asyncio.to_thread(load_rollout, self._repository)
            await self._follow(wanted)
        except Exception as error:  # a surprise must not end the following either
            self._refused(wanted or "unreadable", error)

    async def _follow(self, rollout: Rollout) -> None:
        if rollout == self._router.releases.rollout:
            self.state, self._tried = RolloutState.IN_FORCE, None
            self._settle()
            return
        if rollout == self._tried and self._clock() < self._try_again:
            return
        try:
            await self._bring(rollout)
        except NotReadyYet as error:
            if rollout != self._tried:
                _log.info("rollout_waits", rollout=rollout.summary, reason=str(error))
            self.state, self._tried, self._try_again = RolloutState.WAITING, rollout, 0.0

    async def _bring(self, rollout: Rollout) -> None:
        releases = await asyncio.to_thread(self._validated)
        if releases.rollout != rollout:
            return  # the file has changed again: the next look sees it
        await self._supersede()
        self._router.expect(releases)  # before the check, so that no policy that lacks its labels is loaded in between
        try:
            await asyncio.to_thread(self._check, releases)
            await self._backend.bring(rollout)
        except BaseException as error:
            self._router.expect(None)
            if isinstance(error, Exception):
                self._settle()
            raise
        self._router.switch(releases)
        self.state, self._tried = RolloutState.IN_FORCE, None
        _log.info("rollout_in_force", rollout=rollout.summary, model_version=releases.serving.model_version)
        self._settled = False
        self._settle()

    def _settle(self) -> None:
        """Starts clearing up what is no longer in force, unless that is done or under way."""
        if self._settled or (self._settling and not self._settling.done()):
            return
        self._retired = False
        self._settling = asyncio.create_task(self._clear_up(self._router.releases.rollout), name="settle-rollout")

    async def _supersede(self) -> None:
        """Ends the waiting for old videos; what is being unloaded already is done before anything is loaded."""
        if self._settling:
            if not self._retired:
                self._settling.cancel()
            await asyncio.wait({self._settling})

    async def _clear_up(self, rollout: Rollout) -> None:
        try:
            await self._router.retire()
            self._retired = True
            await self._backend.settle(rollout)
            self._settled = True
        except Exception as error:  # it is tried again at the next look
            surprise = None if isinstance(error, NotLoaded) else error
            _log.error("rollout_not_settled", error=str(error), exc_info=surprise)

    def _validated(self) -> Releases:
        releases = load_releases(self._repository, self._manifest)
        for release in releases.by_version.values():
            verify_files(self._repository, release)
        return releases

    def _refused(self, what: object, error: Exception) -> None:
        again = what == self._tried
        self._pause_s = min(self._pause_s * 2, _MAX_PAUSE_S) if again else _FIRST_PAUSE_S
        self.state, self._tried, self._try_again = RolloutState.REFUSED, what, self._clock() + self._pause_s
        if not again:
            surprise = None if isinstance(error, _REFUSALS) else error
            in_force = self._router.releases.rollout.summary
            _log.error("rollout_refused", error=str(error), in_force=in_force, exc_info=surprise)
