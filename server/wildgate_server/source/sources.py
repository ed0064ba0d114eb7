"""Where a video's bytes come from, and what of it is allowed."""

from __future__ import annotations

import posixpath
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from wildgate_server.errors import InvalidRequest, UriNotAllowed, VideoTooLarge
from wildgate_server.source.content import Content
from wildgate_server.source.local_file import OUTSIDE, RootedFile
from wildgate_server.source.public_address import check_host
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.remote_uri import MAX_QUOTED, BucketUri, HttpUrl
from wildgate_server.source.source_settings import SourceSettings

__all__ = ["Sources"]


class Sources:
    """The one parser of what callers give: it checks content and URIs, and makes sources of them."""

    def __init__(self, settings: SourceSettings) -> None:
        self._max_bytes = settings.max_bytes
        # By what URIs may call a root, which may be a symbolic link.
        self._roots = {
            name: root.resolve() for root in settings.file_roots for name in (root.absolute(), root.resolve())
        }
        self._buckets = frozenset(settings.buckets)
        self._fetching = settings.fetching()

    def of_content(self, content: bytes, digest: str | None = None) -> Content:
        """The source of a video that came with the request; `digest` is its `blake3:<hex>`, where that is known.

        Raises InvalidRequest or VideoTooLarge.
        """
        if not content:
            raise InvalidRequest("content is empty", field="content")
        if len(content) > self._max_bytes:
            raise VideoTooLarge.past("max_bytes", self._max_bytes, len(content))
        return Content(content, digest)

    def of_uri(self, uri: str) -> RootedFile | RemoteObject:
        """The source at a URI; nothing is read here, and no name resolved.

        Raises InvalidRequest or UriNotAllowed.
        """
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise InvalidRequest(f"uri is malformed: {str(error)[:MAX_QUOTED]}", field="uri") from None
        if parts.scheme == "file":
            return self._file(parts)
        if parts.scheme in self._fetching.schemes:
            url = HttpUrl.parsed(uri)
            check_host(url.host, url.port, self._fetching.private_networks, self._fetching.ports)
            return RemoteObject(url, self._fetching)
        if parts.scheme in ("s3", "gs"):
            return self._object(uri)
        scheme = parts.scheme[:MAX_QUOTED]
        raise _not_allowed(f"scheme {scheme or '(none)'!r} is not allowed here", scheme)

    def _object(self, uri: str) -> RemoteObject:
        place = BucketUri.parsed(uri)
        if f"{place.scheme}://{place.bucket}" not in self._buckets:
            raise _not_allowed("the bucket is not among those that may be read", place.scheme)
        return RemoteObject(place, self._fetching)

    def _file(self, parts: SplitResult) -> RootedFile:
        if not self._roots:
            raise _not_allowed("file: URIs are turned off here", "file")
        if parts.netloc not in ("", "localhost") or "\0" in unquote(parts.path):
            raise InvalidRequest("a file: URI is file:///PATH", field="uri")
        file = Path("/" + posixpath.normpath(unquote(parts.path)).lstrip("/"))
        for name, root in self._roots.items():
            if file.is_relative_to(name) and file != name:
                return RootedFile(root, str(file.relative_to(name)))
        raise _not_allowed(OUTSIDE, "file")


def _not_allowed(message: str, scheme: str) -> UriNotAllowed:
    return UriNotAllowed(message, metadata={"scheme": scheme}, field="uri")
