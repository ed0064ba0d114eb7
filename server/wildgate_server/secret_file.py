"""Secrets that are given by files."""

from __future__ import annotations

from pathlib import Path

from wildgate_server.errors import SettingsConflict

__all__ = ["secret_in"]


def secret_in(file: Path, setting: str, least_bytes: int = 1) -> bytes:
    """The secret in `file`, white space around it aside.

    Raises SettingsConflict, naming the setting, for a file that cannot be read or holds too little.
    """
    try:
        secret = file.read_bytes().strip()
    except OSError as error:
        raise SettingsConflict(f"{setting}: {file}: {error.strerror}") from None
    if len(secret) < least_bytes:
        raise SettingsConflict(f"{setting}: {file} holds {len(secret)} bytes, at least {least_bytes} are wanted")
    return secret
