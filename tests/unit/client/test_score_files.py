from __future__ import annotations

import asyncio
import contextlib
import io
from pathlib import Path

import pytest
from fake_gateway import FakeGateway
from rich.table import Table

from wildgate_client import ScoringClient, Uri
from wildgate_client.result_table import print_table
from wildgate_client.score_files import ScoreOptions, score_files, source_of


@pytest.mark.parametrize("name", ["file:///a.mp4", "http://h/a", "https://h/a", "s3://b/a", "gs://b/a"])
def test_schemes_the_server_may_read_are_uris(name: str):
    assert source_of(name) == Uri(name)


@pytest.mark.parametrize("name", ["clip.mp4", "./file:odd.mp4", "/clips/a.mp4", "take:2.mp4"])
def test_everything_else_is_a_path(name: str):
    assert source_of(name) == Path(name)


async def test_results_come_in_the_order_given(target: str):
    names = [f"https://example.org/{number}.mp4" for number in range(7)]
    async with ScoringClient(target) as client:
        results = [result.video_id async for result in score_files(client, names, ScoreOptions(concurrency=3))]
    assert results == names


async def test_no_more_than_concurrency_is_under_way_and_leaving_cancels_it(gateway: FakeGateway, target: str):
    gateway.holding = True
    taken: list[str] = []

    def names():
        for number in range(9):
            taken.append(f"https://example.org/{number}.mp4")
            yield taken[-1]

    async def first(client: ScoringClient) -> None:
        async with contextlib.aclosing(score_files(client, names(), ScoreOptions(concurrency=2))) as results:
            async for _ in results:
                pytest.fail("the gateway holds every request")

    async with ScoringClient(target) as client:
        task = asyncio.create_task(first(client))
        await gateway.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gateway.cancelled.wait()
    assert len(taken) == 3  # two under way, the third waits for the first
    assert len(gateway.requests) <= 2


def test_a_table_in_a_file_is_one_line_per_row_however_long():
    table = Table("file", "what")
    table.add_row("clip.mp4", "word " * 100 + "end")
    out = io.StringIO()
    print_table(table, out)
    (row,) = [line for line in out.getvalue().splitlines() if "clip.mp4" in line]
    assert "end" in row
    assert all(line == line.rstrip() for line in out.getvalue().splitlines())
