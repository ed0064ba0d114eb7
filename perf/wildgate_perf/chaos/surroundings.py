"""Faults of what a gateway stands on: Redis, the block service, the case service, disks, memory, origins."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wildgate_client import ScoringClient, ScoringError, Uri
from wildgate_perf.chaos.fault import Fault
from wildgate_perf.chaos.neighbour import Neighbour
from wildgate_perf.server_parts import free_address
from wildgate_perf.server_process import ServerProcess, serving

__all__ = ["FAULTS", "Surroundings", "surroundings"]

_AWAY_S = 4.0
_DISK_MB = 4
_HEAD = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 65536\r\nContent-Range: bytes 0-65535/1000000\r\n\r\n"
_STALLED = 16  # requests at a time for what the origin does not send
_CLI = (sys.executable, "-m", "wildgate_client.cli")
_ISSUER = "https://chaos.example"


@dataclass
class Surroundings:
    """A gateway with all that it may have beside it; its cases and its list are kept on `disk`, a small one."""

    server: ServerProcess
    redis: Neighbour
    blocks: Neighbour
    cases: Neighbour
    disk: Path
    origin: str

    @property
    def target(self) -> str:
        """The gateway."""
        return self.server.target


@asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[Surroundings]:
    """Runs all of it as long as the context lasts; the disk is mounted, which takes root."""
    redis_at, blocks_at, cases_at = free_address(), free_address(), free_address()
    keys, token = _key_and_token(folder)
    redis_command = ("redis-server", "--port", redis_at.rpartition(":")[2], "--save", "", "--dir", str(folder))
    redis = Neighbour(folder / "redis.log", redis_command, redis_at)
    listed = ("--directory", str(folder / "blocks"), "--listen", blocks_at)
    blocks = Neighbour(folder / "blocks.log", (*_CLI, "blocks", "serve", *listed), blocks_at)
    kept = ("--directory", str(folder / "enforcement"), "--listen", cases_at)
    access = ("--access.keys", str(keys), "--access.issuer", _ISSUER)
    cases = Neighbour(folder / "cases.log", (*_CLI, "enforce", *kept, *access), cases_at)
    with ExitStack() as running, _disk(folder / "disk") as disk:
        for neighbour in (redis, blocks, cases):
            running.callback(neighbour.kill)
            await asyncio.to_thread(neighbour.start)
        silent = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
        host, port = silent.sockets[0].getsockname()[:2]
        gateway = serving(
            log_folder=folder,
            cache__redis_url=f"redis://{redis_at}/0",
            cache__max_entries=0,
            cache__ttl_s=0.001,  # it is asked, and never answers in place of Triton
            blocks__target=blocks_at,
            blocks__directory=disk / "blocks",
            enforcement__target=cases_at,
            enforcement__spool_directory=disk / "spool",
            enforcement__token_file=token,
            source__private_networks=["127.0.0.0/8"],
        )
        server = await asyncio.to_thread(gateway.__enter__)
        try:
            yield Surroundings(server, redis, blocks, cases, disk, f"http://{host}:{port}/video.mp4")
        finally:
            silent.close()
            await asyncio.to_thread(gateway.__exit__, None, None, None)


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with a head, and a first byte, and no more."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 65536\r\nContent-Range: bytes 0-65535/1000000\r\n\r\n0"
    )
    await reader.read()
    writer.close()


@contextmanager
def _disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _key_and_token(folder: Path) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    keys, token = folder / "keys.pem", folder / "gateway.token"
    keys.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    claims = {"iss": _ISSUER, "aud": "wildgate", "sub": "gateway", "roles": ["gateway"], "exp": int(time.time()) + 7200}
    token.write_text(jwt.encode(claims, key, "EdDSA"))
    return keys, token


def _away(which: Callable[[Surroundings], Neighbour]) -> Callable[[Surroundings], Awaitable[None]]:
    async def strike(around: Surroundings) -> None:
        neighbour = which(around)
        neighbour.kill()
        await asyncio.sleep(_AWAY_S)
        await asyncio.to_thread(neighbour.start)

    return strike


async def _full_disk(around: Surroundings) -> None:
    filler = around.disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(around.disk).free))
    await asyncio.sleep(_AWAY_S)
    filler.unlink()


async def _full_shared_memory(around: Surroundings) -> None:
    """Leaves tritonserver nothing of the /dev/shm that it has for itself."""
    [triton] = [each for each in around.server.processes() if each.cmdline()[0].endswith("bin/tritonserver")]
    await asyncio.to_thread(_resize, triton.pid, f"{_used_mb(triton.pid) + 1}m")
    await asyncio.sleep(_AWAY_S)
    await asyncio.to_thread(_resize, triton.pid, "50%")


def _used_mb(process: int) -> int:
    shared = Path(f"/proc/{process}/root/dev/shm")
    if shared.stat().st_dev == Path("/dev/shm").stat().st_dev:
        raise RuntimeError("tritonserver has no /dev/shm of its own here, and others need the common one")
    return shutil.disk_usage(shared).used >> 20


def _resize(process: int, size: str) -> None:
    enter = ("nsenter", "--target", str(process), "--mount")
    subprocess.run([*enter, "mount", "-o", f"remount,size={size}", "/dev/shm"], check=True)


async def _stalling_origin(around: Surroundings) -> None:
    async def ask() -> None:
        async with ScoringClient(around.target) as client:
            with suppress(ScoringError):
                await client.score(Uri(around.origin), deadline_s=_AWAY_S)

    await asyncio.gather(*(ask() for _ in range(_STALLED)))


FAULTS = (
    Fault("Redis away for 4 s", _away(lambda around: around.redis)),
    Fault("block service away for 4 s", _away(lambda around: around.blocks)),
    Fault("case service away for 4 s", _away(lambda around: around.cases)),
    Fault("disk of cases and list full for 4 s", _full_disk),
    Fault("/dev/shm full for 4 s", _full_shared_memory),
    Fault("an origin that stalls, asked 16 times at once", _stalling_origin),
)
"""Played on Surroundings."""
