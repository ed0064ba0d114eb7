"""Videos that keep coming while something happens to the models, and what became of each of them."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from clips import ClipSpec, make_clip
from gateway_under_test import PATIENCE_S, GatewayUnderTest, until
from prometheus_client.parser import text_string_to_metric_families

from wildgate_client import Content, StreamItem, Verdict

# The bright ones are to be blocked, or reviewed with half of the score.
VIDEOS = [make_clip(ClipSpec(seconds=1, first_frame=number)) for number in range(6, 22)]


@dataclass
class Traffic:
    """Videos that keep coming, by single requests and in streams, and what became of each."""

    gateway: GatewayUnderTest
    failures: list[str] = field(default_factory=list)
    verdicts: list[tuple[int, Verdict]] = field(default_factory=list)
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0

    async def single(self, start: int) -> None:
        for number in self._numbers(start):
            await self.flowing.wait()
            self.under_way += 1
            try:
                self.verdicts.append((number, await self.gateway.client.score(Content(VIDEOS[number]))))
            except Exception as error:
                self.failures.append(repr(error))
            self.under_way -= 1

    async def stream(self, start: int) -> None:
        async def items() -> AsyncIterator[StreamItem]:
            for number in self._numbers(start):
                await self.flowing.wait()
                self.under_way += 1
                yield StreamItem(str(number), Content(VIDEOS[number]))

        async for result in self.gateway.client.score_stream(items()):
            self.under_way -= 1
            if result.error:
                self.failures.append(repr(result.error))
            else:
                self.verdicts.append((int(result.video_id), result.unwrap()))

    def _numbers(self, start: int) -> Iterator[int]:
        number = start
        while True:
            yield number % len(VIDEOS)
            number += 1

    async def more(self, count: int) -> list[tuple[int, Verdict]]:
        """So many more verdicts."""
        seen = len(self.verdicts)
        async with asyncio.timeout(PATIENCE_S):
            while len(self.verdicts) < seen + count and not self.failures:
                await asyncio.sleep(0.02)
        assert not self.failures
        return self.verdicts[seen:]

    async def settle(self) -> None:
        """Until all is answered that was under way before something changed."""
        async with self.still():
            pass

    @asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """Nothing comes, and all that came is answered."""
        self.flowing.clear()
        async with asyncio.timeout(PATIENCE_S):
            while self.under_way:
                await asyncio.sleep(0.02)
        yield
        self.flowing.set()


@asynccontextmanager
async def traffic(gateway: GatewayUnderTest) -> AsyncIterator[Traffic]:
    flow = Traffic(gateway)
    flow.flowing.set()
    tasks = [asyncio.create_task(flow.single(start)) for start in (0, 5, 10)]
    tasks.append(asyncio.create_task(flow.stream(7)))
    try:
        yield flow
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def samples(metrics: str, name: str) -> dict[tuple[str, ...], float]:
    """The samples called `name`, by the values of their labels in the labels' order of names."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=PATIENCE_S) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


async def until_gauge(metrics: str, name: str, value: float) -> None:
    await until(lambda: samples(metrics, name) == {(): value}, f"{name} at {value}")
