"""What this server calls, over TLS: certificates of both sides that are renewed, and tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Authority, Pair

from wildgate_client.token_file import TokenUnreadable, bearer
from wildgate_server.errors import StartError
from wildgate_server.transport import Channel, ClientTls, ServerTls, is_loopback, listen


class WhoCalls(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, message: bytes, context: Any) -> bytes:
        return context.auth_context()["x509_common_name"][0]


async def caller(channel: Channel) -> bytes:
    return await channel.now.unary_unary("/any/Call")(b"", timeout=10)


async def test_a_renewed_certificate_is_shown_from_the_next_call_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, first, second = (authority.pair(name) for name in ("server", "first", "second"))
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((WhoCalls(),))
    address = listen(server, "127.0.0.1:0", ServerTls(cert=pair.cert, key=pair.key, client_ca=authority.file))
    await server.start()
    mine = Pair(tmp_path / "mine.pem", tmp_path / "mine.key")
    show(mine, first)
    channel = Channel(address, ClientTls(ca=authority.file, cert=mine.cert, key=mine.key))
    assert await caller(channel) == b"first"
    mine.cert.write_bytes(second.cert.read_bytes())  # while its key is still to come, the last pair is shown
    assert await caller(channel) == b"first"
    show(mine, second)
    assert await caller(channel) == b"second"
    await channel.close()
    await server.stop(None)


def show(mine: Pair, other: Pair) -> None:
    mine.cert.write_bytes(other.cert.read_bytes())
    mine.key.write_bytes(other.key.read_bytes())


def test_what_cannot_be_used_at_first_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"ca\.pem"):
        Channel("localhost:1", ClientTls(ca=tmp_path / "ca.pem"))
    for parts in ({"cert": tmp_path / "a"}, {"cert": tmp_path / "a", "key": tmp_path / "b"}):
        with pytest.raises(ValueError, match="cert and key"):
            ClientTls(**parts)
        with pytest.raises(ValueError, match=r"cert and key|client_ca"):
            ServerTls(**(parts if "key" not in parts else {"client_ca": tmp_path / "a"}))


@pytest.mark.parametrize(("content", "why"), [(b"", "one token"), (b"two tokens", "one token"), (b"\xff", "one token")])
def test_a_token_that_is_none_is_not_quoted(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(TokenUnreadable, match=why) as refusal:
        bearer(tmp_path / "token")
    assert "two" not in str(refusal.value)
    with pytest.raises(TokenUnreadable, match="No such file"):
        bearer(tmp_path / "none")


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("localhost:1", True)]
    + [(f"{host}:1", False) for host in ("0.0.0.0", "[::]", "10.0.0.1", "localhost.example", "here")],
)
def test_loopback_is_known(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected
