"""Logging in at an identity provider, and answers that are not taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from console_under_test import ConsoleUnderTest, Person, console
from identity_provider import CLIENT, IdentityProvider, identity_provider
from joserfc import jwk


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with identity_provider() as started:
        yield started


@pytest.fixture
async def running(tmp_path: Path, provider: IdentityProvider) -> AsyncIterator[ConsoleUnderTest]:
    oidc = {"issuer": provider.issuer, "client_id": CLIENT, "public_url": "http://console.example"}
    async with console(tmp_path, oidc=oidc) as started:
        yield started


async def come_back(person: Person) -> str:
    """The path to which the provider sends the browser back."""
    there = await person.get((await person.get("/oidc/login")).headers["location"])
    return str(there.headers["location"].removeprefix("http://console.example"))


async def test_roles_come_from_the_claims(running: ConsoleUnderTest, provider: IdentityProvider) -> None:
    async with running.person() as ann:
        path = await come_back(ann)
        assert (await ann.get(path)).headers["location"] == "/"
        assert "ann" in (await ann.get("/queue")).text
        assert (await ann.get("/audit")).status_code == 403
        assert (await ann.get(path)).status_code == 401, "an answer is taken once"


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "another"}, {"aud": "another"}, {"iss": "https://another"}, {"exp": 1}, {"azp": "x"}, {"sub": 5}],
)
async def test_a_token_that_is_not_for_this_login_is_refused(
    running: ConsoleUnderTest, provider: IdentityProvider, claims: dict[str, Any]
) -> None:
    provider.claims |= claims
    async with running.person() as ann:
        assert (await ann.get(await come_back(ann))).status_code == 401
        assert (await ann.get("/queue")).headers["location"] == "/login"


async def test_a_token_of_another_key_is_refused(running: ConsoleUnderTest, provider: IdentityProvider) -> None:
    provider.signing_key = jwk.ECKey.generate_key("P-256", {"kid": "1"})
    async with running.person() as ann:
        assert (await ann.get(await come_back(ann))).status_code == 401


@pytest.mark.parametrize("change", [lambda path: path.replace("state=", "state=x"), lambda path: path.split("?")[0]])
async def test_an_answer_to_another_login_is_refused(
    running: ConsoleUnderTest, provider: IdentityProvider, change: Callable[[str], str]
) -> None:
    async with running.person() as ann, running.person() as eve:
        path = await come_back(eve)
        assert (await ann.get(path)).status_code == 401, "begun in another browser"
        assert (await eve.get(change(path))).status_code == 401


async def test_somebody_without_a_role_here_is_not_let_in(
    running: ConsoleUnderTest, provider: IdentityProvider
) -> None:
    provider.claims["roles"] = ["gateway", "owner"]
    async with running.person() as ann:
        assert (await ann.get(await come_back(ann))).status_code == 403
