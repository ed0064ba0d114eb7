"""s3 and gs URIs: the key is what follows the bucket, as it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wildgate_server.errors import InvalidRequest

__all__ = ["BucketUri"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class BucketUri:
    """An object in a bucket.

    These URIs are not URLs: `?`, `#` and `%` in a key stand for themselves.
    """

    text: str
    scheme: str
    bucket: str
    key: str

    @classmethod
    def parsed(cls, text: str) -> BucketUri:
        """Raises InvalidRequest for a URI without a key, and for a key that no client of ours can ask for."""
        scheme, _, place = text.partition("://")
        bucket, _, key = place.partition("/")
        if not (bucket and key.strip("/")):
            raise InvalidRequest(f"uri is malformed: it is {scheme}://BUCKET/KEY", field="uri")
        if _CONTROL.search(key):
            raise InvalidRequest("uri is malformed: its key has control characters", field="uri")
        if any(segment in ("", ".", "..") for segment in key.split("/")):
            raise InvalidRequest(
                "uri cannot be read: its key begins or ends with '/', or has '//', '/./' or '/../' in it", field="uri"
            )
        return cls(text, scheme.lower(), bucket, key)
