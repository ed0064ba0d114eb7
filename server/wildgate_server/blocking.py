"""Whether a video is on the list of blocks: an exact copy, or one that its frames give away."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum

import structlog
from cachetools import LRUCache

from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.block_rules import BlockRules
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.confirmation import CandidateFrame, confirm
from wildgate_server.blocks.fingerprint import VideoFingerprint
from wildgate_server.blocks.follower import BlockState
from wildgate_server.blocks.keypoints import Picture
from wildgate_server.blocks.matching import MatchedFrame, Resemblance, resemblances
from wildgate_server.blocks.original import BrokenOriginal, Original
from wildgate_server.inference.evidence import jpeg_of
from wildgate_server.metrics import Metrics
from wildgate_server.policy import Action, Policy
from wildgate_server.source.content import CONTENT_DIGEST

__all__ = ["BlockMatch", "Blocking", "Findings", "MatchKind", "MatchPictures", "Pictures"]

_log = structlog.get_logger()

_COMPARED_FRAMES = 8  # of a video, with an entry that it resembles
_OF_A_STILL = 0.5  # of a video, that a blocked picture has to be
_REMEMBERED = 10_000  # comparisons of pictures
_HASH_ASIDE_BYTES = 64 << 10

Shown = tuple[int, float]
"""A looked-at frame: its track's number and its time in seconds."""
Pictures = Callable[[Collection[Shown]], Awaitable[Mapping[Shown, Picture]]]


class MatchKind(Enum):
    """How a video was found to be a blocked one; names as in the protocol."""

    EXACT = 1
    FRAMES = 2
    CONFIRMED = 3
    CANDIDATE = 4


@dataclass(frozen=True, slots=True)
class MatchPictures:
    """Two frames that match, as JPEG; nothing where there is no picture."""

    video: bytes = b""
    original: bytes = b""


