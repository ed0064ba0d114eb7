"""Time and turns in tests: a clock that only the test moves, and tasks that have run as far as they can."""

import asyncio


class Clock:
    """Monotonic seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def settled() -> None:
    """Lets every task run until it waits for something."""
    for _ in range(50):
        await asyncio.sleep(0)
