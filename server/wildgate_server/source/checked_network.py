"""Connections to hosts that may be reached and no others.

A name is resolved once per connection, and the connection is made to an address that was checked: what a name server
says later does not matter. TLS still asks for the name's certificate.
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from functools import lru_cache

from wildgate_server.errors import UriNotFound
from wildgate_server.source.fetching import FetchConfig, TransientFailure
from wildgate_server.source.public_address import reachable_addresses
from wildgate_server.source.remote_uri import HttpUrl

__all__ = ["CheckedNetwork", "tls_context"]

# OpenSSL's words for a host that does not speak TLS, or no version and no name that a client could ask for.
_NO_TLS = frozenset(
    {
        "HTTP_REQUEST",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "TLSV1_UNRECOGNIZED_NAME",
        "UNSUPPORTED_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """The certificates that this system trusts; reading them takes some 20 ms."""
    return ssl.create_default_context()


class CheckedNetwork:
    """The connections for one video, each used and closed by one thread; `end` stops the waits of all."""

    def __init__(self, config: FetchConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._ended = False
        self.received_bytes = 0

    def count(self, received: int) -> None:
        """Counts bytes that have come."""
        with self._lock:
            self.received_bytes += received

    def connected(self, url: HttpUrl) -> socket.socket:
        """A connection to the first address of the URL's host that answers, with TLS for https.

        Raises UriNotAllowed, FetchFailed and TransientFailure, and UriNotFound where there is no such host, or none
        that can prove its name.
        """
        *others, last = reachable_addresses(url.host, url.port, self._config.private_networks, self._config.ports)
        for address in others:
            with suppress(TransientFailure, UriNotFound):
                return self._connected(address, url)
        return self._connected(last, url)

    def close(self, wire: socket.socket) -> None:
        """Closes a connection."""
        with self._lock:  # so that `end` never touches a descriptor that is another's by then
            self._sockets.discard(wire)
            wire.close()

    def end(self) -> None:
        """Stops all waits on connections, and lets no other begin."""
        with self._lock:
            self._ended = True
            for wire in self._sockets:
                with suppress(OSError):
                    socket.socket.shutdown(wire, socket.SHUT_RDWR)  # TLS' own would have it go on in the clear

    def _connected(self, address: str, url: HttpUrl) -> socket.socket:
        wire = self._ours(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM))
        try:
            wire.connect((address, url.port))
            self._ours(wire)  # still, as `end` cannot stop what has not begun
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if url.scheme == "https":
                # The handshake comes once `end` knows the socket that takes the descriptor over.
                plain = wire
                wire = self._ours(
                    tls_context().wrap_socket(plain, server_hostname=url.host, do_handshake_on_connect=False)
                )
                self.close(plain)
                wire.do_handshake()  # type: ignore[attr-defined]
        except OSError as error:
            self.close(wire)
            if isinstance(error, ssl.SSLError) and (
                isinstance(error, ssl.SSLCertVerificationError) or error.reason in _NO_TLS
            ):
                raise UriNotFound("the host cannot prove its name over TLS", field="uri") from None
            raise TransientFailure.unanswered(error) from None
        return wire

    def _ours(self, wire: socket.socket) -> socket.socket:
        """The socket, for `end` to know, whose waits are bounded. Raises TransientFailure where `end` has come."""
        with self._lock:
            if self._ended:
                wire.close()
                raise TransientFailure("reading has ended")
            self._sockets.add(wire)
        wire.settimeout(self._config.stall_s)
        return wire
