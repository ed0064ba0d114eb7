"""What a referral holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from wildgate_enforcement.referral.intelligence import IntelligenceValue

__all__ = [
    "Box",
    "Frame",
    "ProductionRecipient",
    "Recipient",
    "Referral",
    "ReferralError",
    "TestRecipient",
    "Video",
]

_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_STAFF_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")  # a pseudonym: neither a name with spaces nor an address
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ReferralError(Exception):
    """A referral cannot be made into a package; says why."""


@dataclass(frozen=True, slots=True)
class ProductionRecipient:
    """An authority that acts on what it gets."""

    name: str


@dataclass(frozen=True, slots=True)
class TestRecipient:
    """A place for trials, whose packages say TEST everywhere. No subclass of the other one, nor equal to it."""

    __test__ = False  # not for pytest

    name: str


Recipient: TypeAlias = ProductionRecipient | TestRecipient


@dataclass(frozen=True, slots=True)
class Box:
    """What was found, with its corners in pixels of the frame."""

    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as JPEG, when it is shown in the video, in seconds, and what was found in it."""

    jpeg: bytes
    time_s: float
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Video:
    """A file, the video or a clip of it, with the SHA-256 (hex) that it was judged by."""

    path: Path
    sha256: str
    is_clip: bool = False

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise ReferralError("video.sha256 is not 64 hexadecimal digits")


@dataclass(frozen=True, slots=True)
class Referral:
    """A case for `recipient`. `made_at` (RFC 3339) and everything else is the caller's, so that it can be made again.

    `subject`, `verdict` (with coverage), `history` (events, oldest first) and `preservation` (what is kept, until when)
    are JSON. `digests` are those of the content, "sha256:<hex>". `approvals` are the pseudonymous ids of two different
    persons or more. Raises ReferralError.
    """

    case_id: str
    recipient: Recipient
    made_at: str
    subject: Mapping[str, Any]
    verdict: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    digests: tuple[str, ...]
    value: IntelligenceValue
    approvals: tuple[str, ...]
    reason: str
    preservation: Mapping[str, Any]
    frames: tuple[Frame, ...] = ()
    video: Video | None = None

    def __post_init__(self) -> None:
        if not _CASE_ID.fullmatch(self.case_id):
            raise ReferralError("case_id must be letters, digits, - and _")
        if not all(_STAFF_ID.fullmatch(staff) for staff in self.approvals):
            raise ReferralError("approvals must be pseudonymous ids: letters, digits and -")
        if len({staff.lower() for staff in self.approvals}) < 2:
            raise ReferralError("two different persons must approve")
        if "coverage" not in self.verdict:
            raise ReferralError("the verdict must say how much of the video was looked at (coverage)")

    @property
    def is_test(self) -> bool:
        """Whether this is a trial."""
        return isinstance(self.recipient, TestRecipient)
