"""Whether videos are really scored: Triton calls models ready whose processes are dead, stopped or out of memory.

Every answer to a caller is a proof. Where none came for a second, a clip of one grey picture (`probe.mp4`) is asked
about, through all that a video goes through in Triton.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from importlib.resources import files
from time import monotonic

import numpy as np
import structlog

from wildgate_server.errors import RowRefused, WildgateError
from wildgate_server.media.sampled_video import Display
from wildgate_server.repository.manifest import ModelManifest
from wildgate_server.triton.client import ClipRow, TritonClient

__all__ = ["Pulse"]

_PERIOD_S = 0.5
_QUIET_S = 1.0  # without an answer
_PROBE_S = 8.0  # slow is not broken: it waits behind callers' videos, and a model that has stopped fails at once
_MOST_FAILURES = 3  # in a row: a single one may be the video's own fault
_WORD_S = 2.0  # of several Tritons behind one target, another may say it
_SILENT_S, _STUCK_S = 20.0, 60.0  # without a word; with words, but without an answer to what was asked

_log = structlog.get_logger(__name__)


class Pulse:
    """Asks `triton` for what `models()` (names of ensembles) make of a grey picture, as long as `run` runs.

    `hung()` is called when Triton has said nothing for 20 s, or answered nothing for a minute while it was asked.
    """

    def __init__(
        self,
        triton: TritonClient,
        manifest: ModelManifest,
        models: Callable[[], Collection[str]],
        hung: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._triton = triton
        self._models = models
        self._hung = hung
        self._clock = clock
        clip = files(__package__).joinpath("probe.mp4").read_bytes()
        self._row = ClipRow(clip, (0,) * manifest.frames_per_window, Display())
        self._beats = False
        self._spoke_s = self._stirred_s = clock()

    @property
    def beats(self) -> bool:
        """Whether a video would be scored, as far as the last second shows."""
        speaks = self._clock() - self._spoke_s < _WORD_S
        return self._beats and speaks and not self._triton.outage and self._triton.failures < _MOST_FAILURES

    async def run(self) -> None:
        """Feels it twice a second; runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.listen(), name="listen")
            while True:
                await self.feel()
                await asyncio.sleep(_PERIOD_S)

    async def feel(self) -> None:
        """Looks for a recent answer, and asks for one where there is none."""
        triton = self._triton
        if triton.outage:
            self._beats = False
        elif not triton.failures and self._clock() - triton.answered_s < _QUIET_S:
            self._beats = True
        else:
            beats = await self._probed()
            if self._beats and not beats:
                _log.error("nothing_is_scored", failures=triton.failures)
            self._beats = beats

    async def _probed(self) -> bool:
        try:
            answers = [await self._triton.detect(model, [self._row], _PROBE_S) for model in self._models()]
        except (WildgateError, RowRefused):
            return False
        except Exception:  # a surprise, such as an answer that lacks a tensor, must not end the watching
            _log.exception("probe_failed")
            return False
        return all(np.isfinite(answer.detections).all() and answer.sound.all() for answer in answers)

    async def listen(self) -> None:
        """Hears whether Triton says anything at all, and has one ended that hangs; runs until it is cancelled."""
        while True:
            now, triton = self._clock(), self._triton
            if triton.outage or await triton.live():
                self._spoke_s = now
            if triton.outage or not triton.asked:
                self._stirred_s = now
            if now - self._spoke_s > _SILENT_S or now - max(self._stirred_s, triton.answered_s) > _STUCK_S:
                _log.error("triton_hangs", silent_s=round(now - self._spoke_s))
                self._spoke_s = self._stirred_s = now
                self._hung()
            await asyncio.sleep(_PERIOD_S)
