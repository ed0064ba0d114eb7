"""The lexicon in use: followed as its files change, replaced only by one that is sound."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import structlog

from wildgate_search.errors import LexiconError
from wildgate_search.lexicon import load_lexicon
from wildgate_search.screener import Screener

__all__ = ["LiveScreener"]

_log = structlog.get_logger()


class LiveScreener:
    """`screener` is the one to ask now; a call that has begun ends with the one it began with."""

    def __init__(self, directory: Path) -> None:
        """Raises LexiconError."""
        self._directory = directory
        self._seen = self._state()
        self.screener = Screener(load_lexicon(directory))

    async def watch(self, period_s: float) -> None:
        """Looks again and again; runs until it is cancelled."""
        while True:
            await asyncio.sleep(period_s)
            await self.look()

    async def look(self) -> None:
        """Takes the lexicon if its files, or the day, changed; one that is refused is logged, and the old one stays."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            screener = await asyncio.to_thread(lambda: Screener(load_lexicon(self._directory)))
        except LexiconError as error:
            _log.error("lexicon_refused", faults=error.faults, kept=self.screener.version)
            return
        _log.info("lexicon_replaced", old=self.screener.version, new=screener.version)
        self.screener = screener

    def _state(self) -> tuple[object, ...]:
        """What changes when the lexicon may have: the day, for what expires, and its files."""
        files = []
        for file in sorted(self._directory.glob("*.yaml")):
            try:
                status = file.stat()
            except OSError:  # it is being replaced
                continue
            files.append((file.name, status.st_mtime_ns, status.st_size, status.st_ino))
        return dt.datetime.now(dt.UTC).date(), *files
