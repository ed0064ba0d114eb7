"""The kinds of users and of the requests they make, by the names that options, results and objectives have for them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "CACHED",
    "CONTENT",
    "DIGEST",
    "FIRST",
    "REPEATED",
    "REQUEST_KINDS",
    "STREAM",
    "UNKNOWN_DIGEST",
    "URI",
    "URI_CACHED",
    "USER_KINDS",
    "request_kinds",
]

CONTENT, STREAM, URI, REPEATED = "content", "stream", "uri", "repeated"

FIRST = "repeated, scored"
"""Of the repeated ones: answered by looking at the video, or not answered."""
CACHED = "repeated, cached"
"""Of the repeated ones: answered from the cache."""
URI_CACHED = "uri, cached"
"""By URI, and answered from the cache."""
DIGEST = "digest, cached"
"""Of the repeated ones: asked by digest with nothing sent, and answered from the cache or not answered."""
UNKNOWN_DIGEST = "digest, unknown"
"""Asked by digest, and told to send the video. No answer about a video, so no total counts it."""

USER_KINDS: Mapping[str, tuple[str, ...]] = {
    CONTENT: (CONTENT,),
    STREAM: (STREAM,),
    URI: (URI, URI_CACHED),
    REPEATED: (FIRST, CACHED),
}
"""The requests that each kind of user makes."""

REQUEST_KINDS = (*(kind for kinds in USER_KINDS.values() for kind in kinds), DIGEST, UNKNOWN_DIGEST)
"""Every kind of request."""


def request_kinds(users: Mapping[str, int], *, digest_first: bool) -> tuple[str, ...]:
    """The requests that a mix of users, with weights by kind, makes."""
    kinds = [kind for user, weight in users.items() if weight for kind in USER_KINDS[user]]
    return (*kinds, DIGEST, UNKNOWN_DIGEST) if digest_first and FIRST in kinds else tuple(kinds)
