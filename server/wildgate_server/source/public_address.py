"""Which hosts may be reached for a caller: public ones, and networks that the operator names."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from wildgate_server.errors import FetchFailed, UriNotAllowed, UriNotFound

__all__ = ["Network", "check_host", "reachable_addresses"]

Network: TypeAlias = IPv4Network | IPv6Network

_MOST_ADDRESSES = 4
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
_ALL_PORTS = range(1 << 16)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address

# Where clouds tell a machine its secrets (AWS, Google, Azure, Alibaba, AWS over IPv6). Part of a larger network that
# an operator may well open, so they are reached only where named by themselves.
_METADATA = tuple(map(ip_address, ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254")))

# IANA's special-purpose registries, as far as Python took these for public in one version or another.
_NOT_PUBLIC = (
    IPv4Network("192.0.0.0/24"),  # RFC 6890; Oracle's cloud has its metadata there
    IPv6Network("3fff::/20"),  # RFC 9637: documentation
    IPv6Network("64:ff9b:1::/48"),  # RFC 8215: IPv4 addresses behind a local translator
)


def reachable_addresses(host: str, port: int, private_networks: Sequence[Network], ports: Sequence[int]) -> list[str]:
    """The addresses of `host`, a name or an address, that may be connected to: just these, never the name again.

    Any port will do in `private_networks`, one of `ports` elsewhere. Raises UriNotAllowed when there is no such
    address, UriNotFound when there is no such name, FetchFailed when it cannot be resolved now.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise _no_such_host(host) from None
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_NAME:
            raise _no_such_host(host) from None
        raise FetchFailed(
            "the host's name cannot be resolved now", metadata={"host": host}, field="uri", retry_after_s=1.0
        ) from None
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    open_ports = {address: _open_ports(ip_address(address), private_networks, ports) for address in addresses}
    allowed = [address for address in addresses if port in (open_ports[address] or ())]
    if not allowed:
        raise _port_not_allowed(port) if any(open_ports.values()) else _not_public(host)
    return allowed[:_MOST_ADDRESSES]


def check_host(host: str, port: int, private_networks: Sequence[Network], ports: Sequence[int]) -> None:
    """Raises UriNotAllowed for an address that may not be reached; a name may have any, and passes.

    What passes may be refused by `reachable_addresses` still.
    """
    try:
        open_ports = _open_ports(ip_address(host), private_networks, ports)
    except ValueError:
        open_ports = _ALL_PORTS if private_networks else ports
    if open_ports is None:
        raise _not_public(host)
    if port not in open_ports:
        raise _port_not_allowed(port)


def _open_ports(
    address: IPv4Address | IPv6Address, private_networks: Sequence[Network], ports: Sequence[int]
) -> Sequence[int] | None:
    """The ports of an address that may be reached; None where it is neither public nor opened by the operator."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        # Behind these lies an IPv4 address, which is what counts.
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            address = inner
    named = [network for network in private_networks if address in network]
    if address in _METADATA:
        return _ALL_PORTS if any(network.num_addresses == 1 for network in named) else None
    if named:
        return _ALL_PORTS
    odd = address.is_multicast or address.is_reserved or address.is_unspecified
    odd = odd or (isinstance(address, IPv6Address) and address.is_site_local)
    odd = odd or any(address in network for network in _NOT_PUBLIC)
    return ports if address.is_global and not odd else None


def _port_not_allowed(port: int) -> UriNotAllowed:
    return UriNotAllowed(f"port {port} is not allowed here", metadata={"port": str(port)}, field="uri")


def _no_such_host(host: str) -> UriNotFound:
    return UriNotFound("there is no host of that name", metadata={"host": host}, field="uri")


def _not_public(host: str) -> UriNotAllowed:
    return UriNotAllowed("the host is not public", metadata={"host": host}, field="uri")
