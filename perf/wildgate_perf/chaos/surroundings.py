"""Faults of what a gateway stands on: Redis, the block service, the case service, disks, memory, origins."""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wildgate_client import InternalError, ScoringClient, ScoringError, UnexpectedAnswer, Uri
from wildgate_perf.chaos.fault import Fault
from wildgate_perf.chaos.neighbour import Neighbour
from wildgate_perf.server_parts import free_address
from wildgate_perf.server_process import ServerProcess, serving

__all__ = ["FAULTS", "ISSUER", "Surroundings", "key_and_token", "surroundings"]

_AWAY_S = 4.0
_DISK_MB = 4
_ASKED = 16  # times at once, for what a bad origin has
_SAMPLE = Path(__file__).resolve().parents[3] / "samples" / "horn_in_portrait.mp4"
_CLI = (sys.executable, "-m", "wildgate_client.cli")
ISSUER = "https://chaos.example"


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
    keys, token = key_and_token(folder)
    secret = folder / "cache.secret"
    secret.write_text(secrets.token_hex(32))
    redis_command = ("redis-server", "--port", redis_at.rpartition(":")[2], "--save", "", "--dir", str(folder))
    redis = Neighbour(folder / "redis.log", redis_command, redis_at)
    listed = ("--directory", str(folder / "blocks"), "--listen", blocks_at)
    blocks = Neighbour(folder / "blocks.log", (*_CLI, "blocks", "serve", *listed), blocks_at)
    kept = ("--directory", str(folder / "enforcement"), "--listen", cases_at)
    access = ("--access.keys", str(keys), "--access.issuer", ISSUER)
    cases = Neighbour(folder / "cases.log", (*_CLI, "enforce", *kept, *access), cases_at)
    with ExitStack() as running, _disk(folder / "disk") as disk:
        for neighbour in (redis, blocks, cases):
            running.callback(neighbour.kill)
            await asyncio.to_thread(neighbour.start)
        origin = await asyncio.start_server(_bad_origin, "127.0.0.1", 0)
        host, port = origin.sockets[0].getsockname()[:2]
        gateway = serving(
            log_folder=folder,
            cache__redis_url=f"redis://{redis_at}/0",
            cache__secret_file=secret,
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
            yield Surroundings(server, redis, blocks, cases, disk, f"http://{host}:{port}")
        finally:
            origin.close()
            await asyncio.to_thread(gateway.__exit__, None, None, None)


async def _bad_origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begins to send a video, and then as the path says: stalls, truncates, or lies about its size and place."""
    path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
    video = _SAMPLE.read_bytes()
    begins, size = (random.randrange(9999), random.randrange(1 << 30)) if path == b"/lies" else (0, len(video))
    head = f"Content-Length: {len(video)}\r\nContent-Range: bytes {begins}-{begins + len(video) - 1}/{size}"
    writer.write(b"HTTP/1.1 206 Partial Content\r\n" + head.encode() + b"\r\n\r\n")
    writer.write(video if path == b"/lies" else video[: len(video) // 2])
    if path == b"/stalls":
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


def key_and_token(folder: Path) -> tuple[Path, Path]:
    """Files with the keys of ISSUER, for a case service, and with a gateway's token of two hours."""
    key = Ed25519PrivateKey.generate()
    keys, token = folder / "keys.pem", folder / "gateway.token"
    keys.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    claims = {"iss": ISSUER, "aud": "wildgate", "sub": "gateway", "roles": ["gateway"], "exp": int(time.time()) + 7200}
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


def _origin(path: str) -> Callable[[Surroundings], Awaitable[None]]:
    """Raises RuntimeError where what such an origin has is scored, or comes as a surprise."""

    async def strike(around: Surroundings) -> None:
        async def ask() -> None:
            async with ScoringClient(around.target) as client:
                try:
                    verdict = await client.score(Uri(around.origin + path), deadline_s=_AWAY_S)
                except ScoringError as error:
                    if isinstance(error, InternalError | UnexpectedAnswer):
                        raise RuntimeError(f"{path}: {error}") from error
                else:
                    raise RuntimeError(f"{path}: {verdict.action}")

        await asyncio.gather(*(ask() for _ in range(_ASKED)))

    return strike


FAULTS = (
    Fault("Redis away for 4 s", _away(lambda around: around.redis)),
    Fault("block service away for 4 s", _away(lambda around: around.blocks)),
    Fault("case service away for 4 s", _away(lambda around: around.cases)),
    Fault("disk of cases and list full for 4 s", _full_disk),
    Fault("/dev/shm full for 4 s", _full_shared_memory),
    Fault("an origin that stalls, asked 16 times at once", _origin("/stalls")),
    Fault("an origin that truncates, asked 16 times at once", _origin("/truncates")),
    Fault("an origin that lies about sizes and places, asked 16 times at once", _origin("/lies")),
)
"""Played on Surroundings."""