@dataclass(frozen=True, slots=True)
class BlockMatch:
    """An entry that calls for an action, and why. `share` is that of the video's frames that match."""

    block: pb.Block
    kind: MatchKind
    action: Action
    frames: tuple[MatchedFrame, ...] = ()
    share: float = 0.0
    inliers: int = 0
    pictures: tuple[MatchPictures, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the list of blocks says of a video, and how well it was known: up to `position`."""

    matches: tuple[BlockMatch, ...]
    state: BlockState
    position: int
    frames_compared: bool


class Blocking:
    """Asks the list of blocks.

    `state` tells how well it is known, `policy` is the one in force. `kept_fingerprint` reads the fingerprint in a kept
    verdict, `blocked_verdict` makes the verdict on an exact copy with this digest.
    """

    def __init__(
        self,
        blocks: BlockList,
        *,
        state: Callable[[], BlockState],
        policy: Callable[[], Policy],
        kept_fingerprint: Callable[[bytes], VideoFingerprint | None],
        blocked_verdict: Callable[[str, Policy], bytes],
        metrics: Metrics,
    ) -> None:
        self._blocks = blocks
        self._state = state
        self._policy = policy
        self._kept_fingerprint = kept_fingerprint
        self._blocked_verdict = blocked_verdict
        self._metrics = metrics
        self._compared: LRUCache[tuple[object, ...], tuple[Action, int] | None] = LRUCache(_REMEMBERED)
        # Apart from where pictures are compared and files read: what others wait for is short here.
        self._looking = ThreadPoolExecutor(2, "block-lookup")

    def close(self) -> None:
        """Ends the threads."""
        self._looking.shutdown()

    async def exact(self, digest: str, content: bytes = b"") -> tuple[bytes, Findings] | None:
        """The verdict and its findings where the file itself is blocked; by SHA-256 only where `content` is given."""
        digests = [digest]
        if content and self._blocks.wants_sha256 and digest.startswith(CONTENT_DIGEST):
            digests.append(f"sha256:{await _sha256(content)}")
        block = self._blocks.by_digest(digests)
        if block is None:
            return None
        return self._blocked_verdict(digest, self._policy()), self._exact(block, self._blocks.position)

    async def compare_kept(self, digest: str, verdict: bytes) -> Findings | None:
        """What the list says now of a video with a kept verdict; None where it has to be looked at again."""
        fingerprint = self._kept_fingerprint(verdict)
        # Of one without a fingerprint nothing could be said: it is scored anew.
        return await self.compare(digest, fingerprint, None) if fingerprint else None

    async def compare(
        self, digest: str, video: VideoFingerprint | None, pictures: Pictures | None, *, explain: bool = False
    ) -> Findings | None:
        """What the list says of a video's frames; None where `pictures` would have to be compared and there are none.

        `digest` identifies the video: pictures are compared once. With `explain`, matches come with pictures.
        """
        position = self._blocks.position
        # Again, for what was added while the video was scored.
        if block := self._blocks.by_digest([digest]):
            return self._exact(block, position)
        if video is None:
            return self._findings([], position, compared=False)
        rules = self._policy().blocks
        found: list[Resemblance] = []
        if self._blocks.hashes:
            looking = asyncio.get_running_loop().run_in_executor(
                self._looking, resemblances, self._blocks, video, rules
            )
            found = await looking
        matches: list[BlockMatch] = []
        for each in found:
            match = await self._judged(digest, each, rules, pictures)
            if match is None:
                return None
            if match.action > Action.ALLOW:
                matches.append(await _explained(match, pictures) if explain and pictures else match)
                self._metrics.blocked(match.kind.name)
        return self._findings(sorted(matches, key=lambda match: -match.action), position, compared=True)

    async def _judged(
        self, digest: str, found: Resemblance, rules: BlockRules, pictures: Pictures | None
    ) -> BlockMatch | None:
        match = BlockMatch(found.block, MatchKind.FRAMES, Action.BLOCK, found.frames, found.share)
        if found.enough:
            return match
        resembling = replace(match, kind=MatchKind.CANDIDATE, action=Action[rules.resembling])
        if not found.block.descriptors:
            return resembling
        key = (digest, self._blocks.list_id, found.number, found.frames, rules)
        if key not in self._compared:
            if pictures is None:
                return None
            nearest = sorted(found.frames, key=lambda frame: (frame.regional, frame.distance))[:_COMPARED_FRAMES]
            shown = await pictures([(frame.track, frame.time_s) for frame in nearest])
            candidates = [
                CandidateFrame(shown[frame.track, frame.time_s], frame.original_s)
                for frame in nearest
                if (frame.track, frame.time_s) in shown
            ]
            self._compared[key] = await asyncio.to_thread(_compared, candidates, found, rules)
        compared = self._compared[key]
        if compared is None:
            return resembling
        action, inliers = compared
        return replace(match, kind=MatchKind.CONFIRMED, action=action, inliers=inliers)

    def _exact(self, block: pb.Block, position: int) -> Findings:
        self._metrics.blocked(MatchKind.EXACT.name)
        return self._findings([BlockMatch(block, MatchKind.EXACT, Action.BLOCK)], position, compared=False)

    def _findings(self, matches: Sequence[BlockMatch], position: int, *, compared: bool) -> Findings:
        return Findings(tuple(matches), self._state(), position, compared)


def _compared(candidates: Sequence[CandidateFrame], found: Resemblance, rules: BlockRules) -> tuple[Action, int] | None:
    """What the pictures call for, and the most points that two of them have in common; None without keypoints."""
    try:
        original = Original.decode(found.block.descriptors)
    except BrokenOriginal as error:  # of another version, or not made by wildgate
        _log.warning("descriptors_not_read", block=found.block.id, error=str(error))
        return None
    enough = min(rules.frames, len(original.frames))  # of a still picture there are no more
    share = rules.share if enough == rules.frames else max(rules.share, _OF_A_STILL)
    known = confirm(candidates, original, rules.inliers, enough)
    if not known.frames:
        return Action.ALLOW, known.points
    # What many videos share, as titles, test cards and templates, blocks none of them by itself.
    whole = known.changing == enough and found.share >= share
    return Action.BLOCK if whole else Action[rules.part], known.points


async def _explained(match: BlockMatch, pictures: Pictures) -> BlockMatch:
    frames = match.frames[:_COMPARED_FRAMES]
    shown = await pictures([(frame.track, frame.time_s) for frame in frames])
    explained = []
    for frame in frames:
        picture = shown.get((frame.track, frame.time_s))
        kept = min(match.block.kept_frames, key=lambda each: abs(each.time_s - frame.original_s), default=None)
        video = b"" if picture is None else await asyncio.to_thread(jpeg_of, picture)
        explained.append(MatchPictures(video, kept.jpeg if kept else b""))
    return replace(match, pictures=tuple(explained))


async def _sha256(content: bytes) -> str:
    if len(content) <= _HASH_ASIDE_BYTES:
        return hashlib.sha256(content).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()
