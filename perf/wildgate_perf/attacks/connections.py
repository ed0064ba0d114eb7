"""Connections that say nothing, and files that are not what they were."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import threading
import time
from pathlib import Path

from wildgate_perf.attacks.attack import Attack, Target, connection, for_ever, score
from wildgate_proto.v1 import scoring_pb2 as pb

_SILENT = 1100
_SWAP_S = 0.0005


async def _silent(target: Target) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * _SILENT, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    host, _, port = target.address.rpartition(":")

    async def step() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            while await reader.read(1 << 12):
                pass
        finally:
            writer.close()

    await for_ever(step, at_once=_SILENT, per_s=_SILENT)


async def _files(target: Target) -> None:
    """A FIFO, and a directory that is by turns a link out of the root."""
    place = target.folder / "attack"
    shutil.rmtree(place, ignore_errors=True)
    (place / "sub").mkdir(parents=True)
    os.mkfifo(place / "fifo")
    (place / "sub" / "video").write_bytes(b"video")
    (place / "link").symlink_to("/etc")
    threading.Thread(target=_swap, args=(place,), daemon=True).start()
    requests = [pb.ScoreRequest(uri=(place / name).as_uri()).SerializeToString() for name in ("fifo", "sub/hostname")]
    async with connection(target) as one:
        number = 0

        async def step() -> None:
            nonlocal number
            number += 1
            await score(one)(requests[number % 2], timeout=30)

        await for_ever(step, at_once=8, per_s=40)


def _swap(place: Path) -> None:
    while True:  # not as fast as can be: that would take a core from all others, whatever the server does
        for before, after in (("sub", "kept"), ("link", "sub"), ("sub", "link"), ("kept", "sub")):
            (place / before).rename(place / after)
            time.sleep(_SWAP_S)


ATTACKS = (
    Attack(14, "1,100 connections that say nothing", _silent),
    Attack(12, "a FIFO, and a link out of the root that is swapped", _files),
)
