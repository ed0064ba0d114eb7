"""The gateway's door, over real TLS: who gets what from which call, and what keeps it from standing open."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Authority, Pair
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status
from releases_under_test import write_repository
from structlog.testing import capture_logs
from tokens import ISSUER, jwks, token
from typer.testing import CliRunner

from wildgate_client import Block, BlocksClient, ClientOptions, Content, ScoringClient, tls_credentials
from wildgate_client._retry import RetryPolicy
from wildgate_client.block_commands import blocks_app
from wildgate_client.errors import InvalidVideo, Overloaded
from wildgate_proto.v1 import blocks_pb2, scoring_pb2
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.blocks_settings import BlocksSettings
from wildgate_server.blocks.follower import BlockFollower
from wildgate_server.errors import SettingsConflict, StartError
from wildgate_server.gateway import run_gateway
from wildgate_server.settings import ServerSettings
from wildgate_server.transport import ClientTls

KEY, NEXT, OTHER = (Ed25519PrivateKey.generate() for _ in range(3))
POLICY = """
version: test
labels:
  live_bear: {group: live_animal, taxon: Ursidae, cites_appendix: I, review: {score: 0.5, seconds: 0}}
  rhino_horn: {group: product, taxon: Rhinocerotidae, cites_appendix: I, review: {score: 0.5, seconds: 0}}
"""
TENANTS = """
default: {priority: high}
tenants:
  slow: {requests_per_s: 0.01, burst_s: 0}
  heavy: {megabytes_per_s: 0.000001, burst_s: 0}
