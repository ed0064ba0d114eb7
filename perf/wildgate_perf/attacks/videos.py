"""Videos that cost much, and those that come from hosts that hardly send."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

from wildgate_perf.attacks.attack import Attack, Target, connection, for_ever, score
from wildgate_perf.attacks.costly_files import garbage_in_windows, large_pictures, promised_samples, tiny_packets
from wildgate_perf.attacks.streams import STREAM
from wildgate_proto.v1 import scoring_pb2 as pb

_DRIPPING_HOSTS = [f"127.0.0.{number}" for number in range(2, 10)]
_DRIPS_EVERY_S = 0.5


def _by_content(*files: bytes) -> list[bytes]:
    return [pb.ScoreRequest(content=content).SerializeToString() for content in files]


async def _large(target: Target) -> None:
    """Six at a time, and nobody waits for the answer."""
    await _sent(target, _by_content(large_pictures()), at_once=6, per_s=12, patience_s=0.5)


async def _promised(target: Target) -> None:
    await _sent(target, _by_content(promised_samples(), tiny_packets(500_000)), at_once=4, per_s=2)


async def _garbage(target: Target) -> None:
    await _sent(target, _by_content(garbage_in_windows(), garbage_in_windows(garbage=False)), at_once=8, per_s=10)


async def _sent(target: Target, requests: list[bytes], *, at_once: int, per_s: float, patience_s: float = 60.0) -> None:
    """The requests in turn, each over one of as many connections as go on at once."""
    async with AsyncExitStack() as connections:
        channels = [await connections.enter_async_context(connection(target)) for _ in range(at_once)]
        numbers = count()

        async def step() -> None:
            number = next(numbers)
            await score(channels[number % at_once])(requests[number % len(requests)], timeout=patience_s)

        await for_ever(step, at_once=at_once, per_s=per_s)


async def _refused(target: Target) -> None:
    """Streams of items that are refused at once, whose answers are taken."""
    item = pb.ScoreStreamRequest(request=pb.ScoreRequest(uri="ftp://nowhere")).SerializeToString()
    async with connection(target) as one:

        async def step() -> None:
            call: Any = one.stream_stream(STREAM)()

            async def write() -> None:
                while True:
                    await call.write(item)

            writing = asyncio.create_task(write())
            try:
                async for _ in call:
                    pass
            finally:
                writing.cancel()

        await for_ever(step, at_once=4, per_s=4)


async def _dripping(target: Target) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-49151/1000000\r\nContent-Length: 49152\r\n\r\n"
        )
        try:
            while True:
                writer.write(b"\0")
                await writer.drain()
                await asyncio.sleep(_DRIPS_EVERY_S)
        except OSError:
            pass
        finally:
            writer.close()

    async with AsyncExitStack() as servers:
        requests = []
        for host in _DRIPPING_HOSTS:
            server = await asyncio.start_server(drip, host, 0)
            await servers.enter_async_context(server)
            port = server.sockets[0].getsockname()[1]
            requests.append(pb.ScoreRequest(uri=f"http://{host}:{port}/video.mp4").SerializeToString())
        await _sent(target, requests, at_once=16, per_s=8)


ATTACKS = (
    Attack(1, "a picture of 9.4 megapixels 128 times in 7 KB, callers that leave", _large),
    Attack(4, "streams of videos that are refused at once", _refused),
    Attack(7, "60 million samples promised in 6 KB, half a million packets in 8 MB", _promised),
    Attack(8, "garbage frames in VP9", _garbage),
    Attack(13, "eight hosts that send two bytes a second", _dripping, by_uri=True),
)
