"""Login by an identity provider: OpenID Connect's authorization code flow with PKCE. The one user of Authlib."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from wildgate_enforcement.errors import StartError
from wildgate_enforcement.roles import Role
from wildgate_enforcement.settings import OidcSettings
from wildgate_server.access.tokens import Caller
from wildgate_server.errors import AccessUnavailable, Unauthenticated

__all__ = ["CALLBACK", "Provider"]

CALLBACK = "/oidc/callback"
_ALGORITHMS = ["RS256", "PS256", "ES256"]
_LEEWAY_S = 30
_MOST_PENDING = 1000
_PENDING_S = 600
_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class _Pending:
    state: str
    nonce: str
    verifier: str
    since: float


class Provider:
    """One provider, whose metadata and keys are asked for when somebody logs in. Raises StartError."""

    def __init__(self, settings: OidcSettings, clock: Callable[[], float] = monotonic) -> None:
        if not (settings.client_id and settings.public_url):
            raise StartError("oidc.issuer needs oidc.client-id and oidc.public-url")
        self._settings = settings
        self._clock = clock
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        try:
            file = settings.client_secret_file
            self._secret = file.read_text().strip() if file else None
        except OSError as error:
            raise StartError(f"oidc.client-secret-file: {error}") from error

    async def begin(self) -> tuple[str, str]:
        """Where to send the browser, and a secret for it to bring back. Raises AccessUnavailable."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        pending = _Pending(state, nonce, verifier, self._clock())
        async with self._client() as client:
            metadata = await self._metadata(client)
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=pending.state,
                nonce=pending.nonce,
                code_verifier=pending.verifier,
            )
        key = secrets.token_urlsafe(32)
        self._pending[key] = pending
        while len(self._pending) > _MOST_PENDING:
            self._pending.popitem(last=False)
        return str(url), key

    async def finish(self, key: str, state: str, code: str) -> Caller:
        """Who the provider says has logged in. A login is finished once. Raises Unauthenticated, AccessUnavailable."""
        pending = self._pending.pop(key, None)
        if pending is None or self._clock() - pending.since > _PENDING_S:
            raise Unauthenticated("the login took too long, or was begun elsewhere: begin again")
        if not (state and secrets.compare_digest(state.encode(), pending.state.encode()) and code):
            raise Unauthenticated("the answer is not to this login")
        try:
            async with self._client() as client:
                metadata = await self._metadata(client)
                token = await client.fetch_token(metadata["token_endpoint"], code=code, code_verifier=pending.verifier)
                answer = await client.request("GET", metadata["jwks_uri"], withhold_token=True)
                keys = jwk.KeySet.import_key_set(answer.raise_for_status().json())
            return self._caller(self._claims(token["id_token"], keys, pending.nonce))
        except (httpx2.HTTPError, ConnectionError) as error:
            raise AccessUnavailable("the identity provider does not answer") from error
        except (OAuthError, JoseError, ValueError, KeyError, TypeError) as error:
            raise Unauthenticated(f"the provider's answer is not accepted ({type(error).__name__})") from error

    def _client(self) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            self._settings.client_id,
            self._secret,
            scope=self._settings.scope,
            redirect_uri=self._settings.public_url.rstrip("/") + CALLBACK,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            timeout=_TIMEOUT_S,
        )

    async def _metadata(self, client: AsyncOAuth2Client) -> dict[str, Any]:
        issuer = self._settings.issuer.rstrip("/")
        try:
            answer = await client.request("GET", f"{issuer}/.well-known/openid-configuration", withhold_token=True)
            found: dict[str, Any] = answer.raise_for_status().json()
        except (httpx2.HTTPError, ValueError) as error:
            raise AccessUnavailable("the identity provider does not answer") from error
        named = [found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if found.get("issuer", "").rstrip("/") != issuer or not all(map(self._may_be_asked, named)):
            raise AccessUnavailable("the identity provider's metadata is not its own")
        return found

    def _may_be_asked(self, url: object) -> bool:
        """In the clear only where the provider itself is, which is on this machine."""
        return isinstance(url, str) and urlsplit(url).scheme in ("https", urlsplit(self._settings.issuer).scheme)

    def _claims(self, id_token: str, keys: jwk.KeySet, nonce: str) -> dict[str, Any]:
        claims = jwt.decode(id_token, keys, algorithms=_ALGORITHMS).claims
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.client_id},
            nonce={"essential": True, "value": nonce},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        )
        registry.validate(claims)
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise ValueError("azp")
        return claims

    def _caller(self, claims: dict[str, Any]) -> Caller:
        subject, named = claims[self._settings.name_claim], claims.get(self._settings.roles_claim, [])
        if not (isinstance(subject, str) and 0 < len(subject) <= 256 and isinstance(named, list)):
            raise ValueError("claims")
        roles = {self._settings.roles.get(each, each) for each in named if isinstance(each, str)}
        return Caller(subject, roles=frozenset(roles & set(Role)))