"""


def settings_in(folder: Path, **sections: dict[str, Any]) -> ServerSettings:
    (folder / "repository").mkdir()
    (folder / "policy.yaml").write_text(POLICY)
    backend = {"model_repository": write_repository(folder / "repository", {"serving": 1}, 1), "target": "127.0.0.1:1"}
    defaults: dict[str, dict[str, Any]] = {
        "endpoint": {"address": "127.0.0.1:0"},
        "sampling": {"workers": 1, "timeout_s": 60},
        "backend": backend,
        "blocks": {"directory": folder / "blocks"},
    }
    return ServerSettings(policy=folder / "policy.yaml", **(defaults | sections))


@dataclass
class Door:
    """A gateway behind TLS, and what a test changes: certificates, keys, what is revoked."""

    address: str
    folder: Path
    authority: Authority
    caller: Pair

    async def got(self, call: tuple[str, Any], bearer: str | None, pair: Pair | None = None) -> grpc.StatusCode:
        """The status that a call gets over a connection of its own."""
        return (await self.answer(call, bearer, pair))[0]

    async def answer(
        self, call: tuple[str, Any], bearer: str | None, pair: Pair | None = None
    ) -> tuple[grpc.StatusCode, grpc.aio.AioRpcError | None]:
        shown = pair or self.caller
        credentials = tls_credentials(self.authority.file, shown.cert, shown.key)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"localhost:{self.address.split(':')[1]}", credentials, options) as channel:
            method, message = call
            metadata = (("authorization", f"Bearer {bearer}"),) if bearer else ()
            try:
                # On the wire all kinds of call are alike; grpc.aio's streams of requests may see INTERNAL instead.
                await channel.unary_stream(method)(message.SerializeToString(), metadata=metadata, timeout=10).read()
            except grpc.aio.AioRpcError as error:
                return error.code(), error
            return grpc.StatusCode.OK, None


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    folder, authority = tmp_path, Authority(tmp_path)
    server, caller = authority.pair("server"), authority.pair("caller")
    (folder / "keys.json").write_bytes(jwks(first=KEY))
    (folder / "revoked").write_text(
        f"token stolen\nsubject gone # left in spring\ncert {authority.pair('lost').fingerprint}\n"
    )
    (folder / "tenants.yaml").write_text(TENANTS)
    settings = settings_in(
        folder,
        tls={"cert": server.cert, "key": server.key, "client_ca": authority.file},
        access={
            "keys": str(folder / "keys.json"),
            "issuer": ISSUER,
            "revoked": folder / "revoked",
            "tenants": folder / "tenants.yaml",
        },
    )
    async with asyncio.timeout(120), run_gateway(settings) as started:
        yield Door(started.address, folder, authority, caller)


_numbers = itertools.count()


def held_by(*scopes: str, key: Any = KEY, kid: str = "first", **claims: Any) -> str:
    usual = {"scope": " ".join(scopes), "jti": f"t{next(_numbers)}", "exp": int(time.time()) + 86400}
    return token(key, kid=kid, **(usual | claims))


_SCORING, _BLOCKS = "/wildgate.v1.ScoringService/", "/wildgate.v1.BlockService/"
_VIDEO = scoring_pb2.ScoreRequest(content=b"no video")
CALLS: dict[str, tuple[str, Any]] = {
    "score": (_SCORING + "Score", _VIDEO),
    "stream": (_SCORING + "ScoreStream", scoring_pb2.ScoreStreamRequest(request=_VIDEO)),
    "digest": (_SCORING + "Score", scoring_pb2.ScoreRequest(content_digest="blake3:" + 64 * "0")),
    "evidence": (_SCORING + "Score", scoring_pb2.ScoreRequest(content=b"no video", max_evidence_frames=1)),
    "explain": (_SCORING + "Score", scoring_pb2.ScoreRequest(content=b"no video", explain_blocks=True)),
    "add": (_BLOCKS + "Add", blocks_pb2.AddBlocksRequest()),
    "list": (_BLOCKS + "List", blocks_pb2.ListBlocksRequest()),
    "export": (_BLOCKS + "Export", blocks_pb2.ExportBlocksRequest()),
    "follow": (_BLOCKS + "Follow", blocks_pb2.FollowRequest()),
    "reflect": ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", health_pb2.HealthCheckRequest()),
    "health": ("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest()),
    "unheard of": ("/wildgate.v1.ScoringService/Erase", _VIDEO),
}
CALLERS = {
    "scorer": held_by("score"),
    "by digest": held_by("read_digests"),
    "witness": held_by("score", "evidence"),
    "administrator": held_by("administer"),
    "follower": held_by("follow"),
    "developer": held_by("reflect"),
    "nobody": None,
    "expired": held_by("score", "administer", exp=int(time.time()) - 60),
    "for others": held_by("score", "administer", aud="other"),
    "unknown key": held_by("score", "administer", key=OTHER),
    "stolen": held_by("score", "administer", jti="stolen"),
    "gone": held_by("score", "administer", sub="gone"),
    "revoked certificate": held_by("score", "administer"),
}
# What each call gets once it is past the door; the rest is PERMISSION_DENIED where a caller is known.
_OK, _BAD, _NOT, _NO, _WHO = "OK", "INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED"
PAST_THE_DOOR = {
    "scorer": {"score": _BAD, "stream": _OK},
    "by digest": {"digest": _NOT, "stream": _OK},  # where the item fails
    "witness": {"score": _BAD, "stream": _OK, "evidence": _BAD, "explain": _BAD},
    "administrator": {"add": _BAD, "list": _OK, "export": _OK, "follow": _OK},
    "follower": {"follow": _OK},
    "developer": {"reflect": _OK},
    # what the table refuses is refused before the connection is looked at
    "revoked certificate": dict.fromkeys(CALLS, _WHO) | {"reflect": _NO, "unheard of": _NO},
}


def expected(caller: str, call: str) -> str:
    if call == "health":
        return _OK
    return PAST_THE_DOOR.get(caller, dict.fromkeys(CALLS, _WHO)).get(call, _NO)


async def test_each_caller_gets_from_each_call_what_the_table_says(door: Door) -> None:
    lost = Pair(door.folder / "lost.pem", door.folder / "lost.key")
    wrong, refused = [], 0
    with capture_logs() as logs:
        for (who, bearer), (what, call) in itertools.product(CALLERS.items(), CALLS.items()):
            got = (await door.got(call, bearer, lost if who == "revoked certificate" else None)).name
            should = expected(who, what)
            refused += got in (_NO, _WHO)
            wrong += [(who, what, got, should)] if got != should else []
    assert not wrong
    lines = [line for line in logs if line["event"] == "access_refused"]
    assert len(lines) == refused + 1  # one for each, and one for the stream's item that was asked by digest alone
    assert not [bearer for bearer in CALLERS.values() if bearer and bearer in str(logs)]


async def test_who_shows_no_certificate_or_another_s_is_not_even_heard(door: Door, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    stranger = Authority(tmp_path / "elsewhere", "another-ca").pair("caller")
    assert await door.got(CALLS["health"], None, stranger) is grpc.StatusCode.UNAVAILABLE
    port = door.address.split(":")[1]
    for credentials in (tls_credentials(door.authority.file), None):
        options = ClientOptions(credentials=credentials, retry=RetryPolicy(attempts=1))
        async with options.channel(f"localhost:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await channel.unary_unary(CALLS["health"][0])(b"", timeout=10)
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_renewed_certificates_rotated_keys_and_new_revocations_need_no_restart(door: Door) -> None:
    mine, scorer = door.caller, held_by("score")
    new_authority = Authority(door.folder, "next-ca")
    assert await door.got(CALLS["score"], scorer) is grpc.StatusCode.INVALID_ARGUMENT
    new_authority.pair("server")  # a client that knows the new CA alone tells that it is shown
    door.authority.file.write_bytes(new_authority.file.read_bytes() + door.authority.file.read_bytes())
    door.authority = new_authority
    assert await door.got(CALLS["score"], scorer, mine) is grpc.StatusCode.INVALID_ARGUMENT
    assert await door.got(CALLS["score"], scorer, new_authority.pair("caller-2")) is grpc.StatusCode.INVALID_ARGUMENT
    (door.folder / "server.key").write_text("half writ")  # what is not whole leaves the last in force
    assert await door.got(CALLS["score"], scorer, mine) is grpc.StatusCode.INVALID_ARGUMENT

    (door.folder / "keys.json").write_bytes(jwks(second=NEXT))
    assert await door.got(CALLS["score"], scorer, mine) is grpc.StatusCode.UNAUTHENTICATED
    scorer = held_by("score", key=NEXT, kid="second")
    assert await door.got(CALLS["score"], scorer, mine) is grpc.StatusCode.INVALID_ARGUMENT

    (door.folder / "revoked").write_text(f"cert {mine.fingerprint.upper()}")
    assert await door.got(CALLS["score"], scorer, mine) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(("tenant", "kept"), [("slow", True), ("heavy", True), ("another", False)])
async def test_a_tenant_that_has_had_its_share_is_told_when_to_come_again(door: Door, tenant: str, kept: bool) -> None:
    bearer = held_by("score", tenant=tenant)
    assert await door.got(CALLS["score"], bearer) is grpc.StatusCode.INVALID_ARGUMENT
    code, error = await door.answer(CALLS["score"], bearer)
    assert (code is grpc.StatusCode.RESOURCE_EXHAUSTED) is kept
    if kept:
        details = {detail.TypeName(): detail for detail in rpc_status.from_call(error).details}
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        assert details["google.rpc.ErrorInfo"].Unpack(info)
        assert details["google.rpc.RetryInfo"].Unpack(retry)
        assert info.reason == "QUOTA_EXCEEDED"
        assert 0 < retry.retry_delay.ToTimedelta().total_seconds() <= 100
    assert await door.got(CALLS["score"], held_by("score", tenant="another")) is grpc.StatusCode.INVALID_ARGUMENT


async def test_client_and_commands_come_in_by_their_options(door: Door) -> None:
    port = door.address.split(":")[1]
    bearer = door.folder / "token"
    bearer.write_text(held_by("score", "administer", tenant="slow"))
    options = ClientOptions(
        credentials=tls_credentials(door.authority.file, door.caller.cert, door.caller.key),
        token_file=bearer,
        retry=RetryPolicy(attempts=1),
    )
    async with ScoringClient(f"localhost:{port}", options) as client:
        for kind in (InvalidVideo, Overloaded):
            with pytest.raises(kind):
                await client.score(Content(b"no video"))
    async with BlocksClient(f"localhost:{port}", options) as blocks:
        await blocks.add([Block(digests=("blake3:" + 64 * "0",))])
    files = [
        "--tls-ca",
        door.authority.file,
        "--cert",
        door.caller.cert,
        "--key",
        door.caller.key,
        "--token-file",
        bearer,
    ]
    for given, status in ((files, 0), (files[:6], 1), (files[2:], 2), ([], 1)):
        command = [*map(str, given), "list", "--server", f"localhost:{port}"]
        assert (await asyncio.to_thread(CliRunner().invoke, blocks_app, command)).exit_code == status


@pytest.mark.parametrize(("scope", "caught_up"), [("follow", True), ("score", False)])
async def test_another_gateway_follows_the_list_with_certificate_and_token(
    door: Door, scope: str, caught_up: bool
) -> None:
    (door.folder / "token").write_text(held_by(scope))
    settings = BlocksSettings(
        directory=door.folder / "copy",
        target=f"localhost:{door.address.split(':')[1]}",
        token_file=door.folder / "token",
        tls=ClientTls(ca=door.authority.file, cert=door.caller.cert, key=door.caller.key),
    )
    copy = await BlockList.load(door.folder / "copy")
    follower = BlockFollower(settings, copy)
    with capture_logs() as logs:
        following = asyncio.create_task(follower.run())
        while not follower.caught_up.is_set() and "block_service_away" not in str(logs):
            await asyncio.sleep(0.01)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await copy.close()
    assert follower.caught_up.is_set() is caught_up
    assert ("PERMISSION_DENIED" in str(logs)) is not caught_up


def conflicts(folder: Path) -> Iterator[tuple[dict[str, dict[str, Any]], str]]:
    pair = Authority(folder).pair("server")
    tls = {"cert": pair.cert, "key": pair.key}
    (folder / "keys.pem").write_text("no key")
    everywhere = {"address": "0.0.0.0:0"}
    yield {"endpoint": everywhere, "access": {"off": True}}, r"tls\.cert"
    yield {"endpoint": everywhere, "tls": tls}, r"access\.keys"
    yield {"tls": {"cert": pair.cert, "key": Authority(folder).pair("another").key}}, "is not the key of"
    yield {"tls": {"cert": folder / "keys.pem", "key": pair.key}}, "holds no certificate"
    yield {"access": {"keys": str(folder / "keys.pem"), "issuer": ISSUER}}, r"access\.keys"


async def test_a_door_that_would_stand_open_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    for number, (sections, why) in enumerate(conflicts(tmp_path)):
        (place := tmp_path / str(number)).mkdir()
        with pytest.raises((SettingsConflict, StartError), match=why):
            async with run_gateway(settings_in(place, **sections)):
                pass


async def test_both_can_be_switched_off_by_name(tmp_path: Path) -> None:
    off = {"off": True}
    settings = settings_in(tmp_path, endpoint={"address": "0.0.0.0:0"}, tls=off, access=off)
    async with run_gateway(settings) as gateway, ScoringClient(f"localhost:{gateway.address.split(':')[1]}") as client:
        with pytest.raises(InvalidVideo):
            await client.score(Content(b"no video"))
