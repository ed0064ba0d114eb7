"""Cases that come at the same time are opened together: one transaction and one sync of the disk for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StorageUnavailable
from wildgate_enforcement.opening import Opening, open_cases
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.tables import CaseRow

__all__ = ["OpeningGroup"]

_MOST_TOGETHER = 64

_Waiting = tuple[str, Opening, "asyncio.Future[tuple[CaseRow, bool]]"]


class OpeningGroup:
    """Opens what came while the last ones were written; nothing waits for company."""

    def __init__(self, database: Database, policy: EnforcementPolicy) -> None:
        self._database = database
        self._policy = policy
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def open(self, actor: str, opening: Opening) -> tuple[CaseRow, bool]:
        """The case of its content, on disk, and whether it was opened now. Raises StorageUnavailable.

        One that nobody waits for any more is opened all the same.
        """
        answer: asyncio.Future[tuple[CaseRow, bool]] = asyncio.get_running_loop().create_future()
        self._waiting.append((actor, opening, answer))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="openings")
        return await answer

    async def _write(self) -> None:
        while self._waiting:
            actor = self._waiting[0][0]
            together = [each for each in self._waiting if each[0] == actor][:_MOST_TOGETHER]
            self._waiting = [each for each in self._waiting if each not in together]
            if not await self._opened(actor, together):
                for each in together:  # one of them fails, and alone
                    await self._opened(actor, [each])
        self._writing = None

    async def _opened(self, actor: str, together: Sequence[_Waiting]) -> bool:
        """Whether everybody got an answer."""
        try:
            async with self._database.writing(actor, first=True) as transaction:
                found = await open_cases(transaction, [opening for _, opening, _ in together], self._policy)
        except Exception as error:
            if len(together) > 1 and not isinstance(error, StorageUnavailable):
                return False
            for _, _, answer in together:
                if not answer.done():
                    answer.set_exception(error)
            return True
        for (_, _, answer), case in zip(together, found, strict=True):
            if not answer.done():
                answer.set_result(case)
        return True
