"""What the demo shows of the list of blocks: a clip is reviewed, confirmed and blocked, and comes back in disguise."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av

from wildgate_client import Action, Block, BlocksClient, Content, ScoringClient, Verdict

__all__ = ["BlockedCopy", "block_and_send_copy", "disguised"]


@dataclass(frozen=True)
class BlockedCopy:
    """What the server said about the same disguised copy before its original was blocked, and after."""

    before: Verdict
    after: Verdict
    block_id: str

    @property
    def is_recognised(self) -> bool:
        """Whether the copy was not blocked before and is now, by that entry."""
        named = [match.block_id for match in self.after.block_matches]
        return self.before.action != Action.BLOCK == self.after.action and self.block_id in named

    def __str__(self) -> str:
        found = "; ".join(
            f"{match.kind}, {len(match.frames)} frames ({match.share:.0%}) near" for match in self.after.block_matches
        )
        return (
            f"{self.before.action.name}, once the original is blocked {self.after.action.name} ({found or 'no match'})"
        )


async def block_and_send_copy(target: str, clip: Path) -> BlockedCopy:
    """Blocks the clip in the server at `target` and scores a disguised copy, before and after."""
    copy = Content(disguised(clip))
    async with ScoringClient(target) as scoring, BlocksClient(target) as blocks:
        before = await scoring.score(copy)
        added = await blocks.add_video(clip, Block(reason="confirmed in the demo"))
        return BlockedCopy(before, await scoring.score(copy), added.ids[0])


def disguised(clip: Path) -> bytes:
    """The clip mirrored, at two thirds of its size and encoded anew, as an MP4 file."""
    made = io.BytesIO()
    with av.open(str(clip)) as original, av.open(made, "w", format="mp4") as copy:
        shown = original.streams.video[0]
        stream = copy.add_stream("libx264", rate=shown.average_rate)
        stream.width, stream.height = (side * 2 // 3 // 2 * 2 for side in (shown.width, shown.height))
        for number, frame in enumerate(original.decode(shown)):
            picture = frame.to_ndarray(format="rgb24", width=stream.width, height=stream.height)
            mirrored = av.VideoFrame.from_ndarray(picture[:, ::-1].copy(), "rgb24")
            mirrored.pts = number
            copy.mux(stream.encode(mirrored))
        copy.mux(stream.encode(None))
    return made.getvalue()
