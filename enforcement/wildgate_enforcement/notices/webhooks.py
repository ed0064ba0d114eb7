"""Signed webhooks as https://www.standardwebhooks.com specifies them: the sender's side and the receiver's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cachetools import TTLCache
from standardwebhooks import Webhook, WebhookVerificationError

__all__ = ["ForgedNotice", "Notice", "NoticeCheck", "signed_headers"]

_MOST_BYTES = 1 << 20
_MOST_IDS = 100_000
_HELD_S = 660.0  # twice the five minutes by which a time may be off, and a little


class ForgedNotice(Exception):
    """What arrived is not a notice of the sender's, or not of now; says why."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that is the sender's. A repeat was seen before (its answer was lost, or somebody sent it again):
    answer it like the first one, and do nothing."""

    id: str
    content: dict[str, Any]
    is_repeat: bool


def signed_headers(secrets: Sequence[str], message_id: str, body: str, at: datetime) -> dict[str, str]:
    """The headers of a notice sent at `at`; `message_id` is the same at each attempt.

    It is signed with each of the `secrets` ("whsec_<base64>"): while one replaces another, a receiver may know either.
    Raises ValueError for what is no secret.
    """
    if not secrets:
        raise ValueError("a notice needs a secret to be signed with")
    at = at.astimezone(UTC)
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(_webhook(secret).sign(message_id, at, body) for secret in secrets),
    }


class NoticeCheck:
    """For platforms: tells notices from forgeries, by any of the `secrets`, and new ones from repeats.

    It remembers ids in this process for as long as a time stamp is taken (five minutes to either side); several
    processes need a store of their own.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("notices cannot be checked without a secret")
        self._webhooks = [_webhook(secret) for secret in secrets]
        self._seen: TTLCache[str, bool] = TTLCache(_MOST_IDS, _HELD_S)

    def check(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """The notice, where it holds. Raises ForgedNotice."""
        if len(body) > _MOST_BYTES:
            raise ForgedNotice("it is too long")
        headers = {name.lower(): value for name, value in headers.items()}  # one of each, for the library and for us
        why = ""
        for webhook in self._webhooks:
            try:
                webhook.verify(body, headers, json_parse=False)
                break
            # ValueError: headers that are malformed, which the library lets through
            except (WebhookVerificationError, ValueError) as error:
                why = str(error) if isinstance(error, WebhookVerificationError) else "its headers are malformed"
        else:
            raise ForgedNotice(why)
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            raise ForgedNotice("it is no JSON") from None
        if not isinstance(content, dict):
            raise ForgedNotice("it is no JSON object")
        message_id = headers["webhook-id"]
        is_repeat = message_id in self._seen
        self._seen[message_id] = True
        return Notice(message_id, content, is_repeat)


def _webhook(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except Exception as error:  # an empty secret raises a class of its own, which the library does not export
        raise ValueError(f"this is no webhook secret ({type(error).__name__})") from None
