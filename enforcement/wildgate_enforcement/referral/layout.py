"""What is where in a package, and what no package may hold."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

__all__ = ["MOST_BYTES", "PAYLOAD", "ROOT", "SIGNATURE", "SIGNED", "STAMP", "STAMP_SIGNATURE", "TAGS", "faults_of_tree"]

SIGNED = "tagmanifest-sha256.txt"
"""Names the digests of all other tag files, one of which names those of the payload: who signs it signs everything."""
SIGNATURE = f"{SIGNED}.sig"
"""Ed25519, 64 bytes."""
STAMP = f"{SIGNATURE}.tsr"
"""RFC 3161, on the signature."""
STAMP_SIGNATURE = f"{STAMP}.sig"
"""Ed25519 on the stamp, so that of it, too, every byte counts."""
TAGS = ("bag-info.txt", "bagit.txt", "manifest-sha256.txt")
PAYLOAD = "data"
ROOT = "data/timestamp-authority.pem"

MOST_BYTES = 8 << 30
_MOST_FILES = 2000
_MOST_TAG_BYTES = 1 << 20
_DEEPEST = 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_AT_ROOT = frozenset({SIGNED, SIGNATURE, STAMP, STAMP_SIGNATURE, *TAGS})


def faults_of_tree(package: Path) -> tuple[list[str], dict[str, int]]:
    """What a package's tree has that none may have, by name, and the regular files with their sizes in bytes.

    Nothing is opened and no link is followed.
    """
    faults: list[str] = []
    files: dict[str, int] = {}
    seen: dict[str, str] = {}
    for entries, entry in enumerate(_entries(package, "", 1)):
        name, status = entry
        if entries >= _MOST_FILES:
            faults.append(f"more than {_MOST_FILES} files and folders")
            break
        shown = ascii(name)[1:-1]
        if not _NAME.fullmatch(name.rpartition("/")[2]):
            faults.append(f"{shown}: the name is not allowed")
        elif (other := seen.setdefault(name.lower(), name)) != name:
            faults.append(f"{shown}: differs from {other} in case alone")
        elif name.count("/") >= _DEEPEST:
            faults.append(f"{shown}: lies too deep")
        elif stat.S_ISDIR(status.st_mode):
            if "/" not in name and name != PAYLOAD:
                faults.append(f"{shown}: was added")
        elif not stat.S_ISREG(status.st_mode):
            faults.append(f"{shown}: is no regular file")
        elif "/" not in name and name not in _AT_ROOT:
            faults.append(f"{shown}: was added")
        elif "/" not in name and status.st_size > _MOST_TAG_BYTES:
            faults.append(f"{shown}: is too large")
        else:
            files[name] = status.st_size
    if sum(files.values()) > MOST_BYTES:
        faults.append(f"the files have more than {MOST_BYTES} bytes")
    faults += [f"{name}: is missing" for name in sorted(_AT_ROOT - files.keys())]
    return faults, files


def _entries(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as found:
        for entry in sorted(islice(found, _MOST_FILES + 1), key=lambda entry: entry.name):
            status = entry.stat(follow_symlinks=False)
            yield prefix + entry.name, status
            if stat.S_ISDIR(status.st_mode) and depth <= _DEEPEST:
                yield from _entries(Path(entry.path), f"{prefix}{entry.name}/", depth + 1)
