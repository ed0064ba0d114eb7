"""Entries of the list of blocks as callers give them: checked, and completed, before anything is kept."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence

from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.blocks.fingerprint import HASH_BYTES, MIN_QUALITY, FrameFingerprint, VideoFingerprint
from wildgate_server.errors import InvalidRequest

__all__ = [
    "checked_block",
    "completed_block",
    "digest_key",
    "digest_keys",
    "fingerprint_message",
    "fingerprint_of",
    "in_force_until",
    "usable_hashes",
]

_DIGEST = re.compile(r"(blake3|sha256|blake3-sampled):([0-9a-f]{64})")
_DIGEST_FORM = "64 lower-case hexadecimal digits follow blake3:, sha256: or blake3-sampled:"
_FOR_EVER = (1 << 63) - 1
_KINDS = {"blake3": b"b", "sha256": b"s", "blake3-sampled": b"p"}
_TEXTS = ("source", "reason", "label", "added_by")
_MAX_ID = 128
_MAX_TEXT = 1024
_MAX_DIGESTS = 16
_MAX_FRAMES = 20_000  # 10 minutes, looked up four times a second, each frame in eight ways
_MAX_HASHES = 64  # of one frame
_MAX_BYTES = 8 << 20  # of an entry as a whole


def checked_block(block: pb.Block, now_ms: int) -> pb.Block:
    """The entry as it is kept: with an id, and with the time when it was added. Raises InvalidRequest."""
    kept = pb.Block()
    kept.CopyFrom(block)
    kept.id = kept.id or secrets.token_hex(8)
    kept.added_ms = kept.added_ms or now_ms
    _require(len(kept.id) <= _MAX_ID and kept.id.isprintable(), "id", f"is not of 1 to {_MAX_ID} printable characters")
    for name in _TEXTS:
        _require(len(getattr(kept, name)) <= _MAX_TEXT, name, f"is longer than {_MAX_TEXT} characters")
    _require(kept.added_ms > 0 and kept.expires_ms >= 0, "expires_ms", "and added_ms count from 1970")
    _require(len(kept.digests) <= _MAX_DIGESTS, "digests", f"are more than {_MAX_DIGESTS}")
    for digest in kept.digests:
        _require(bool(_DIGEST.fullmatch(digest)), "digests", f"hold {digest[:80]!r}: {_DIGEST_FORM}")
    frames = kept.fingerprint.frames
    _require(len(frames) <= _MAX_FRAMES, "fingerprint", f"has more than {_MAX_FRAMES} frames")
    for frame in frames:
        sizes = {len(each) for each in frame.hashes}
        _require(sizes == {HASH_BYTES}, "fingerprint", f"has a frame whose hashes are not of {HASH_BYTES} bytes each")
        _require(len(frame.hashes) <= _MAX_HASHES, "fingerprint", f"has a frame with more than {_MAX_HASHES} hashes")
        _require(0 <= frame.quality <= 100, "fingerprint", f"has a frame of quality {frame.quality}")
        _require(abs(frame.time_s) < 1e9, "fingerprint", "has a frame at no time")  # NaN is less than nothing
    _require(bool(kept.digests or frames), "digests", "and fingerprint are empty: the entry could block nothing")
    _require(kept.ByteSize() <= _MAX_BYTES, "block", f"{kept.id} takes more than {_MAX_BYTES} bytes")
    return kept


def _require(holds: bool, field: str, what: str) -> None:
    if not holds:
        raise InvalidRequest(f"{field} {what}", field=field)


def completed_block(block: pb.Block, before: pb.Block) -> pb.Block:
    """An entry in the place of another one with the same frames: what only wildgate makes of them is kept.

    Entries come back from files that other platforms read, too, without regions, keypoints and pictures.
    """
    if block.descriptors or not before.descriptors or _full_hashes(block) != _full_hashes(before):
        return block
    kept = pb.Block(fingerprint=before.fingerprint, descriptors=before.descriptors, kept_frames=before.kept_frames)
    block.ClearField("fingerprint")
    block.ClearField("kept_frames")
    block.MergeFrom(kept)
    return block


def _full_hashes(block: pb.Block) -> list[bytes]:
    return sorted(frame.hashes[0] for frame in block.fingerprint.frames)


def digest_key(digest: str) -> bytes:
    """What a checked digest is looked up by."""
    kind, _, digits = digest.partition(":")
    return _KINDS[kind] + bytes.fromhex(digits)


def digest_keys(block: pb.Block) -> list[bytes]:
    """What a kept entry's digests are looked up by; those of a kind that only later versions know are left out."""
    return [digest_key(digest) for digest in dict.fromkeys(block.digests) if _DIGEST.fullmatch(digest)]


def usable_hashes(block: pb.Block) -> Iterator[tuple[int, Sequence[bytes]]]:
    """The place of each frame that can match, and its hashes; those that only later versions know are left out."""
    for at, frame in enumerate(block.fingerprint.frames):
        if frame.quality >= MIN_QUALITY and {len(each) for each in frame.hashes} == {HASH_BYTES}:
            yield at, frame.hashes


def in_force_until(block: pb.Block) -> int:
    """When an entry ends to block anything, in milliseconds since 1970; 0 of one that is disabled."""
    return 0 if block.disabled else block.expires_ms or _FOR_EVER


def fingerprint_of(message: pb.Fingerprint) -> VideoFingerprint:
    """A fingerprint as it came by message."""
    frames: Iterable[pb.FrameFingerprint] = message.frames
    return VideoFingerprint(
        tuple(FrameFingerprint(each.track, each.time_s, each.quality, tuple(each.hashes)) for each in frames),
        message.duration_s,
    )


def fingerprint_message(fingerprint: VideoFingerprint) -> pb.Fingerprint:
    """A fingerprint as a message."""
    frames = fingerprint.frames
    return pb.Fingerprint(
        frames=[
            pb.FrameFingerprint(track=each.track, time_s=each.time_s, quality=each.quality, hashes=each.hashes)
            for each in frames
        ],
        duration_s=fingerprint.duration_s,
    )
