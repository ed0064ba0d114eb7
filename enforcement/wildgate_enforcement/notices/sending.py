"""Notices go out: over TLS, to hosts that may be reached, without redirects, and an outcome that says what next."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, TypeAlias

from pydantic import SecretStr

from wildgate_enforcement.notices.webhooks import signed_headers
from wildgate_server.errors import FetchFailed, InvalidRequest, UriNotAllowed, UriNotFound
from wildgate_server.source.checked_network import CheckedNetwork
from wildgate_server.source.fetching import FetchConfig, TransientFailure
from wildgate_server.source.http_connection import Connection
from wildgate_server.source.remote_uri import HttpUrl

__all__ = ["Delivered", "Endpoint", "Gone", "NoticeSender", "Outcome", "Refused", "RetryLater"]

_PASSING = frozenset({408, 425, 429})
_LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a platform takes notices, and the secrets that it knows, newest first; two while one replaces another."""

    url: str
    secrets: tuple[SecretStr, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The platform took it."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """It may pass; `after_s` is what the platform asks for, if it does."""

    why: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Sending this notice again would change nothing."""

    why: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The endpoint takes no notices any more (410): disable it."""


Outcome: TypeAlias = Delivered | RetryLater | Refused | Gone


class NoticeSender:
    """Sends notices within `timeout_s` each, from the first byte sent to the answer's head; its body is not read.

    `config` says which hosts may be reached: https on its usual port and public addresses alone, by default.
    """

    def __init__(
        self,
        config: FetchConfig | None = None,
        *,
        timeout_s: float = 15.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config or FetchConfig(stall_s=5.0, schemes=("https",), ports=(443,))
        self._timeout_s = timeout_s
        self._now = now

    async def send(self, endpoint: Endpoint, message_id: str, content: Mapping[str, Any]) -> Outcome:
        """Sends one notice, once. Raises ValueError where the endpoint's secrets are none, or `content` is no JSON."""
        body = json.dumps(content, sort_keys=True, allow_nan=False)
        secrets = [secret.get_secret_value() for secret in endpoint.secrets]
        headers = signed_headers(secrets, message_id, body, self._now())
        network = CheckedNetwork(self._config)
        late = False

        def end() -> None:
            nonlocal late
            late = True
            network.end()

        ending = asyncio.get_running_loop().call_later(self._timeout_s, end)
        try:
            outcome = await asyncio.to_thread(self._post, endpoint.url, body.encode(), headers, network)
            # The head of an answer that was cut off by then may look like a whole one.
            return RetryLater("the platform does not answer in time") if late else outcome
        finally:
            ending.cancel()
            network.end()  # for a thread that a cancelled caller leaves behind

    def _post(self, address: str, body: bytes, headers: dict[str, str], network: CheckedNetwork) -> Outcome:
        try:
            url = HttpUrl.parsed(address)
            if url.scheme not in self._config.schemes:
                return Refused(f"notices are not sent over {url.scheme or 'that'}")
            connection = Connection(url, network)
        except (UriNotAllowed, InvalidRequest) as error:
            return Refused(error.message)
        except (UriNotFound, FetchFailed) as error:
            return RetryLater(error.message)  # names and certificates are put right again
        except (TransientFailure, OSError) as error:
            return RetryLater(str(error))
        try:
            connection.request("POST", url.target, body, {"User-Agent": "wildgate", "Connection": "close"} | headers)
            answer = connection.getresponse()
            return _outcome(answer.status, answer.getheader("Retry-After"))
        except (OSError, HTTPException, ValueError) as error:
            return RetryLater(f"the platform does not answer: {type(error).__name__}")
        finally:
            connection.end()


def _outcome(status: int, retry_after: str | None) -> Outcome:
    if status // 100 == 2:
        return Delivered()
    if status == 410:
        return Gone()
    if status in _PASSING or status >= 500:
        asked = retry_after is not None and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10
        return RetryLater(f"status {status}", min(float(retry_after or 0), _LONGEST_WAIT_S) if asked else None)
    return Refused(f"status {status}")  # redirects too: who signs says where to
