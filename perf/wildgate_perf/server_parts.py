"""All that perf uses of the server's inside, in one place: the rest of perf asks servers over the network.

Offline scoring and the null models' Triton need the server's own parts, so that both sides of a ratio do the same work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from wildgate_proto.v1.blocks_pb2 import Block
from wildgate_server.allocator import keep_freed_memory
from wildgate_server.block_rules import BlockRules
from wildgate_server.blocking import Blocking, BlockMatch, MatchKind
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.blocks_settings import BlocksSettings
from wildgate_server.blocks.confirmed_entries import block_of
from wildgate_server.blocks.dense import dense_config, look_densely, with_usual_looks
from wildgate_server.blocks.fingerprint import (
    HASH_BYTES,
    FrameFingerprint,
    VideoFingerprint,
    read_fingerprint,
    without_repeats,
)
from wildgate_server.blocks.follower import BlockFollower, BlockState
from wildgate_server.blocks.keypoints import Picture
from wildgate_server.blocks.matching import resemblances
from wildgate_server.blocks.near_hashes import Codes, NearHashes
from wildgate_server.budget import Budget, BudgetSettings
from wildgate_server.cores import available_cores
from wildgate_server.enforcement.case_request import check_subject
from wildgate_server.enforcement.enforcement_settings import EnforcementSettings
from wildgate_server.enforcement.handoff import CaseHandoff
from wildgate_server.enforcement.setup import case_handoff
from wildgate_server.errors import RowRefused, VideoTooCostly
from wildgate_server.inference.detections import Detection, read_detections
from wildgate_server.media.letterbox import Letterbox
from wildgate_server.metrics import Metrics
from wildgate_server.policy import Action, Judgement, Policy, Sighting, View, load_policy
from wildgate_server.received import received_item, received_request
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.sampling.look import PLAIN_LOOK, Look, Scrutiny
from wildgate_server.sampling.offline import (
    ClipWindow,
    SampledVideo,
    SamplingConfig,
    VideoLimits,
    WildgateError,
    default_config,
    default_limits,
    sample_content,
    sample_file,
)
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.sampling.sampler import sample_video
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.sampling.secret import SamplingSecret
from wildgate_server.source.content import Content, content_digest
from wildgate_server.source.local_file import VideoFile
from wildgate_server.source.source_settings import SourceSettings
from wildgate_server.stages import Stage
from wildgate_server.tracing import TracingSettings, span, tracing
from wildgate_server.tracing import serving as serving_span
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.client import ClipRow
from wildgate_server.triton.embedded import EmbeddedTriton, TritonStartError
from wildgate_server.triton.launch import free_address
from wildgate_server.triton.runtime import find_triton_runtime

__all__ = [
    "HASH_BYTES",
    "Action",
    "BackendSettings",
    "Block",
    "BlockFollower",
    "BlockList",
    "BlockMatch",
    "BlockRules",
    "BlockState",
    "Blocking",
    "BlocksSettings",
    "Budget",
    "BudgetSettings",
    "ClipRow",
    "ClipWindow",
    "Codes",
    "Content",
    "Detection",
    "EmbeddedTriton",
    "FrameFingerprint",
    "Judgement",
    "Letterbox",
    "Look",
    "MatchKind",
    "Metrics",
    "NearHashes",
    "Picture",
    "Policy",
    "RowRefused",
    "SampledVideo",
    "Sampler",
    "SamplingConfig",
    "SamplingPool",
    "SamplingSettings",
    "Scrutiny",
    "Sighting",
    "SourceSettings",
    "Stage",
    "TracingSettings",
    "TritonStartError",
    "VideoFingerprint",
    "VideoLimits",
    "VideoTooCostly",
    "View",
    "WildgateError",
    "available_cores",
    "block_of",
    "case_handoff_to",
    "check_subject",
    "content_digest",
    "find_triton_runtime",
    "free_address",
    "free_port",
    "keep_freed_memory",
    "load_policy",
    "look_densely",
    "read_detections",
    "read_fingerprint",
    "received_item",
    "received_request",
    "resemblances",
    "sample_video",
    "sampling_workers",
    "serving_span",
    "span",
    "tracing",
    "with_usual_looks",
    "without_repeats",
]


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    return int(free_address().rpartition(":")[2])


class Sampler:
    """Samples as `wildgate serve` does with its default settings and profile, in this process.

    `dense`: as it samples a video that is to be blocked.
    """

    def __init__(self, repository: Path, *, dense: bool = False) -> None:
        config, limits = _defaults(repository)
        self._defaults = (dense_config(config) if dense else config), limits

    def sample(self, video: bytes | Path, look: Look = PLAIN_LOOK) -> SampledVideo:
        """Samples a media file, by its bytes or where it lies. Raises what the server's sampler raises."""
        if isinstance(video, Path):
            return sample_file(video, *self._defaults, look)
        return sample_content(video, *self._defaults, look)


def _defaults(repository: Path) -> tuple[SamplingConfig, VideoLimits]:
    manifest = load_manifest(repository)
    return default_config(manifest.frames_per_window), default_limits(manifest.max_frame_pixels)


@asynccontextmanager
async def sampling_workers(repository: Path) -> AsyncIterator[Callable[[Path], Awaitable[SampledVideo]]]:
    """Samples files in worker processes, as many as a gateway with default settings has, started and warmed up."""
    pool = SamplingPool(SamplingSettings(), *_defaults(repository))
    try:
        await pool.warm_up()
        yield lambda video: pool.sample(VideoFile(video))
    finally:
        await asyncio.to_thread(pool.close)


@asynccontextmanager
async def case_handoff_to(target: str, spool: Path) -> AsyncIterator[CaseHandoff]:
    """A gateway's hand-over of cases with default settings."""
    settings = EnforcementSettings(target=target, spool_directory=spool)
    async with case_handoff(settings, SamplingSecret.of(None, shared=False), Metrics()) as handoff:
        assert handoff is not None  # it has a target
        yield handoff
