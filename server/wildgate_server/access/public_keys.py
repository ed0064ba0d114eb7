"""The keys that tokens are checked with, from a file or a URL.

A key says by its own kind which algorithm it is for; a token's header has no say in that. Secrets (`oct`) and private
keys are refused, so that a public key can never be taken for the secret of an HMAC.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.errors import AccessUnavailable
from wildgate_server.renewed import Renewed

__all__ = ["FileKeys", "KeysError", "PublicKey", "PublicKeys", "UrlKeys", "read_keys"]

_log = structlog.get_logger()

_MOST_BYTES = 256 << 10
_MOST_KEYS = 64
_FETCH_S = 2.0
_LEAST_RSA_BITS = 2048


class KeysError(ValueError):
    """What should hold public keys does not; says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, the one algorithm that it is for, and the name that tokens call it by, if it has one."""

    key: Any
    algorithm: str
    kid: str | None = None


class PublicKeys(Protocol):
    """Where keys come from."""

    async def named(self, kid: str | None) -> Sequence[PublicKey]:
        """The keys that a token with this `kid` may be signed with. Raises AccessUnavailable."""


def read_keys(content: bytes) -> tuple[PublicKey, ...]:
    """The keys of a PEM, JWK or JWKS document. Raises KeysError."""
    try:
        if content.lstrip().startswith(b"-----BEGIN"):
            return (_public_key(load_pem_public_key(content), None, None),)
        document = json.loads(content)
        jwks = document.get("keys", [document])
        # Keys for encryption are passed over.
        keys = [_from_jwk(jwk) for jwk in jwks[: _MOST_KEYS + 1] if jwk.get("use", "sig") == "sig"]
    except KeysError:
        raise
    except (
        *(ValueError, TypeError, KeyError, AttributeError, RecursionError),
        *(UnsupportedAlgorithm, jwt.PyJWTError),
    ) as error:
        raise KeysError(f"these are no public keys: {error}") from error
    if not keys or len(keys) > _MOST_KEYS:
        raise KeysError(f"there must be 1 to {_MOST_KEYS} keys")
    return tuple(keys)


def _from_jwk(jwk: dict[str, Any]) -> PublicKey:
    if jwk.get("kty") not in ("RSA", "EC", "OKP") or "d" in jwk:
        raise KeysError("a secret or private key is no public key")
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise KeysError("kid is not a text")
    return _public_key(jwt.PyJWK(jwk).key, kid, jwk.get("alg"))


def _public_key(key: Any, kid: str | None, wanted: Any) -> PublicKey:
    if isinstance(key, RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS:
        algorithm = "PS256" if wanted == "PS256" else "RS256"
    elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        algorithm = "ES256"
    elif isinstance(key, Ed25519PublicKey):
        algorithm = "EdDSA"
    else:
        raise KeysError("a key must be RSA (2048 bits and more), P-256 or Ed25519")
    if wanted not in (None, algorithm):
        raise KeysError(f"alg {wanted!r} is not taken for this kind of key")
    return PublicKey(key, algorithm, kid)


def _named(keys: Sequence[PublicKey], kid: str | None) -> Sequence[PublicKey]:
    """A key without a name stands for any; a token that names none may be of any key."""
    return [key for key in keys if kid is None or key.kid in (None, kid)]


class FileKeys:
    """Keys of a file, which is read anew as it changes; one that cannot be read leaves the last keys in force.

    Raises KeysError where it cannot be read at first.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._keys = Renewed([file], lambda: read_keys(_start_of(file)))
        except OSError as error:
            raise KeysError(f"{file}: {error.strerror}") from error

    async def named(self, kid: str | None) -> Sequence[PublicKey]:
        """The keys of this name."""
        return _named(self._keys.now, kid)


def _start_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_MOST_BYTES)


class UrlKeys:
    """Keys of the JWKS at a URL, held for `refresh_s`; asked for sooner when a token names one that is not known.

    However many such tokens come, the URL is asked at most every `retry_s`, by one at a time, for 2 s. While it is away
    the last keys hold for `stale_s`. `fetch` returns the document; `clock` monotonic seconds.
    """

    def __init__(
        self,
        settings: AccessSettings,
        fetch: Callable[[], bytes] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._fetch = fetch or (lambda: _fetched(settings.keys or ""))
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: tuple[PublicKey, ...] = ()
        self._fresh_at = self._tried_at = float("-inf")

    async def named(self, kid: str | None) -> Sequence[PublicKey]:
        """The keys of this name. Raises AccessUnavailable while there are none."""
        found = _named(self._keys, kid)
        if not found or self._clock() - self._fresh_at > self._settings.refresh_s:
            async with self._lock:
                if self._clock() - self._tried_at >= self._settings.retry_s:
                    await self._refresh()
            found = _named(self._keys, kid)
        if self._clock() - self._fresh_at > self._settings.stale_s:
            raise AccessUnavailable(
                "the keys that tokens are checked with are not known now", retry_after_s=self._settings.retry_s
            )
        return found

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            self._keys = read_keys(await asyncio.to_thread(self._fetch))
            self._fresh_at = self._clock()
        except (OSError, HTTPException, KeysError) as error:
            _log.error("access_keys_away", error=f"{type(error).__name__}: {error}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None  # the answer's status then is an error


def _fetched(url: str) -> bytes:
    """The document at the operator's URL. Raises OSError (of which urllib's errors are kinds)."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=_FETCH_S) as answer:
        content: bytes = answer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(f"more than {_MOST_BYTES} bytes")
    return content
