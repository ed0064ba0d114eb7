"""A referral becomes a package: a BagIt bag (RFC 8493), signed, time-stamped, and there as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wildgate_enforcement.referral.document import document_of
from wildgate_enforcement.referral.layout import (
    MOST_BYTES,
    ROOT,
    SIGNATURE,
    SIGNED,
    STAMP,
    STAMP_SIGNATURE,
    faults_of_tree,
)
from wildgate_enforcement.referral.referral import Referral, ReferralError, Video
from wildgate_enforcement.referral.sealing import Authority, time_stamp

__all__ = ["package_name", "write_package"]

_BAGGING_S = 600.0
_CHUNK_BYTES = 1 << 20
_SUFFIXES = frozenset({".mp4", ".webm", ".mkv", ".mov", ".avi", ".ts", ".flv", ".3gp", ".ogv"})


def package_name(case_id: str, *, is_test: bool) -> str:
    """What the folder of a case's package is called."""
    return f"{'test-' if is_test else ''}referral-{case_id}"


def write_package(referral: Referral, folder: Path, key: Ed25519PrivateKey, authority: Authority) -> Path:
    """Writes the package into `folder`, as `referral-CASE`, or `test-referral-CASE`; returns its path.

    It is on disk, and has its name, when this returns; what a killed process leaves has a name that begins with a dot.
    Blocks for as long as it copies. Raises ReferralError: there is one of that name, a file is not what it was judged
    by, the authority does not answer, or the disk refuses.
    """
    target = folder / package_name(referral.case_id, is_test=referral.is_test)
    if os.path.lexists(target):
        raise ReferralError(f"{target} is there already")
    try:
        part = Path(tempfile.mkdtemp(prefix=".referral-", suffix=".part", dir=folder))
        try:
            _fill(referral, part, authority.root)
            _bag(part, referral)
            _seal(part, key, authority)
            faults, _ = faults_of_tree(part)
            if faults:
                raise ReferralError(f"the package would not be accepted: {'; '.join(faults)}")
            _sync(part)
            part.rename(target)  # fails where another was faster: a folder that is not empty is never replaced
            _sync_entry(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise ReferralError(f"{target} cannot be written: {error}") from error
    return target


def _fill(referral: Referral, part: Path, root: bytes) -> None:
    (part / "frames").mkdir()
    names = [f"frames/{n:04d}.jpg" for n in range(1, len(referral.frames) + 1)]
    for name, frame in zip(names, referral.frames, strict=True):
        (part / name).write_bytes(frame.jpeg)
    video = _copy(referral.video, part) if referral.video else None
    (part / Path(ROOT).name).write_bytes(root)
    (part / "referral.pdf").write_bytes(document_of(referral))
    content: dict[str, Any] = {
        "format": "wildgate-referral/1",
        "test": referral.is_test,
        "case_id": referral.case_id,
        "recipient": referral.recipient.name,
        "made_at": referral.made_at,
        "reason": referral.reason,
        "intelligence_value": asdict(referral.value),
        "approvals": referral.approvals,
        "subject": referral.subject,
        "digests": referral.digests,
        "verdict": referral.verdict,
        "history": referral.history,
        "preservation": referral.preservation,
        "frames": [
            {"file": name, "time_s": frame.time_s, "boxes": [asdict(box) for box in frame.boxes]}
            for name, frame in zip(names, referral.frames, strict=True)
        ],
        "video": {"file": video, "is_clip": referral.video.is_clip} if referral.video else None,
    }
    try:
        written = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
        (part / "referral.json").write_bytes(written.encode())
    except (TypeError, ValueError) as error:
        raise ReferralError(f"the referral cannot be written as JSON: {error}") from error


def _copy(video: Video, part: Path) -> str:
    """Copies a file under a name of our own, whatever it is called; it must be regular, and the one that was judged."""
    suffix = video.path.suffix.lower()
    name = f"video{suffix if suffix in _SUFFIXES else '.bin'}"
    digest = hashlib.sha256()
    # O_NONBLOCK, as a FIFO in its place would have us wait
    with (
        open(os.open(video.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as source,
        (part / name).open("xb") as copy,
    ):
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise ReferralError(f"{video.path} is no regular file of at most {MOST_BYTES} bytes")
        left = status.st_size
        while chunk := source.read(min(_CHUNK_BYTES, left)):  # a file that grows meanwhile ends where it did
            digest.update(chunk)
            copy.write(chunk)
            left -= len(chunk)
    if digest.hexdigest() != video.sha256:
        raise ReferralError(f"{video.path} is not the file that was judged: its SHA-256 differs")
    return name


def _bag(part: Path, referral: Referral) -> None:
    """Makes a bag of the folder, in a process of its own: bagit changes the working directory of the one it runs in."""
    command = [sys.executable, "-m", "bagit", "--quiet", "--sha256"]
    kind = "test referral" if referral.is_test else "referral"
    about = ["--external-identifier", referral.case_id, "--external-description", f"wildgate {kind}"]
    try:
        subprocess.run([*command, *about, str(part)], check=True, capture_output=True, timeout=_BAGGING_S)
    except subprocess.SubprocessError as error:
        raise ReferralError(f"bagit failed: {getattr(error, 'stderr', b'') or error}") from error


def _seal(part: Path, key: Ed25519PrivateKey, authority: Authority) -> None:
    signature = key.sign((part / SIGNED).read_bytes())
    stamp = time_stamp(signature, authority)
    for name, content in ((SIGNATURE, signature), (STAMP, stamp), (STAMP_SIGNATURE, key.sign(stamp))):
        (part / name).write_bytes(content)


def _sync(part: Path) -> None:
    for folder, _, names in os.walk(part, topdown=False):
        for name in names:
            with Path(folder, name).open("rb") as file:
                _fsync(file)
        _sync_entry(Path(folder))


def _fsync(file: BinaryIO) -> None:
    os.fsync(file.fileno())


def _sync_entry(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
