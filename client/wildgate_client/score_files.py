"""Scores the files and URIs given on a command line, a bounded number at a time; results come in their order."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path

from wildgate_client import ScoringClient, ScoringError, Scrutiny, Source, StreamItem, StreamResult, Uri

__all__ = ["ScoreOptions", "score_files", "source_of"]

# A file whose name begins like this can be given as "./file:...".
_URI = re.compile(r"(file|https?|s3|gs):")


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How each video is scored; `concurrency` bounds the videos in memory."""

    concurrency: int = 4
    deadline_s: float = 60.0
    max_evidence_frames: int = 0
    digest_first: bool = False
    scrutiny: Scrutiny = Scrutiny.NORMAL


def source_of(name: str) -> Source:
    """A URI if the name begins with a scheme that servers can read, otherwise a path on this machine."""
    return Uri(name) if _URI.match(name) else Path(name)


async def score_files(
    client: ScoringClient, names: Iterable[str], options: ScoreOptions
) -> AsyncGenerator[StreamResult, None]:
    """Yields one result per name, which is its `video_id`. Each is a call of its own, which the client retries."""
    window: deque[asyncio.Task[StreamResult]] = deque()
    try:
        for name in names:
            if len(window) == options.concurrency:
                yield await window.popleft()
            item = StreamItem(name, source_of(name))
            window.append(asyncio.create_task(_score_one(client, item, options), name=f"score {name}"))
        while window:
            yield await window.popleft()
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


async def _score_one(client: ScoringClient, item: StreamItem, options: ScoreOptions) -> StreamResult:
    try:
        verdict = await client.score(
            item.source,
            video_id=item.video_id,
            deadline_s=options.deadline_s,
            max_evidence_frames=options.max_evidence_frames,
            digest_first=options.digest_first,
            scrutiny=options.scrutiny,
        )
    except ScoringError as error:
        return StreamResult(item.video_id, error=error)
    return StreamResult(item.video_id, verdict=verdict)
