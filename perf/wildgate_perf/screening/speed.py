"""How fast it is, by processor time: in process, and a server that is asked for batches and single queries."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import psutil

from wildgate_perf.screening.labelled import Labelled
from wildgate_proto.v1 import search_pb2 as pb
from wildgate_proto.v1.search_pb2_grpc import SearchServiceStub
from wildgate_search import Screener, load_lexicon
from wildgate_search.folding import ALL_STEPS, Step

__all__ = ["in_process", "served", "traffic"]

_SEED = 15
_LOOK_ALIKES, _TRADE = 0.02, 0.005
_ROUNDS = 5


def traffic(queries: Sequence[Labelled], count: int) -> list[str]:
    """Queries of about 20 characters, half of them Chinese: everyday ones, 2 % look-alikes, 0.5 % trade."""
    chance = random.Random(_SEED)
    everyday = {
        language: [each.query for each in queries if each.language == language and each.subject == "everyday"]
        for language in ("en", "zh")
    }
    look_alikes = [each.query for each in queries if each.kind == "innocent" and each.subject != "everyday"]
    trade = [each.query for each in queries if each.kind == "trade"]
    found = []
    for _ in range(count):
        dice = chance.random()
        if dice < _TRADE:
            found.append(chance.choice(trade))
        elif dice < _TRADE + _LOOK_ALIKES:
            found.append(chance.choice(look_alikes))
        elif chance.random() < 0.5:
            found.append(chance.choice(everyday["en"]))
        else:
            found.append(" ".join(chance.choices(everyday["zh"], k=3)))
    return found


def in_process(queries: Sequence[Labelled]) -> dict[str, float]:
    """Queries per second of processor time of one core, the median of rounds; seconds and MiB to load."""
    before, began = psutil.Process().memory_info().rss, time.process_time()
    lexicon = load_lexicon()
    screener = Screener(lexicon)
    loaded = {
        "load_s": time.process_time() - began,
        "memory_mib": (psutil.Process().memory_info().rss - before) / 2**20,
    }
    mixed = traffic(queries, 20_000)
    plain = Screener(lexicon, ALL_STEPS - {Step.PINYIN})
    rates: dict[str, list[float]] = {"with_pinyin_per_s": [], "without_pinyin_per_s": []}
    for _ in range(_ROUNDS):  # in turns
        for name, each in zip(rates, (screener, plain), strict=True):
            gc.collect()
            began = time.process_time()
            for query in mixed:
                each.screen(query)
            rates[name].append(len(mixed) / (time.process_time() - began))
    return {**{name: float(np.median(figures)) for name, figures in rates.items()}, **loaded}


def served(queries: Sequence[Labelled], seconds: float) -> dict[str, float]:
    """A server's processor time for queries in batches of 256, and latency of single ones at 2,000 a second."""
    mixed = traffic(queries, 256 * 200)
    with _server() as (target, server):
        batches = _batches(target, server, mixed)
        latencies, cpu_s, count = asyncio.run(_single(target, server, mixed, 2000, seconds))
        return {
            "batch_per_server_cpu_s": batches[0],
            "batch_per_s": batches[1],
            "unary_p50_ms": float(np.percentile(latencies, 50)) * 1e3,
            "unary_p99_ms": float(np.percentile(latencies, 99)) * 1e3,
            "unary_server_cpu_ms": cpu_s / count * 1e3,
            "unary_failed": count - len(latencies),
            "server_rss_mib": server.memory_info().rss / 2**20,
        }


def _batches(target: str, server: psutil.Process, mixed: Sequence[str]) -> tuple[float, float]:
    """Queries by second of the server's processor time, and by second."""
    requests = [pb.ScreenBatchRequest(queries=mixed[at : at + 256]) for at in range(0, len(mixed), 256)]
    with grpc.insecure_channel(target) as channel:
        screen = SearchServiceStub(channel).ScreenBatch  # type: ignore[no-untyped-call]
        rates = []
        for _ in range(_ROUNDS):
            before, began = _cpu_s(server), time.perf_counter()
            under_way = [screen.future(request) for request in requests[:4]]
            for request in requests[4:]:
                under_way.pop(0).result()
                under_way.append(screen.future(request))
            for call in under_way:
                call.result()
            rates.append((len(mixed) / (_cpu_s(server) - before), len(mixed) / (time.perf_counter() - began)))
    by_cpu, by_wall = np.median(rates, axis=0)
    return float(by_cpu), float(by_wall)


async def _single(
    target: str, server: psutil.Process, mixed: Sequence[str], rate: float, seconds: float
) -> tuple[list[float], float, int]:
    """Latencies in seconds from when each was due, the server's processor time, and how many there were."""
    latencies = []
    async with grpc.aio.insecure_channel(target) as channel:
        screen = SearchServiceStub(channel).Screen  # type: ignore[no-untyped-call]

        async def one(query: str, due: float) -> None:
            try:
                await screen(pb.ScreenRequest(query=query))
            except grpc.aio.AioRpcError:
                return  # refused: the machine does not keep up
            latencies.append(time.perf_counter() - due)

        await one(mixed[0], time.perf_counter())
        latencies.clear()
        before, began, count = _cpu_s(server), time.perf_counter(), round(rate * seconds)
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                due = began + number / rate
                if (early := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                group.create_task(one(mixed[number % len(mixed)], due))
        return latencies, _cpu_s(server) - before, count


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _server() -> Iterator[tuple[str, psutil.Process]]:
    command = [
        str(Path(sys.executable).with_name("wildgate")),
        "screening",
        "--listen",
        "127.0.0.1:0",
        "--log-level",
        "error",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().split()[-1], psutil.Process(process.pid)
        finally:
            process.terminate()
