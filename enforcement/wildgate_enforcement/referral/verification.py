"""Whether a package is as its sender sealed it, told with nothing but the sender's public key."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wildgate_enforcement.referral.layout import (
    PAYLOAD,
    ROOT,
    SIGNATURE,
    SIGNED,
    STAMP,
    STAMP_SIGNATURE,
    TAGS,
    faults_of_tree,
)
from wildgate_enforcement.referral.sealing import SealBroken, check_signature, checked_time

__all__ = ["Verification", "verify_package"]

_LINE = re.compile(rb"([0-9a-f]{64})  ?([A-Za-z0-9._/-]{1,300})")


@dataclass(frozen=True, slots=True)
class Verification:
    """What is wrong with a package, nothing if `faults` is empty; and then when it was stamped, and what it is."""

    faults: tuple[str, ...]
    stamped_at: datetime | None = None
    case_id: str = ""
    recipient: str = ""
    is_test: bool = False


def verify_package(package: Path, key: Ed25519PublicKey, *, root: bytes | None = None) -> Verification:
    """Checks everything, and names each file that was changed, added or removed.

    The time stamp must end at `root`, a PEM certificate; without it, at the one in the package, for which the sender
    vouches. Raises OSError where the package cannot be read.
    """
    faults, files = faults_of_tree(package)
    held: dict[str, bytes] = {}
    for name in (SIGNED, SIGNATURE, STAMP, STAMP_SIGNATURE, "manifest-sha256.txt"):
        if name in files:
            with _opened(package, name) as file:
                held[name] = file.read(files[name])
    for signed, signature in ((SIGNED, SIGNATURE), (STAMP, STAMP_SIGNATURE)):
        if signed in held and signature in held:
            try:
                check_signature(key, held[signature], held[signed])
            except SealBroken as broken:
                faults.append(f"{signed}, {signature}: {broken}")
    tags = {name for name in files if "/" not in name} & set(TAGS)
    payload = {name for name in files if name.startswith(f"{PAYLOAD}/")}
    faults += _differences(package, SIGNED, held, tags)
    faults += _differences(package, "manifest-sha256.txt", held, payload)
    stamped_at = None
    if STAMP in held and SIGNATURE in held and ROOT in files:
        try:
            with _opened(package, ROOT) as file:
                stamped_at = checked_time(held[STAMP], held[SIGNATURE], root or file.read(64 << 10))
        except SealBroken as broken:
            faults.append(f"{STAMP}: the time stamp does not hold: {broken}")
    if faults:
        return Verification(tuple(faults))
    # Nothing of the content is looked into before all of it is known to be the sender's.
    try:
        with _opened(package, f"{PAYLOAD}/referral.json") as file:
            content = json.load(file)
        return Verification((), stamped_at, content["case_id"], content["recipient"], content["test"])
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return Verification((f"{PAYLOAD}/referral.json: is not what this version reads",))


def _differences(package: Path, manifest: str, held: dict[str, bytes], there: set[str]) -> list[str]:
    """Where the files that are there are not those that the manifest names."""
    named: dict[str, str] = {}
    faults = []
    for line in held.get(manifest, b"").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2].decode() in named:
            faults.append(f"{manifest}: holds a line that is none: {ascii(line[:100])[2:-1]}")
            continue
        named[match[2].decode()] = match[1].decode()
    faults += [f"{name}: was removed" for name in sorted(named.keys() - there)]
    faults += [f"{name}: was added" for name in sorted(there - named.keys())]
    for name in sorted(named.keys() & there):
        with _opened(package, name) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != named[name]:
                faults.append(f"{name}: was changed")
    return faults


def _opened(package: Path, name: str) -> io.BufferedReader:
    """A file of the package that was seen to be regular; a link put in its place since is not followed."""
    return open(os.open(package / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
