"""The secret that keeps uploaders from foretelling which frames are drawn. A fleet shares it."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from blake3 import blake3

from wildgate_server.errors import SettingsConflict

__all__ = ["SamplingSecret"]

_LEAST_BYTES = 16


class SamplingSecret:
    """What seeds are made with. `fingerprint` tells one secret from another without giving it away."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.fingerprint = blake3(key, derive_key_context="wildgate 2026-11-28 fingerprint of a secret").hexdigest()

    @classmethod
    def of(cls, file: Path | None) -> SamplingSecret:
        """The secret in `file`, white space around it aside; without a file, one of this process alone.

        Raises SettingsConflict for a file that cannot be read or holds too little.
        """
        if file is None:
            return cls(secrets.token_bytes(32))
        try:
            key = file.read_bytes().strip()
        except OSError as error:
            raise SettingsConflict(f"sampling.secret_file: {file}: {error.strerror}") from None
        if len(key) < _LEAST_BYTES:
            raise SettingsConflict(
                f"sampling.secret_file: {file} holds {len(key)} bytes, at least {_LEAST_BYTES} are wanted"
            )
        return cls(key)

    def seed(self, content_digest: str) -> bytes:
        """What the random choice of frames is drawn from for this content: HMAC-SHA256, 32 bytes."""
        return hmac.digest(self._key, content_digest.encode(), "sha256")
