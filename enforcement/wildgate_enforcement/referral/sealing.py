"""Seals: Ed25519 signatures (RFC 8032), and time stamps of an authority (RFC 3161)."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from rfc3161_client import TimestampRequestBuilder, VerificationError, VerifierBuilder, decode_timestamp_response

from wildgate_enforcement.referral.referral import ReferralError

__all__ = [
    "Authority",
    "SealBroken",
    "asked_over_http",
    "check_signature",
    "checked_time",
    "make_keys",
    "private_key",
    "public_key",
    "time_stamp",
]

_MOST_BYTES = 64 << 10
_ANSWER_S = 10.0


class SealBroken(Exception):
    """A signature or time stamp does not hold."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Who stamps the time: `ask` takes a TimeStampReq to it and returns its TimeStampResp, both DER.

    `root` is the PEM certificate that its own ends at. `ask` raises OSError.
    """

    ask: Callable[[bytes], bytes]
    root: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None  # the answer's status then is an error


def asked_over_http(url: str) -> Callable[[bytes], bytes]:
    """Asks the authority at a URL, by RFC 3161's HTTP protocol."""

    def ask(request: bytes) -> bytes:
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        query = urllib.request.Request(url, request, headers)
        try:
            with urllib.request.build_opener(_NoRedirect).open(query, timeout=_ANSWER_S) as answer:
                content: bytes = answer.read(_MOST_BYTES + 1)
        except HTTPException as error:
            raise OSError(f"no HTTP answer: {error}") from error
        return content

    return ask


def time_stamp(message: bytes, authority: Authority) -> bytes:
    """The authority's stamp on `message`, checked. Raises ReferralError."""
    request = TimestampRequestBuilder().data(message).nonce(nonce=True).cert_request(cert_request=True).build()
    try:
        stamp = authority.ask(request.as_bytes())
        if len(stamp) > _MOST_BYTES:
            raise ReferralError("the time-stamping authority's answer is too long")
        checked_time(stamp, message, authority.root, nonce=request.nonce)
    except (OSError, SealBroken) as error:
        raise ReferralError(f"no time stamp: {error}") from error
    return stamp


def checked_time(stamp: bytes, message: bytes, root: bytes, *, nonce: int | None = None) -> datetime:
    """When the authority that ends at the PEM certificate `root` stamped `message`. Raises SealBroken."""
    try:
        answer = decode_timestamp_response(stamp)
        certificate = x509.load_pem_x509_certificate(root)
        VerifierBuilder(roots=[certificate], nonce=nonce).build().verify_message(answer, message)
        return answer.tst_info.gen_time
    except (VerificationError, ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise SealBroken(str(error) or type(error).__name__) from error


def check_signature(key: Ed25519PublicKey, signature: bytes, message: bytes) -> None:
    """Raises SealBroken unless `signature` (64 bytes) is the key's on `message`."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        raise SealBroken("the signature is not this key's on this content") from None


def public_key(file: Path) -> Ed25519PublicKey:
    """The Ed25519 key of a PEM file. Raises ReferralError."""
    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ReferralError(f"{file}: this is no public key: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ReferralError(f"{file}: this is no Ed25519 public key")
    return key


def private_key(file: Path) -> Ed25519PrivateKey:
    """The Ed25519 key of a PEM file without passphrase. Raises ReferralError, which does not quote it."""
    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ReferralError(f"{file}: this is no private key ({type(error).__name__})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ReferralError(f"{file}: this is no Ed25519 private key")
    return key


def make_keys(file: Path) -> Path:
    """Writes a new private key, for its owner alone, and the public one to FILE.pub. Raises OSError."""
    key = Ed25519PrivateKey.generate()
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
        written.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = file.with_name(f"{file.name}.pub")
    with public.open("xb") as written:
        written.write(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public
