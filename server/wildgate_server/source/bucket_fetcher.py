"""Parts of an object in a bucket, through obstore; the only module that imports it.

Credentials, region and endpoint are those that obstore finds in the environment (`AWS_...`, `GOOGLE_...`) or asks the
cloud's own metadata service for.
"""

from __future__ import annotations

import os
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

from wildgate_server.errors import FetchFailed, InvalidRequest, UriNotFound, VideoTooLarge
from wildgate_server.source.byte_source import ByteRange
from wildgate_server.source.fetching import FetchConfig, PartFetcher, TransientFailure
from wildgate_server.source.remote_uri import BucketUri

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import ClientConfig

__all__ = ["BucketFetcher", "store_of"]


class BucketFetcher(PartFetcher):
    """For an s3 or gs URI. Requests end by themselves, and connections are kept for the next object."""

    def __init__(self, place: BucketUri, config: FetchConfig) -> None:
        self._store = store_of(place.scheme, place.bucket, config.stall_s, config.timeout_s)
        self._key = place.key
        self._tag: str | None = None

    def beginning(self, length: int, max_bytes: int) -> tuple[bytes, int]:
        """The first bytes of the object, and its size."""
        result = self._get({"range": (0, length)})
        size = result.meta["size"]
        self._tag = result.meta["e_tag"]
        if size > max_bytes:
            raise VideoTooLarge.past("max_bytes", max_bytes, size)
        return self._content(result, min(length, size)), size

    def part(self, span: ByteRange) -> bytes:
        """The bytes of a range; raises FetchFailed when the object is another one by now."""
        options: GetOptions = {"range": (span.start, span.end)}
        if self._tag is not None:
            options["if_match"] = self._tag
        return self._content(self._get(options), len(span))

    def _get(self, options: GetOptions) -> GetResult:
        try:
            return obstore.get(self._store, self._key, options=options)
        except FileNotFoundError:
            raise UriNotFound("there is no object at the URI", field="uri") from None
        except PreconditionError:
            raise FetchFailed("the object changed while it was read", field="uri") from None
        except (PermissionDeniedError, UnauthenticatedError):
            raise FetchFailed("the bucket refuses this server's credentials", field="uri") from None
        except (InvalidPathError, ValueError):  # nothing was asked yet
            raise InvalidRequest("uri cannot be read: its key cannot be requested", field="uri") from None
        except BaseError as error:
            raise TransientFailure(f"the bucket does not answer: {type(error).__name__}") from None

    def _content(self, result: GetResult, length: int) -> bytes:
        try:
            content = bytes(result.bytes())
        except BaseError as error:
            raise TransientFailure(f"the bucket does not send: {type(error).__name__}") from None
        if len(content) != length:
            raise TransientFailure("the bucket sends less than was asked for")
        return content


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
