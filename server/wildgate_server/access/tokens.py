"""Tokens (JWT, RFC 7519) become callers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jwt

from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.access.public_keys import FileKeys, KeysError, PublicKeys, UrlKeys
from wildgate_server.errors import StartError, Unauthenticated

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
    """Tells who a token speaks for."""

    async def caller(self, token: str) -> Caller:
        """The caller. Raises Unauthenticated, and AccessUnavailable where that cannot be told now."""


def token_check(settings: AccessSettings) -> JwtCheck | None:
    """The check that the settings ask for; None where they name no keys. Raises StartError."""
    if settings.keys is None:
        return None
    if settings.keys.startswith("https:"):
        return JwtCheck(settings, UrlKeys(settings))
    try:
        return JwtCheck(settings, FileKeys(Path(settings.keys)))
    except KeysError as error:
        raise StartError(f"access.keys: {error}") from error


class JwtCheck:
    """Checks signature, issuer, audience and times of a JWT.

    Until it expires a token holds for whoever has it, as bearer tokens do: keep them short, and the wire encrypted.
    """

    def __init__(self, settings: AccessSettings, keys: PublicKeys) -> None:
        self._settings = settings
        self._keys = keys

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
