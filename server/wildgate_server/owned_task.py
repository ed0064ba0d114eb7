"""Tasks that end with the context that owns them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

__all__ = ["own_task"]


def own_task(stack: AsyncExitStack, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Starts `work` as a task; closing the stack cancels it and waits until it has ended, however it ends."""
    task = asyncio.create_task(work, name=name)
    stack.push_async_callback(_ended, task)
    return task


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
