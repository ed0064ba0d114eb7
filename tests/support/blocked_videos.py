"""Fingerprints that stand for videos, and their disguises: random hashes, and the same with some bits changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.blocks.entries import fingerprint_message
from wildgate_server.blocks.fingerprint import HASH_BYTES, FrameFingerprint, VideoFingerprint


def random_hash(random: np.random.Generator) -> bytes:
    return random.bytes(HASH_BYTES)


def disguised(code: bytes, bits: int, random: np.random.Generator) -> bytes:
    """The hash with so many of its bits changed."""
    unpacked = np.unpackbits(np.frombuffer(code, np.uint8))
    unpacked[random.choice(len(unpacked), bits, replace=False)] ^= 1
    return np.packbits(unpacked).tobytes()


def video(random: np.random.Generator, frames: int = 8, *, regions: int = 0, quality: int = 90) -> VideoFingerprint:
    """A video with a frame a second."""
    each = [
        FrameFingerprint(0, float(at), quality, tuple(random_hash(random) for _ in range(1 + regions)))
        for at in range(frames)
    ]
    return VideoFingerprint(tuple(each), float(frames))


def disguise(
    original: VideoFingerprint, bits: int, random: np.random.Generator, *, of: slice = slice(None), shift_s: float = 0.0
) -> VideoFingerprint:
    """Some frames of a video, each hash with bits changed, shown at another time."""
    frames = tuple(
        FrameFingerprint(
            frame.track,
            frame.time_s + shift_s,
            frame.quality,
            tuple(disguised(code, bits, random) for code in frame.hashes),
        )
        for frame in original.frames[of]
    )
    return VideoFingerprint(frames, original.duration_s)


def together(*videos: VideoFingerprint) -> VideoFingerprint:
    """One after the other."""
    return VideoFingerprint(
        tuple(frame for each in videos for frame in each.frames), sum(each.duration_s for each in videos)
    )


def block(
    block_id: str, fingerprint: VideoFingerprint | None = None, digests: Sequence[str] = (), **fields: object
) -> pb.Block:
    """An entry as the service has checked it."""
    message = fingerprint_message(fingerprint) if fingerprint else None
    return pb.Block(id=block_id, fingerprint=message, digests=digests, **{"added_ms": 1, **fields})


def scenery(seed: int) -> np.ndarray:
    """A picture with much in it, RGB [240, 320, 3], another one by each seed."""
    random = np.random.default_rng(seed)
    picture = np.full((240, 320, 3), 90, np.uint8)
    for _ in range(150):
        left, top = int(random.integers(0, 300)), int(random.integers(0, 220))
        width, height = (int(side) for side in random.integers(6, 60, 2))
        picture[top : top + height, left : left + width] = random.integers(0, 256, 3)
    return picture
