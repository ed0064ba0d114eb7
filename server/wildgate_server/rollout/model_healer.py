"""Brings back models whose processes were killed: Triton calls them ready, but fails every request to them.

Each dead model has its own task, so that one that cannot be revived does not hold up the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from wildgate_server.rollout.model_rollout import NotLoaded

__all__ = ["ModelHealer"]

_log = structlog.get_logger()

_MAX_PAUSE_S = 30.0


class ModelHealer:
    """Loads dead models again, each until it succeeds.

    `revive(model)` loads a model again or raises NotLoaded; `healed(model)` is called when it has. After a failure it
    is tried again in `first_pause_s`, then in twice as long, up to half a minute.
    """

    def __init__(
        self, revive: Callable[[str], Awaitable[None]], healed: Callable[[str], None], first_pause_s: float = 0.5
    ) -> None:
        self._revive = revive
        self._healed = healed
        self._first_pause_s = first_pause_s
        self._healing: set[str] = set()
        self.deaths = 0
        """How often a model has lost a process, those not counted that are not healed yet."""
        self._news: asyncio.Queue[str] = asyncio.Queue()

    def dead(self, model: str) -> None:
        """Notes that a process of `model` was killed; may be called as often as that is noticed."""
        if model not in self._healing:
            self.deaths += 1
            self._healing.add(model)
            self._news.put_nowait(model)

    async def run(self) -> None:
        """Heals the models that `dead` notes; runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                model = await self._news.get()
                group.create_task(self._heal(model), name=f"heal-{model}")

    async def _heal(self, model: str) -> None:
        pause_s = self._first_pause_s
        _log.warning("model_died", model=model)
        while True:
            try:
                await self._revive(model)
                self._healed(model)
                break
            except Exception as error:  # a surprise must not end the healing
                surprise = None if isinstance(error, NotLoaded) else error
                _log.error("model_not_healed", model=model, error=str(error), next_try_s=pause_s, exc_info=surprise)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)
        self._healing.discard(model)
        _log.info("model_healed", model=model)
