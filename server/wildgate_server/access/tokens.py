"""Tokens (JWT, RFC 7519) become callers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jwt

from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.access.public_keys import FileKeys, KeysError, PublicKeys, UrlKeys
from wildgate_server.access.revoked import Revoked
from wildgate_server.errors import SettingsConflict, StartError, Unauthenticated
from wildgate_server.renewed import Renewed
from wildgate_server.transport import is_loopback

__all__ = ["Caller", "JwtCheck", "TokenCheck", "token_check"]

_MOST_CHARACTERS = 8192
_MOST_GRANTS = 64


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the token's `sub`, `tenant` ("" if it has none), `roles` (a list) and `scope` (words)."""

    subject: str
    tenant: str = ""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()


class TokenCheck(Protocol):
    """Tells who a token speaks for, and which certificates hold no more."""

    async def caller(self, token: str) -> Caller:
        """The caller. Raises Unauthenticated, and AccessUnavailable where that cannot be told now."""

    def revokes(self, fingerprint: str) -> bool:
        """Whether the certificate with this fingerprint, SHA-256 in hex, was taken back."""


def token_check(settings: AccessSettings, address: str = "localhost:0") -> JwtCheck | None:
    """The check that the settings ask for at a server's address; None where they name no keys.

    Raises StartError, and SettingsConflict where everybody would be let in from elsewhere.
    """
    if settings.keys is None:
        if not settings.off and not is_loopback(address):
            raise SettingsConflict(
                f"{address} is not loopback: name access.keys, or set access.off to let everybody in"
            )
        return None
    try:
        keys = UrlKeys(settings) if settings.keys.startswith("https:") else FileKeys(Path(settings.keys))
    except KeysError as error:
        raise StartError(f"access.keys: {error}") from error
    try:
        return JwtCheck(settings, keys)
    except (OSError, ValueError) as error:
        raise StartError(f"access.revoked: {error}") from error


class JwtCheck:
    """Checks signature, issuer, audience and times of a JWT.

    Until it expires or is revoked a token holds for whoever has it, as bearer tokens do: keep them short, and the wire
    encrypted. Raises OSError and ValueError for a list of what is revoked that cannot be read.
    """

    def __init__(self, settings: AccessSettings, keys: PublicKeys) -> None:
        self._settings = settings
        self._keys = keys
        file = settings.revoked
        self._revoked = Renewed([file], partial(Revoked.of, file)) if file else None

    def revokes(self, fingerprint: str) -> bool:
        """Whether the list holds the certificate."""
        return self._revoked is not None and fingerprint in self._revoked.now.certs

    async def caller(self, token: str) -> Caller:
        """The token's caller. Raises Unauthenticated (never quoting the token) and AccessUnavailable."""
        if len(token) > _MOST_CHARACTERS:
            raise Unauthenticated("the token is too long")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("this is not a JWT") from None
        why = "the token names a key that is not known"
        for key in await self._keys.named(kid if isinstance(kid, str) else None):
            try:
                claims = jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    issuer=self._settings.issuer,
                    audience=self._settings.audience,
                    leeway=self._settings.leeway_s,
                    options={"require": ["exp", "iss", "aud", "sub"]},
                )
                if self._revoked and self._revoked.now.hold(claims):
                    raise Unauthenticated("the token has been revoked")
                return _caller(claims)
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
                why = "the token's signature does not hold"
            except jwt.ExpiredSignatureError:
                why = "the token has expired"
            except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
                # PyJWT's own words may quote the token.
                why = f"the token's claims are not accepted ({type(error).__name__})"
        raise Unauthenticated(why)


def _caller(claims: dict[str, Any]) -> Caller:
    subject, tenant = claims["sub"], claims.get("tenant", "")
    roles, scope = claims.get("roles", []), claims.get("scope", "")
    if not (isinstance(subject, str) and subject and isinstance(tenant, str) and isinstance(scope, str)):
        raise ValueError("sub, tenant or scope")
    if not (isinstance(roles, list) and all(isinstance(role, str) for role in roles)):
        raise ValueError("roles")
    scopes = scope.split()
    if len(roles) > _MOST_GRANTS or len(scopes) > _MOST_GRANTS:
        raise ValueError("too many roles or scopes")
    return Caller(subject, tenant, frozenset(roles), frozenset(scopes))
