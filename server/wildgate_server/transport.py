"""How this server and those it calls are reached: TLS, with certificates that may be renewed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from pydantic import model_validator

from wildgate_server.config_section import ConfigSection
from wildgate_server.errors import SettingsConflict, StartError
from wildgate_server.renewed import Renewed

__all__ = [
    "IN_THE_CLEAR",
    "Channel",
    "ClientTls",
    "Connected",
    "ServerTls",
    "check_reach",
    "is_loopback",
    "listen",
    "listening_socket",
]

_RETIRED_S = 60.0  # for calls under way on a channel that was replaced

T = TypeVar("T", bound="Closable")


class Closable(Protocol):
    """What stands on a connection."""

    async def close(self) -> None:
        """Leaves it."""


class ServerTls(ConfigSection):
    """How callers reach this server."""

    cert: Path | None = None
    """This server's certificate and those that lead to its CA (PEM), read anew when it is renewed; with it, TLS."""
    key: Path | None = None
    """The private key of the certificate (PEM)."""
    client_ca: Path | None = None
    """Certificates of the CAs that sign callers' (PEM); with it, callers have to show a certificate (mTLS)."""
    off: bool = False
    """Serve in the clear even at an address that is not loopback: only behind something that ends TLS."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together")
        if self.client_ca and not self.cert:
            raise ValueError("client_ca wants cert and key, too")
        return self


class ClientTls(ConfigSection):
    """How a server elsewhere is reached: in the clear, unless its CA is named."""

    ca: Path | None = None
    """Certificates of the CAs that sign the server's (PEM); with it, TLS."""
    cert: Path | None = None
    """Certificate that is shown to the server (PEM), read anew when it is renewed."""
    key: Path | None = None
    """Its private key (PEM)."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together")
        if self.cert and not self.ca:
            raise ValueError("cert and key want ca, too")
        return self

    @property
    def files(self) -> list[Path]:
        """Those that are named."""
        return [file for file in (self.ca, self.cert, self.key) if file]

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What a channel takes; None in the clear. Raises OSError, and ValueError naming the file at fault."""
        if self.ca is None:
            return None
        if self.cert is None or self.key is None:
            return grpc.ssl_channel_credentials(_certificates(self.ca))
        chain, key = _pair(self.cert, self.key)
        return grpc.ssl_channel_credentials(_certificates(self.ca), key, chain)


IN_THE_CLEAR = ClientTls()


def listen(server: grpc.aio.Server, address: str, tls: ServerTls) -> str:
    """Makes the server listen; returns the address with the port that it got.

    Raises StartError, and SettingsConflict for an address past loopback without TLS.
    """
    check_reach(address, tls)
    cert, key = tls.cert, tls.key
    try:
        if cert is None or key is None:
            port = server.add_insecure_port(address)
        else:
            port = _add_tls_port(server, address, cert, key, tls.client_ca)
    except RuntimeError as error:
        raise StartError(f"cannot listen at {address}: {error}") from error
    return f"{address.rpartition(':')[0]}:{port}"


def listening_socket(address: str) -> socket.socket:
    """A socket that listens at `host:port`. Raises StartError, in plainer words than gRPC has."""
    host, _, port = address.rpartition(":")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), int(port)), family=family)
    except OSError as error:
        raise StartError(f"cannot listen at {address}: {error.strerror}") from error


def check_reach(address: str, tls: ServerTls) -> None:
    """Raises SettingsConflict for an address past loopback without TLS, StartError for files of no use."""
    if tls.cert and tls.key:
        try:
            _pair(tls.cert, tls.key)
        except (OSError, ValueError) as error:
            raise StartError(f"tls: {error}") from error
    if tls.cert is None and not tls.off and not is_loopback(address):
        raise SettingsConflict(
            f"{address} is not loopback: name tls.cert and tls.key, or set tls.off where something in front ends TLS"
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches `host:port`."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Connected(Generic[T]):
    """What `connect` makes of a TLS's credentials, made anew as the files of the TLS change.

    What was replaced is closed a minute later. Raises StartError where a file cannot be used at first.
    """

    def __init__(self, tls: ClientTls, connect: Callable[[grpc.ChannelCredentials | None], T]) -> None:
        self._retiring: dict[asyncio.Task[None], T] = {}
        try:
            self._renewed = Renewed(tls.files, lambda: connect(tls.credentials()), self._retire)
        except (OSError, ValueError) as error:
            raise StartError(f"tls: {error}") from error

    @property
    def now(self) -> T:
        """The one to make calls with."""
        return self._renewed.now

    async def close(self) -> None:
        """Closes all."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        for each in (*self._retiring.values(), self._renewed.now):
            await each.close()

    def _retire(self, old: T) -> None:
        async def close_later() -> None:
            await asyncio.sleep(_RETIRED_S)
            await old.close()
            del self._retiring[task]

        task = asyncio.create_task(close_later(), name="retired channel")
        self._retiring[task] = old


class Channel(Connected["grpc.aio.Channel"]):
    """A channel to `target`."""

    def __init__(self, target: str, tls: ClientTls, options: Any = None) -> None:
        super().__init__(
            tls,
            lambda credentials: (
                grpc.aio.secure_channel(target, credentials, options)
                if credentials
                else grpc.aio.insecure_channel(target, options)
            ),
        )


def _add_tls_port(server: grpc.aio.Server, address: str, cert: Path, key: Path, ca: Path | None) -> int:
    def configuration() -> grpc.ServerCertificateConfiguration:
        chain, private = _pair(cert, key)
        return grpc.ssl_server_certificate_configuration([(private, chain)], _certificates(ca) if ca else None)

    try:
        renewed = Renewed([file for file in (cert, key, ca) if file], configuration)
    except (OSError, ValueError) as error:
        raise StartError(f"tls: {error}") from error
    given = renewed.now

    def changed() -> Any:
        """None if it has not; asked by gRPC, in a thread of its own, whenever somebody connects."""
        nonlocal given
        before, given = given, renewed.now
        return None if given is before else given

    credentials = grpc.dynamic_ssl_server_credentials(given, changed, require_client_authentication=ca is not None)
    return server.add_secure_port(address, credentials)


def _certificates(file: Path) -> bytes:
    content = file.read_bytes()
    try:
        load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(f"{file} holds no certificate in PEM") from None
    return content


def _pair(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """Chain and key, which belong together: while both are being replaced they may not."""
    chain, private = _certificates(cert), key.read_bytes()
    try:
        loaded = load_pem_private_key(private, None)
    except (ValueError, TypeError):
        raise ValueError(f"{key} holds no private key in PEM without a password") from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if load_pem_x509_certificates(chain)[0].public_key().public_bytes(*form) != loaded.public_key().public_bytes(*form):
        raise ValueError(f"{key} is not the key of {cert}")
    return chain, private
