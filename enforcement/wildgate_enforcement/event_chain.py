"""The log of events as a chain: each event holds the hash of the one before, and the head is signed from time to time.

Without signatures, who can write to the database could rewrite the whole chain; with them, only who has the key.
Nothing here knows the database, so that whoever fetched the log can check it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["GENESIS", "ChainBroken", "ChainCheck", "Link", "SignedHead", "next_link", "sign_head"]

GENESIS: Final = bytes(32)
"""The hash before the first event."""


class ChainBroken(Exception):
    """An event or a signature is not what it was; names the first position at which that shows."""


@dataclass(frozen=True, slots=True)
class Link:
    """An event as it was hashed: `canonical` is a JSON object in ASCII, keys sorted, without spaces."""

    position: int
    canonical: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """An Ed25519 signature over a position and its hash."""

    position: int
    hash: bytes
    signed_ms: int
    signature: bytes
    public_key: bytes

    def signed(self) -> bytes:
        """What the signature is over."""
        return f"wildgate-log-head-v1\n{self.position}\n{self.hash.hex()}\n{self.signed_ms}\n".encode()


def next_link(position: int, previous: bytes, event: Mapping[str, Any]) -> Link:
    """The event as the link after `previous`. Raises TypeError or ValueError for what JSON cannot say."""
    whole = {**event, "position": position, "previous": previous.hex()}
    canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
    return Link(position, canonical, hashlib.sha256(canonical).digest())


def sign_head(key: Ed25519PrivateKey, position: int, digest: bytes, now_ms: int) -> SignedHead:
    """Signs the chain up to a position."""
    unsigned = SignedHead(position, digest, now_ms, b"", key.public_key().public_bytes_raw())
    return SignedHead(position, digest, now_ms, key.sign(unsigned.signed()), unsigned.public_key)


class ChainCheck:
    """Follows a chain from its first event on and raises ChainBroken where it does not hold.

    With `public_key`, only heads signed by that key count; without, each is checked against the key that it names,
    which proves no more than that the log was not changed by accident.
    """

    def __init__(self, public_key: bytes | None = None) -> None:
        self.position = 0
        self.hash = GENESIS
        self.signed_position = 0
        self._public_key = public_key
        self._heads: dict[int, SignedHead] = {}

    def follow(self, links: Iterable[Link], heads: Iterable[SignedHead]) -> None:
        """Checks the next events, and the heads that were signed over any of them."""
        self._heads.update({head.position: head for head in heads})
        for link in links:
            self._follow(link)
            if head := self._heads.pop(link.position, None):
                self._check_head(head)

    def finish(self) -> None:
        """Checks that no signed event is missing at the end. Raises ChainBroken."""
        if self._heads:
            raise ChainBroken(f"event {max(self._heads)} was signed and the log ends at {self.position}")

    def _follow(self, link: Link) -> None:
        expected = self.position + 1
        if link.position != expected:
            raise ChainBroken(f"event {expected} is missing: {link.position} comes next")
        if hashlib.sha256(link.canonical).digest() != link.hash:
            raise ChainBroken(f"event {expected} was changed: it does not have its hash")
        try:
            event = json.loads(link.canonical)
            found = event["position"], event["previous"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ChainBroken(f"event {expected} is no event: {error}") from error
        if found != (expected, self.hash.hex()):
            raise ChainBroken(f"event {expected} does not follow event {self.position}")
        self.position, self.hash = expected, link.hash

    def _check_head(self, head: SignedHead) -> None:
        if head.hash != self.hash:
            raise ChainBroken(f"event {head.position} is not the one that was signed")
        if self._public_key is not None and head.public_key != self._public_key:
            raise ChainBroken(f"the head at event {head.position} was signed by another key")
        try:
            Ed25519PublicKey.from_public_bytes(head.public_key).verify(head.signature, head.signed())
        except (InvalidSignature, ValueError) as error:
            raise ChainBroken(f"the signature at event {head.position} does not hold") from error
        self.signed_position = head.position
