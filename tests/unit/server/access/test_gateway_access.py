"""A gateway with keys lets nobody in without a token, and one without keys everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc_health.v1 import health_pb2, health_pb2_grpc
from releases_under_test import write_repository
from tokens import ISSUER, pem, token
from typer.testing import CliRunner

from wildgate_client import ClientOptions, ScoringClient
from wildgate_client._retry import RetryPolicy
from wildgate_client._source import Content
from wildgate_client.block_commands import blocks_app
from wildgate_client.errors import InvalidVideo, NotAllowed, ScoringError, Unauthenticated
from wildgate_server.errors import StartError
from wildgate_server.gateway import run_gateway
from wildgate_server.settings import ServerSettings

KEY = Ed25519PrivateKey.generate()
POLICY = """
version: test
labels:
  live_bear: {group: live_animal, taxon: Ursidae, cites_appendix: I, review: {score: 0.5, seconds: 0}}
  rhino_horn: {group: product, taxon: Rhinocerotidae, cites_appendix: I, review: {score: 0.5, seconds: 0}}
"""


@asynccontextmanager
async def gateway(folder: Path, keys: Path | None) -> AsyncIterator[str]:
    (folder / "repository").mkdir()
    (folder / "policy.yaml").write_text(POLICY)
    settings = ServerSettings(
        endpoint={"address": "127.0.0.1:0"},
        sampling={"workers": 1, "timeout_s": 60},
        backend={
            "model_repository": write_repository(folder / "repository", {"serving": 1}, 1),
            "target": "127.0.0.1:1",
        },
        policy=folder / "policy.yaml",
        blocks={"directory": folder / "blocks"},
        access={"keys": str(keys), "issuer": ISSUER} if keys else {},
    )
    async with asyncio.timeout(120), run_gateway(settings) as started:
        yield started.address


async def refusal(address: str, token_file: Path | None) -> type[ScoringError]:
    """What becomes of bytes that are no video: past the door, they are told to be none."""
    options = ClientOptions(token_file=token_file, retry=RetryPolicy(attempts=1))
    async with ScoringClient(address, options) as client:
        with pytest.raises(ScoringError) as error:
            await client.score(Content(b"no video"))
    return type(error.value)


def listed(address: str, *options: str) -> int:
    return CliRunner().invoke(blocks_app, [*options, "list", "--server", address]).exit_code


async def test_with_keys_each_call_takes_its_scope(tmp_path: Path) -> None:
    keys, file = tmp_path / "keys.pem", tmp_path / "token"
    keys.write_bytes(pem(KEY))
    async with gateway(tmp_path, keys) as address:
        assert await refusal(address, None) is Unauthenticated
        for scope, expected in (("score", InvalidVideo), ("administer", NotAllowed)):
            file.write_text(token(KEY, scope=scope))
            assert await refusal(address, file) is expected
        assert await asyncio.to_thread(listed, address, "--token-file", str(file)) == 0
        assert await asyncio.to_thread(listed, address) != 0
        async with grpc.aio.insecure_channel(address) as channel:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


async def test_without_keys_all_is_open(tmp_path: Path) -> None:
    async with gateway(tmp_path, None) as address:
        assert await refusal(address, None) is InvalidVideo


async def test_keys_that_are_none_keep_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "keys.pem").write_text("no key")
    with pytest.raises(StartError, match=r"access\.keys"):
        async with gateway(tmp_path, tmp_path / "keys.pem"):
            pass
