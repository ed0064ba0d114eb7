"""The list of blocks of the settings: loaded, and followed where it is another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.blocks_settings import BlocksSettings
from wildgate_server.blocks.follower import BlockFollower, BlockState
from wildgate_server.server_metrics import ServerMetrics

__all__ = ["KnownBlocks", "known_blocks"]


@dataclass(frozen=True, slots=True)
class KnownBlocks:
    """A list of blocks, and what keeps it a copy of another's, if it is one."""

    list: BlockList
    follower: BlockFollower | None

    @property
    def state(self) -> BlockState:
        """How well it is known now."""
        return self.follower.state if self.follower else BlockState.CURRENT


@asynccontextmanager
async def known_blocks(settings: BlocksSettings, metrics: ServerMetrics) -> AsyncIterator[KnownBlocks | None]:
    """The list while the context lasts; None without a directory. Raises BlockLogError."""
    if settings.directory is None:
        yield None
        return
    blocks = await BlockList.load(settings.directory)
    try:
        known = KnownBlocks(blocks, BlockFollower(settings, blocks) if settings.target else None)
        gauge = metrics.gauge
        gauge("wildgate_blocks_entries", "Entries of the list of blocks.", lambda: blocks.entries)
        gauge("wildgate_blocks_hashes", "Hashes that videos are compared with.", lambda: blocks.hashes)
        gauge("wildgate_blocks_bytes", "Memory that these take.", lambda: blocks.size_bytes)
        gauge("wildgate_blocks_log_bytes", "What the list takes on disk.", lambda: blocks.log_bytes)
        gauge("wildgate_blocks_position", "Position of the last change that is known.", lambda: blocks.position)
        gauge(
            "wildgate_blocks_current",
            "1 while the list is as its service has it.",
            lambda: known.state is BlockState.CURRENT,
        )
        gauge(
            "wildgate_blocks_behind_seconds",
            "For how long the list may have been behind that of its service.",
            lambda: known.follower.behind_s if known.follower else 0.0,
        )
        yield known
    finally:
        await blocks.close()
