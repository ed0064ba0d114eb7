"""Brings a rollout into force in a Triton whose models can be loaded and unloaded, while it answers.

What is loaded changes in two steps, with the gateway's own switch between them. `bring` adds: the detector with the new
versions beside the old ones, then each ensemble, whose old version answers until the new one is there. `settle`
takes away: ensembles that nobody asks any more, then the detector's old versions. `ModelControl` says what Triton was
found to do at each of these; above all, an ensemble must never be loaded before its detector is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from wildgate_server.repository.manifest import ManifestError
from wildgate_server.repository.model_configs import VIDEO_SCORER, ensemble, ensembles, models_to_load
from wildgate_server.repository.releases import DETECTOR, Canary, ChangingRollout, Rollout
from wildgate_server.triton.launch import touch_model
from wildgate_server.triton.model_control import ModelControl, ModelControlError

__all__ = ["ModelRollout", "NotLoaded"]

_log = structlog.get_logger()

_Loaded = Mapping[str, tuple[int, ...]]
_MAX_QUOTED = 600
_FAILURES = (ModelControlError, ManifestError, OSError)


class NotLoaded(Exception):
    """Triton could not load what a rollout asks for; what answered before still does. The text says why."""


class ModelRollout:
    """Loads and unloads through `control` what a rollout needs.

    `lay_out(rollout)` writes the configs of a rollout where that Triton reads them; it may raise ManifestError and
    OSError. Reviving a model may take `max_revival_s`, by default as long as a whole start may: others wait their turn.
    """

    def __init__(
        self,
        control: ModelControl,
        lay_out: Callable[[Rollout], None],
        *,
        max_revival_s: float = 120.0,
    ) -> None:
        self._control = control
        self._lay_out = lay_out
        self._max_revival_s = max_revival_s
        self._turn = asyncio.Lock()

    async def bring(self, rollout: Rollout) -> None:
        """Makes the versions of `rollout` answer, beside what does already.

        Raises NotLoaded, with everything as it was, when one of them cannot be loaded.
        """
        async with self._turn:
            loaded = await self._loaded()
            in_force = _in_force(loaded)
            try:
                await self._bring(rollout, in_force, loaded)
            except _FAILURES as error:
                if in_force:
                    await self._restore(in_force)
                raise NotLoaded(str(error)[:_MAX_QUOTED]) from error

    async def settle(self, rollout: Rollout) -> None:
        """Unloads what `rollout` does not need. Raises NotLoaded when Triton refuses to."""
        async with self._turn:
            loaded = await self._loaded()
            needed = ensembles(rollout)
            try:
                for name in loaded:
                    if name.startswith(VIDEO_SCORER) and name not in needed:
                        await self._control.unload(name)
                await asyncio.to_thread(self._lay_out, rollout)
                if set(loaded.get(DETECTOR, ())) != set(rollout.versions):
                    await self._control.load(DETECTOR)
            except _FAILURES as error:
                raise NotLoaded(str(error)[:_MAX_QUOTED]) from error

    async def revive(self, model: str, models: Path) -> None:
        """Restarts the processes of `model`; `models` is the directory that Triton reads. Raises NotLoaded."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._max_revival_s):
                    await asyncio.to_thread(touch_model, models, model)
                    await self._control.load(model)
            except TimeoutError:
                raise NotLoaded(f"{model} did not load within {self._max_revival_s:g} s") from None
            except _FAILURES as error:
                raise NotLoaded(str(error)[:_MAX_QUOTED]) from error

    async def _bring(self, rollout: Rollout, in_force: Rollout | None, loaded: _Loaded) -> None:
        changing = ChangingRollout.to(rollout, in_force, loaded.get(DETECTOR, ()))
        await asyncio.to_thread(self._lay_out, changing)
        for model, wanted in models_to_load(rollout).items():
            if set(wanted) <= set(loaded.get(model, ())):
                continue
            await self._control.load(model)
            if missing := set(wanted) - set((await self._control.loaded()).get(model, ())):
                raise ModelControlError(f"Triton did not load version {min(missing)} of {model}")

    async def _restore(self, in_force: Rollout) -> None:
        """Back to what answered: after a detector that does not load, Triton has to do next to nothing."""
        try:
            await asyncio.to_thread(self._lay_out, in_force)
            loaded = await self._control.loaded()
            await self._control.load(DETECTOR)
            for name, version in ensembles(in_force).items():
                if loaded.get(name) != (version,):
                    await self._control.load(name)
        except _FAILURES as error:
            _log.error("rollout_not_restored", error=str(error)[:_MAX_QUOTED])

    async def _loaded(self) -> dict[str, tuple[int, ...]]:
        try:
            return await self._control.loaded()
        except ModelControlError as error:
            raise NotLoaded(f"Triton does not tell what it has loaded: {error}") from error


def _in_force(loaded: _Loaded) -> Rollout | None:
    """The rollout by which these models were loaded, as far as they show; None when nothing serves."""
    serving, trial = (loaded.get(ensemble(canary=canary)) for canary in (False, True))
    if not serving:
        return None
    canary = Canary(version=trial[-1], share=1) if trial and trial[-1] != serving[-1] else None
    return Rollout(serving=serving[-1], canary=canary)
