"""A pipeline that does as a video's content says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.errors import NotAVideo, UriNotAllowed, VerdictNotCached
from wildgate_server.inference.evidence import EvidenceFrame
from wildgate_server.pipeline import Answer
from wildgate_server.sampling.look import Scrutiny
from wildgate_server.stages import Stage
from wildgate_server.turns import Standing

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Call:
    """What the pipeline was asked: content or a URI."""

    source: bytes | str
    deadline: float
    max_evidence_frames: int
    scrutiny: Scrutiny = Scrutiny.NORMAL
    explain: bool = False
    standing: Standing = field(default_factory=Standing)


@dataclass
class FakePipeline:
    """Scores by content: `bad...` is no video, `bug...` a surprise, `hold...` waits until told to go on."""

    calls: list[Call] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    inside: int = 0
    most_inside: int = 0
    cancelled: int = 0

    async def score_digest(self, digest: str, *, max_evidence_frames: int, scrutiny: Scrutiny) -> Answer:
        if digest != "blake3:known":
            raise VerdictNotCached("not here", field="content_digest")
        verdict = pb.Verdict(action=pb.ACTION_REVIEW, model_version=f"{digest} {max_evidence_frames}")
        return Answer(verdict.SerializeToString(), {}, cached=True)

    async def score_uri(self, uri: str, **terms: float) -> Answer:
        self.calls.append(Call(uri, **terms))
        if uri.startswith("ftp:"):
            raise UriNotAllowed("no ftp", field="uri")
        return await self._scored(b"")

    async def score_content(self, content: bytes, **terms: float) -> Answer:
        self.calls.append(Call(content, **terms))
        return await self._scored(content)

    async def _scored(self, content: bytes) -> Answer:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await self._note()
            if content.startswith(b"bad"):
                raise NotAVideo("no media container", field="source")
            if content.startswith(b"bug"):
                raise UnicodeDecodeError("utf-8", content, 0, 1, "a secret, in an attribute called reason")
            if content.startswith(b"hold"):
                await self.held.wait()
            action = pb.ACTION_ALLOW if content.startswith(b"harmless") else pb.ACTION_BLOCK
            verdict = pb.Verdict(action=action, model_version=content.decode())
            pictures = (EvidenceFrame(2.0, b"jpeg"),)
            return Answer(verdict.SerializeToString(), {Stage.TOTAL: 250.0}, case_pictures=pictures)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1
            await self._note()

    async def _note(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, inside: int) -> None:
        """Waits until so many videos are being scored."""
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: self.inside == inside)
