"""Which addresses may be reached for a caller."""

from __future__ import annotations

import socket
from ipaddress import ip_network

import pytest

from wildgate_server.errors import FetchFailed, UriNotAllowed, UriNotFound, WildgateError
from wildgate_server.source.public_address import check_host, reachable_addresses

PORTS = (80, 443)
# fmt: off
NOT_PUBLIC = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.0.9", "168.63.129.16", "169.254.169.254",
    "172.16.0.1", "192.0.0.1", "192.0.0.9", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b:1::7f00:1", "::ffff:168.63.129.16",
    "2002:7f00:1::", "2001:db8::1", "3fff::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1",
    "ff0e::1",
]
# fmt: on


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address: str) -> None:
    with pytest.raises(UriNotAllowed):
        check_host(address, 80, (), PORTS)
    with pytest.raises(UriNotAllowed):
        reachable_addresses(address, 80, (), PORTS)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(address: str) -> None:
    check_host(address, 80, (), PORTS)


def test_private_networks_that_are_named_are_reachable() -> None:
    networks = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::5"):
        check_host(address, 9000, networks, PORTS)
    for address in ("10.2.0.1", "fc00::1", "127.0.0.1"):
        with pytest.raises(UriNotAllowed):
            check_host(address, 9000, networks, PORTS)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("100.100.100.200", "100.64.0.0/10"),
        ("169.254.169.254", "169.254.0.0/16"),
        ("168.63.129.16", "168.63.0.0/16"),
        ("fd00:ec2::254", "fd00::/8"),
    ],
)
def test_what_hands_out_credentials_is_reachable_only_where_named_by_itself(address: str, network: str) -> None:
    with pytest.raises(UriNotAllowed, match="not public"):
        check_host(address, 80, (ip_network(network),), PORTS)
    check_host(address, 80, (ip_network(address),), PORTS)


def test_public_hosts_are_reachable_on_the_ports_that_are_allowed() -> None:
    for check in (check_host, reachable_addresses):
        check("8.8.8.8", 443, (), PORTS)
        check("8.8.8.8", 9000, (), (9000,))
        with pytest.raises(UriNotAllowed, match="port 22 ") as refusal:
            check("8.8.8.8", 22, (), PORTS)
        assert refusal.value.metadata == {"port": "22"}
        with pytest.raises(UriNotAllowed, match="port 22 "):
            check("8.8.8.8", 22, (ip_network("10.0.0.0/8"),), PORTS)


def test_a_name_may_lead_to_a_private_network_and_any_port_there() -> None:
    check_host("localhost", 22, (ip_network("127.0.0.0/8"),), PORTS)
    with pytest.raises(UriNotAllowed, match="port 22 "):
        check_host("localhost", 22, (), PORTS)


def test_a_name_is_checked_by_what_it_leads_to() -> None:
    check_host("localhost", 80, (), PORTS)
    with pytest.raises(UriNotAllowed) as refusal:
        reachable_addresses("localhost", 80, (), PORTS)
    assert refusal.value.metadata == {"host": "localhost"}
    assert "127.0.0.1" in reachable_addresses("localhost", 9000, (ip_network("127.0.0.0/8"),), PORTS)


def test_an_odd_spelling_is_the_address_it_stands_for() -> None:
    for host in ("2130706433", "0x7f000001", "127.1", "0"):
        with pytest.raises(UriNotAllowed):
            reachable_addresses(host, 80, (), PORTS)


@pytest.mark.parametrize("host", ["x" * 70, "a..b"])
def test_a_name_that_cannot_be_one(host: str) -> None:
    with pytest.raises(UriNotFound, match="name"):
        reachable_addresses(host, 80, (), PORTS)


@pytest.mark.parametrize(
    ("number", "error", "retry_after_s"),
    [(socket.EAI_NONAME, UriNotFound, None), (socket.EAI_AGAIN, FetchFailed, 1.0), (socket.EAI_FAIL, FetchFailed, 1.0)],
)
def test_a_name_that_leads_nowhere(
    number: int, error: type[WildgateError], retry_after_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(error, match="name") as failure:
        reachable_addresses("host.example", 80, (), PORTS)
    assert failure.value.retry_after_s == retry_after_s
