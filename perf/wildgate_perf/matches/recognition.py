"""Confirmed videos on a list of blocks as a server keeps it, and what it says of others by the shipped policy."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from wildgate_perf.matches.looking import SeenVideo
from wildgate_perf.server_parts import (
    Action,
    Block,
    Blocking,
    BlockList,
    BlockMatch,
    BlockState,
    MatchKind,
    Metrics,
    Picture,
    Policy,
    load_policy,
)

__all__ = ["Found", "How", "found_in"]


class How(StrEnum):
    """By what a video is taken for a known one."""

    FULL = "full pictures"
    CONFIRMED = "keypoints"
    REVIEW = "review"
    """A part of it is in it: people decide."""


@dataclass(frozen=True)
class Found:
    """A known video that another one is taken for, or that a part of it is of."""

    video: str
    how: How
    points: int = 0
    share: float = 0.0

    @classmethod
    def of(cls, match: BlockMatch) -> Found:
        """What a match says."""
        how = How.REVIEW if match.action < Action.BLOCK else _BLOCKED_BY[match.kind]
        return cls(match.block.id, how, match.inliers, match.share)


_BLOCKED_BY = {MatchKind.FRAMES: How.FULL, MatchKind.CONFIRMED: How.CONFIRMED}


async def found_in(known: Mapping[str, Block], videos: Sequence[SeenVideo]) -> list[list[Found]]:
    """The known videos that each of these is taken for."""
    policy = load_policy()
    with tempfile.TemporaryDirectory() as directory:
        blocks = await BlockList.load(Path(directory))
        for name, block in known.items():
            block.id, block.added_ms = name, 1
            await blocks.put([block])
        asking = Blocking(
            blocks,
            state=lambda: BlockState.CURRENT,
            policy=lambda: policy,
            kept_fingerprint=lambda verdict: None,
            blocked_verdict=_no_verdict,
            metrics=Metrics(),
        )
        found = [await _found(asking, f"blake3:{number:064x}", video) for number, video in enumerate(videos)]
        asking.close()
        await blocks.close()
    return found


async def _found(asking: Blocking, digest: str, video: SeenVideo) -> list[Found]:
    async def pictures(frames: Collection[tuple[int, float]]) -> dict[tuple[int, float], Picture]:
        return {frame: video.pictures[frame] for frame in frames}

    findings = await asking.compare(digest, video.fingerprint, pictures)
    return [Found.of(match) for match in findings.matches] if findings else []


def _no_verdict(digest: str, policy: Policy) -> bytes:
    return b""
