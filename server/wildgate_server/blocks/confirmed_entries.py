"""Entries for videos that are confirmed: sampled and looked at densely, and what they are recognised by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import cv2
import numpy as np

from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.admission import Admission
from wildgate_server.blocks.dense import ConfirmedVideo, Fingerprinter, look_densely, with_usual_looks
from wildgate_server.blocks.entries import fingerprint_message
from wildgate_server.blocks.keypoints import Picture
from wildgate_server.media.sampled_video import SampledTrack
from wildgate_server.repository.model_configs import CLIP_DECODER, CLIP_DECODER_SOFTWARE
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.source.sources import Sources

__all__ = ["ConfirmedEntries", "block_of"]

_KEPT_FRAMES = 24
_KEPT_SIDE_PX = 160
_KEPT_QUALITY = 80


@dataclass(frozen=True, slots=True)
class ConfirmedEntries:
    """Makes entries of videos; `sampling` is the pool that samples as `dense_config` says, `usual` as any upload is.

    Such a video holds a place like any other, for at most `deadline_s`; `needs_cpu_decoder` is as in `Scorer`.
    """

    sources: Sources
    admission: Admission
    sampling: SamplingPool
    usual: SamplingPool
    triton: Fingerprinter
    needs_cpu_decoder: Callable[[SampledTrack], bool]
    deadline_s: float

    async def entry(self, content: bytes) -> pb.Block:
        """What an entry holds of a media file: fingerprint, descriptors and some small pictures.

        Raises Overloaded, and what sampling and decoding raise.
        """
        with self.admission.admit(len(content)):
            deadline = monotonic() + self.deadline_s
            file = await self.sources.of_content(content).identified()
            video = with_usual_looks(await self.sampling.sample(file), await self.usual.sample(file))
            software = any(self.needs_cpu_decoder(track) for track in video.tracks)
            decoder = CLIP_DECODER_SOFTWARE if software else CLIP_DECODER
            seen = await look_densely(video, self.triton, decoder, deadline)
        return await asyncio.to_thread(block_of, seen)


def block_of(seen: ConfirmedVideo) -> pb.Block:
    """What an entry holds of a video that was looked at densely."""
    return pb.Block(
        fingerprint=fingerprint_message(seen.fingerprint),
        descriptors=seen.original.encode(),
        kept_frames=[pb.KeptFrame(time_s=at, jpeg=_small_jpeg(picture)) for at, picture in _evenly(seen.pictures)],
    )


def _evenly(pictures: Sequence[tuple[float, Picture]]) -> list[tuple[float, Picture]]:
    most = min(len(pictures), _KEPT_FRAMES)
    return [pictures[at * len(pictures) // most] for at in range(most)]


def _small_jpeg(picture: Picture) -> bytes:
    height, width = picture.shape[:2]
    scale = min(_KEPT_SIDE_PX / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _KEPT_QUALITY])
    return bytes(encoded)
