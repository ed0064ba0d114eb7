"""The secret that keeps uploaders from foretelling which frames are drawn. A fleet shares it."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from blake3 import blake3

from wildgate_server.secret_file import secret_in

__all__ = ["SamplingSecret"]

_LEAST_BYTES = 16


class SamplingSecret:
    """What seeds are made with; an empty one makes none. `fingerprint` tells secrets apart and gives nothing away."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.fingerprint = blake3(key, derive_key_context="wildgate 2026-11-28 fingerprint of a secret").hexdigest()

    @classmethod
    def of(cls, file: Path | None, *, shared: bool) -> SamplingSecret:
        """The secret in `file`, white space around it aside.

        Without a file it is one of this process alone; where verdicts are `shared` with others, none at all.
        Raises SettingsConflict for a file that cannot be read or holds too little.
        """
        if file is None:
            return cls(b"" if shared else secrets.token_bytes(32))
        return cls(secret_in(file, "sampling.secret_file", _LEAST_BYTES))

    def seed(self, content_digest: str) -> bytes:
        """What random choices are drawn from: HMAC-SHA256 of the digest, 32 bytes; empty without a secret."""
        if not self._key:
            return b""
        return hmac.digest(self._key, content_digest.encode(), "sha256")
