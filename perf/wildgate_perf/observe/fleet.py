"""One of each server on loopback, and a little load on all of them."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import yaml

from wildgate_client import Content, ScoringClient, ScoringError, Uri
from wildgate_perf.chaos.neighbour import Neighbour
from wildgate_perf.chaos.surroundings import ISSUER, key_and_token
from wildgate_perf.server_parts import free_address
from wildgate_perf.server_process import serving
from wildgate_proto.v1.search_pb2 import ScreenRequest
from wildgate_proto.v1.search_pb2_grpc import SearchServiceStub

__all__ = ["Fleet", "fleet", "load"]

_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_CLI = (sys.executable, "-m", "wildgate_client.cli")
_QUERIES = ("rhino horn for sale", "ivory soap", "cat pictures")
_CALLERS = 3
# In the format of /drift; what it says is of no account, too few videos come for an index.
_REFERENCE = {
    "videos": 1000,
    "top_score": {str(step / 10): 0.1 for step in range(1, 11)},
    "action": {"allow": 0.8, "review": 0.15, "block": 0.05},
}


@dataclass(frozen=True)
class Fleet:
    """Where callers reach it; `scraped` is where each job's metrics are: (job, address, path)."""

    gateway: str
    screening: str
    scraped: tuple[tuple[str, str, str], ...]


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    """Runs a gateway with a Triton of its own, which follows a block service and hands cases to a case service."""
    if not (redis := shutil.which("redis-server")):
        raise RuntimeError("redis-server is not installed (Debian: apt-get install redis-server)")
    names = ("blocks", "enforcement", "screening")
    at, told_at = ({name: free_address() for name in names} for _ in range(2))
    keys, token = key_and_token(folder)
    own = {
        "blocks": ("blocks", "serve", "--directory", str(folder / "blocks")),
        "enforcement": (
            *("enforce", "--directory", str(folder / "cases"), "--access.keys", str(keys)),
            *("--access.issuer", ISSUER, "--blocks", at["blocks"]),
        ),
        "screening": ("screening",),
    }
    gateway_told_at, redis_at = free_address(), free_address()
    (folder / "reference.yaml").write_text(yaml.safe_dump(_REFERENCE))
    (folder / "cache-secret").write_text(secrets.token_hex(16))
    with ExitStack() as running:
        for name in names:
            command = (*_CLI, *own[name], "--listen", at[name], "--metrics", told_at[name])
            neighbour = Neighbour(folder / f"{name}.log", command, at[name])
            running.callback(neighbour.kill)
            neighbour.start()
        kept = (redis, "--port", redis_at.rpartition(":")[2], "--save", "", "--dir", str(folder))
        neighbour = Neighbour(folder / "redis.log", kept, redis_at)
        running.callback(neighbour.kill)
        neighbour.start()
        gateway = serving(
            log_folder=folder,
            endpoint__metrics=gateway_told_at,
            cache__ttl_s=15,  # so that there are hits and misses
            cache__redis_url=f"redis://{redis_at}",
            cache__secret_file=folder / "cache-secret",
            drift__reference=folder / "reference.yaml",
            blocks__target=at["blocks"],
            blocks__directory=folder / "copy",
            enforcement__target=at["enforcement"],
            enforcement__spool_directory=folder / "spool",
            enforcement__token_file=token,
            source__file_roots=[_SAMPLES],
        )
        server = running.enter_context(gateway)
        scraped = (
            ("gateway", gateway_told_at, "/metrics"),
            ("triton", gateway_told_at, "/metrics/triton"),
            *((name, told_at[name], "/metrics") for name in names),
        )
        yield Fleet(server.target, at["screening"], scraped)


async def load(fleet: Fleet, seconds: float) -> int:
    """A few callers for `seconds`: samples by bytes and by URI, one that is no video, searches. Returns the answers."""
    ends = time.monotonic() + seconds
    clips = sorted(path for path in _SAMPLES.iterdir() if path.suffix in {".mp4", ".webm"})

    async def score(caller: int, client: ScoringClient) -> int:
        answers = 0
        while time.monotonic() < ends:
            clip = clips[(answers + caller) % len(clips)]
            source = Uri(clip.as_uri()) if answers % 2 else Content(clip.read_bytes())
            await client.score(source, deadline_s=30)
            with suppress(ScoringError):
                await client.score(Content(b"no video"), deadline_s=30)
            answers += 1
        return answers

    async def search() -> int:
        async with grpc.aio.insecure_channel(fleet.screening) as channel:
            screen = SearchServiceStub(channel).Screen  # type: ignore[no-untyped-call]
            while time.monotonic() < ends:
                for query in _QUERIES:
                    await screen(ScreenRequest(query=query), timeout=10)
                await asyncio.sleep(0.2)
        return 0

    async with ScoringClient(fleet.gateway) as client:
        return sum(await asyncio.gather(*(score(caller, client) for caller in range(_CALLERS)), search()))
