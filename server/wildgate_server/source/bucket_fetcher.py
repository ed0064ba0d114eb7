"""Parts of an object in a bucket, through obstore; the only module that imports it.

Credentials, region and endpoint are those that obstore finds in the environment (`AWS_...`, `GOOGLE_...`) or asks the
cloud's own metadata service for.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import GCSStore, S3Store

from wildgate_server.errors import InvalidRequest, UriNotFound, VideoTooLarge
from wildgate_server.source.byte_source import ByteRange
from wildgate_server.source.content_coding import codings_of, decoded
from wildgate_server.source.fetching import FetchConfig, PartFetcher, PartsUnfit, TransientFailure
from wildgate_server.source.remote_uri import BucketUri

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import ClientConfig

__all__ = ["BucketFetcher", "store_of"]

# What obstore says of answers that are not the range that was asked for, and of refusals of a range.
_UNFIT = re.compile(r"non-partial|CONTENT_RANGE|Content-Range|Requested \d+\.\.\d+, got|status code: (400|416)")
# And of other refusals, which trying again does not change.
_REFUSED = re.compile(r"status code: (?!408|425|429)(4\d\d)")


class BucketFetcher(PartFetcher):
    """For an s3 or gs URI. Requests end by themselves, and connections are kept for the next object."""

    def __init__(self, place: BucketUri, config: FetchConfig) -> None:
        self._store = store_of(place.scheme, place.bucket, config.stall_s, config.timeout_s)
        self._key = place.key
        self._tag: str | None = None
        self._size = 0

    def beginning(self, length: int, max_bytes: int) -> tuple[bytes, int]:
        """The first bytes of the object, and its size."""
        result = self._get({"range": (0, length)})
        size = self._size = result.meta["size"]
        self._tag = result.meta["e_tag"]
        if size > max_bytes:
            raise VideoTooLarge.past("max_bytes", max_bytes, size)
        if _codings(result):
            raise PartsUnfit
        return self._content(result, min(length, size)), size

    def part(self, span: ByteRange) -> bytes:
        """The bytes of a range; raises PartsUnfit when the object may be another one by now."""
        options: GetOptions = {"range": (span.start, span.end)}
        if self._tag is not None:
            options["if_match"] = self._tag
        result = self._get(options)
        if result.meta["size"] != self._size or _codings(result):
            raise PartsUnfit
        return self._content(result, len(span))

    def whole(self, max_bytes: int) -> bytes:
        """All of the object, decoded where the bucket keeps it encoded."""
        result = self._get({})
        size = result.meta["size"]
        if size > max_bytes:
            raise VideoTooLarge.past("max_bytes", max_bytes, size)
        return decoded([self._content(result, size)], _codings(result), max_bytes)

    def _get(self, options: GetOptions) -> GetResult:
        try:
            return obstore.get(self._store, self._key, options=options)
        except FileNotFoundError:
            raise UriNotFound("there is no object at the URI", field="uri") from None
        except PreconditionError:
            raise PartsUnfit from None
        except (PermissionDeniedError, UnauthenticatedError):
            # S3 says so, too, of what is not there, to those who may not list the bucket.
            raise UriNotFound(
                "the bucket refuses this server's credentials, or there is no object at the URI", field="uri"
            ) from None
        except (InvalidPathError, ValueError):  # nothing was asked yet
            raise InvalidRequest("uri cannot be read: its key cannot be requested", field="uri") from None
        except BaseError as error:
            if "range" in options and _UNFIT.search(str(error)):
                raise PartsUnfit from None
            if refusal := _REFUSED.search(str(error)):
                status = {"http_status": refusal[1]}
                raise UriNotFound(
                    f"the bucket answers with status {refusal[1]}", metadata=status, field="uri"
                ) from None
            raise TransientFailure(f"the bucket does not answer: {type(error).__name__}") from None

    def _content(self, result: GetResult, length: int) -> bytes:
        try:
            content = bytes(result.bytes())
        except BaseError as error:
            raise TransientFailure(f"the bucket does not send: {type(error).__name__}") from None
        if len(content) != length:
            raise TransientFailure("the bucket sends less than was asked for")
        return content


def _codings(result: GetResult) -> list[str]:
    return codings_of(result.attributes.get("Content-Encoding"))


@lru_cache(maxsize=16)
def store_of(scheme: str, bucket: str, stall_s: float, timeout_s: float) -> S3Store | GCSStore:
    """A client of a bucket, kept for the life of a worker; retries are the caller's."""
    kind, cloud = (S3Store, "AWS") if scheme == "s3" else (GCSStore, "GOOGLE")
    stall = timedelta(seconds=stall_s)
    options: ClientConfig = {
        "connect_timeout": stall,
        "read_timeout": stall,
        "timeout": timedelta(seconds=timeout_s),  # of one request, as bytes may drip
        # From the environment, as obstore reads it there only where no options are given.
        "allow_http": os.environ.get(f"{cloud}_ALLOW_HTTP", "").lower() == "true",
    }
    return kind(bucket, client_options=options, retry_config={"max_retries": 0})
