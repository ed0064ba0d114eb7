"""What was taken back before it expired: tokens, subjects and certificates."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Revoked"]

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Revoked:
    """Tokens by their `jti`, all tokens of a `sub`, and certificates by the SHA-256 of their DER, in hex."""

    tokens: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    certs: frozenset[str] = frozenset()

    @classmethod
    def of(cls, file: Path) -> Revoked:
        """What a file lists, in lines such as `token JTI`; `#` begins a comment. Raises OSError, ValueError."""
        listed = defaultdict[str, set[str]](set)
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            kind, _, name = line.partition("#")[0].strip().partition(" ")
            name = name.strip()
            if kind == "cert":
                name = name.replace(":", "").lower()
                if not _FINGERPRINT.fullmatch(name):
                    raise ValueError(f"{file}:{number}: a fingerprint is 64 hexadecimal digits")
            elif kind and (kind not in ("token", "subject") or not name):
                raise ValueError(f"{file}:{number}: not 'token JTI', 'subject SUB' or 'cert SHA256'")
            listed[kind].add(name)
        return cls(*(frozenset(listed[kind]) for kind in ("token", "subject", "cert")))

    def hold(self, claims: dict[str, Any]) -> bool:
        """Whether the token with these claims is among them."""
        return claims.get("jti") in self.tokens or claims["sub"] in self.subjects
