"""What makes a token hold, and each way in which one does not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from jwt.algorithms import OKPAlgorithm
from tokens import ISSUER, jwks, pem, token

from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.access.public_keys import KeysError, UrlKeys, read_keys
from wildgate_server.access.tokens import Caller, JwtCheck, token_check
from wildgate_server.errors import AccessUnavailable, StartError, Unauthenticated

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
RSA, EC = rsa_key(65537, 2048), ec_key(SECP256R1())


def check_with(file: Path, content: bytes) -> JwtCheck:
    file.write_bytes(content)
    check = token_check(AccessSettings(keys=str(file), issuer=ISSUER))
    assert check
    return check


@pytest.fixture
def check(tmp_path: Path) -> JwtCheck:
    return check_with(tmp_path / "keys.pem", pem(KEY))


async def test_a_token_tells_its_caller(check: JwtCheck) -> None:
    text = token(KEY, tenant="ngo", roles=["senior"], scope="score evidence")
    caller = await check.caller(text)
    assert caller == Caller("service-1", "ngo", frozenset({"senior"}), frozenset({"score", "evidence"}))


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (KEY, "EdDSA")])
async def test_each_kind_of_key_is_taken_with_its_algorithm(tmp_path: Path, key: Any, algorithm: str) -> None:
    assert (await check_with(tmp_path / "k", pem(key)).caller(token(key, algorithm))).subject == "service-1"


def hmac_with_the_public_key() -> str:
    """The confusion of RS256 with HS256: what PyJWT refuses to sign is signed by hand."""
    import hashlib
    import hmac
    from base64 import urlsafe_b64encode as b64

    body = token(KEY).split(".")[1]
    signed = f"{b64(json.dumps({'alg': 'HS256'}).encode()).decode().rstrip('=')}.{body}"
    return f"{signed}.{b64(hmac.new(pem(KEY), signed.encode(), hashlib.sha256).digest()).decode().rstrip('=')}"


FORGED = {
    "another key": token(OTHER),
    "no signature": token(None, "none"),
    "a signature that is cut off": token(KEY).rpartition(".")[0] + ".",
    "an HMAC with the public key": hmac_with_the_public_key(),
    "another algorithm": token(RSA, "RS256"),
    "expired": token(KEY, exp=int(time.time()) - 3600),
    "never expires": token(KEY, exp=None),
    "not yet": token(KEY, nbf=int(time.time()) + 3600),
    "another issuer": token(KEY, iss="https://evil.example"),
    "no issuer": token(KEY, iss=None),
    "another audience": token(KEY, aud="other"),
    "no audience": token(KEY, aud=None),
    "no subject": token(KEY, sub=None),
    "an empty subject": token(KEY, sub=""),
    "roles that are a text": token(KEY, roles="administrator"),
    "a scope that is a list": token(KEY, scope=["score"]),
    "a time that is a text": token(KEY, exp="never"),
    "a time past all clocks": token(KEY, exp=float("inf")),
    "a text": "letmein",
    "nothing": "",
    "letters of another script": "é.é.é",
    "endless": "a" * 10_000,
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_a_token_that_does_not_hold_is_refused_and_not_quoted(check: JwtCheck, forged: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await check.caller(forged)
    assert not forged or forged not in str(refusal.value)


async def test_a_key_that_a_token_brings_along_is_not_used(check: JwtCheck) -> None:
    own = OKPAlgorithm.to_jwk(OTHER.public_key(), as_dict=True)
    claims = {"iss": ISSUER, "aud": "wildgate", "sub": "x", "exp": int(time.time()) + 60}
    with pytest.raises(Unauthenticated):
        await check.caller(jwt.encode(claims, OTHER, "EdDSA", headers={"jwk": own, "jku": "https://evil.example"}))


async def test_keys_of_a_file_change_with_it_and_outlive_a_bad_one(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    check = check_with(file, jwks(old=KEY))
    await check.caller(token(KEY, kid="old"))
    file.write_bytes(jwks(new=OTHER))
    await check.caller(token(OTHER, kid="new"))
    with pytest.raises(Unauthenticated):
        await check.caller(token(KEY, kid="old"))
    file.write_bytes(b"{")
    await check.caller(token(OTHER, kid="new"))


WEAK = {
    "a secret": json.dumps({"kty": "oct", "k": "c2VjcmV0"}).encode(),
    "a private key": json.dumps(OKPAlgorithm.to_jwk(KEY, as_dict=True)).encode(),
    "a short RSA key": pem(rsa_key(65537, 1024)),
    "a curve that is not P-256": pem(ec_key(SECP384R1())),
    "an HMAC's name on a public key": json.dumps(
        OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"alg": "HS256"}
    ).encode(),
    "no key": b'{"keys": []}',
    "a number": b"1",
    "keys that are a number": b'{"keys": 1}',
    "not text": b"\xff\xfe",
}


@pytest.mark.parametrize("content", WEAK.values(), ids=WEAK)
def test_what_is_no_sound_public_key_is_refused(content: bytes) -> None:
    with pytest.raises(KeysError):
        read_keys(content)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"access\.keys"):
        token_check(AccessSettings(keys=str(tmp_path / "none"), issuer=ISSUER))


class Jwks:
    """A URL whose document a test changes, and a clock that it moves."""

    def __init__(self) -> None:
        self.content: bytes | None = jwks(first=KEY)
        self.asked = 0
        self.now_s = 1000.0
        settings = AccessSettings(keys="https://keys.example/", issuer=ISSUER)
        self.check = JwtCheck(settings, UrlKeys(settings, self._fetch, lambda: self.now_s))

    def _fetch(self) -> bytes:
        self.asked += 1
        if self.content is None:
            raise OSError("away")
        return self.content


async def test_keys_of_a_url_are_held_and_a_rotated_one_is_found() -> None:
    url = Jwks()
    for _ in range(3):
        await url.check.caller(token(KEY, kid="first"))
    assert url.asked == 1
    url.content = jwks(first=KEY, second=OTHER)
    url.now_s += 31
    await url.check.caller(token(OTHER, kid="second"))
    assert url.asked == 2


async def test_unknown_keys_do_not_make_us_ask_without_end() -> None:
    url = Jwks()
    for n in range(50):
        with pytest.raises(Unauthenticated):
            await url.check.caller(token(OTHER, kid=f"made-up-{n}"))
    assert url.asked == 1


async def test_the_last_keys_hold_while_the_url_is_away_but_not_for_ever() -> None:
    url = Jwks()
    await url.check.caller(token(KEY, kid="first"))
    url.content = None
    url.now_s += 3000
    await url.check.caller(token(KEY, kid="first"))
    url.now_s += 3000
    with pytest.raises(AccessUnavailable):
        await url.check.caller(token(KEY, kid="first"))


@pytest.mark.parametrize("unsafe", [{"keys": "http://keys.example"}, {"keys": "k.pem", "issuer": ""}])
def test_settings_that_would_take_anybodys_token_are_refused(unsafe: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"access\.keys"):
        AccessSettings(**({"issuer": ISSUER} | unsafe))
