"""Keys, and tokens signed with them."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

ISSUER = "https://issuer.example"


def token(key: Any, algorithm: str = "EdDSA", *, kid: str | None = None, **claims: Any) -> str:
    """A token that holds for a minute; a claim that is None is left out."""
    usual = {"iss": ISSUER, "aud": "wildgate", "sub": "service-1", "exp": int(time.time()) + 60}
    kept = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwks(**keys: Ed25519PrivateKey) -> bytes:
    """A JWKS of these keys by their `kid`."""
    return json.dumps(
        {"keys": [OKPAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} for kid, key in keys.items()]}
    ).encode()
