"""A small OpenID Connect provider on loopback: everybody who comes is let in as `claims` says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from joserfc import jwk, jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT = "console"


@dataclass
class IdentityProvider:
    issuer: str
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "ann", "roles": ["moderator", "gateway"]})
    key: jwk.ECKey = field(default_factory=lambda: jwk.ECKey.generate_key("P-256", {"kid": "1"}))
    signing_key: jwk.ECKey | None = None
    asked: dict[str, str] = field(default_factory=dict)

    async def metadata(self, request: Request) -> Response:
        endpoints = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse({"issuer": self.issuer, **{k: f"{self.issuer}/{v}" for k, v in endpoints.items()}})

    async def authorize(self, request: Request) -> Response:
        self.asked = dict(request.query_params)
        return RedirectResponse(
            f"{self.asked['redirect_uri']}?{urlencode({'code': 'c', 'state': self.asked['state']})}"
        )

    async def token(self, request: Request) -> Response:
        sent = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != self.asked["code_challenge"] or sent["code"] != "c":
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": CLIENT, "nonce": self.asked["nonce"], "iat": now, "exp": now + 60}
        header = {"alg": "ES256", "kid": "1"}
        signed = jwt.encode(header, usual | self.claims, self.signing_key or self.key, algorithms=["ES256"])
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": signed})

    async def keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})


@asynccontextmanager
async def identity_provider() -> AsyncIterator[IdentityProvider]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        provider = IdentityProvider(f"http://127.0.0.1:{listening.getsockname()[1]}")
        app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", provider.metadata),
                Route("/authorize", provider.authorize),
                Route("/token", provider.token, methods=["POST"]),
                Route("/keys", provider.keys),
            ]
        )
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none", http="h11"))
        serving = asyncio.create_task(server._serve([listening]))
        yield provider
        server.should_exit = True
        await serving
