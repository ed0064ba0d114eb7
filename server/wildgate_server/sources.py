"""Where a video's bytes come from, and what of it is allowed."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server.errors import InvalidRequest, UriNotAllowed, UriNotFound, VideoTooLarge
from wildgate_server.settings import SourceSettings

__all__ = ["Sources"]


class Sources:
    """Resolves a request's source to bytes or to a file that may be read."""

    def __init__(self, settings: SourceSettings) -> None:
        self._max_bytes = settings.max_bytes
        self._roots = tuple(root.resolve() for root in settings.file_roots)

    def resolve(self, request: pb.ScoreRequest) -> bytes | Path:
        """What the sampler is to read; nothing is read here.

        Raises InvalidRequest, VideoTooLarge, UriNotAllowed or UriNotFound.
        """
        source = request.WhichOneof("source")
        if source == "content":
            content = request.content  # each access makes a copy
            if not content:
                raise InvalidRequest("content is empty", field="content")
            if len(content) > self._max_bytes:
                raise VideoTooLarge.past("max_bytes", self._max_bytes, len(content))
            return content
        if source == "uri":
            return self._file(request.uri)
        raise InvalidRequest("neither content nor uri is given", field="source")

    def _file(self, uri: str) -> Path:
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise InvalidRequest(f"uri is malformed: {error}", field="uri") from None
        if parts.scheme != "file":
            raise UriNotAllowed(
                f"scheme {parts.scheme or '(none)'!r} is not allowed here",
                metadata={"scheme": parts.scheme},
                field="uri",
            )
        if not self._roots:
            raise UriNotAllowed("file: URIs are turned off here", metadata={"scheme": "file"}, field="uri")
        if parts.netloc not in ("", "localhost") or "\0" in unquote(parts.path):
            raise InvalidRequest("a file: URI is file:///PATH", field="uri")
        file = Path(os.path.realpath(unquote(parts.path)))  # symbolic links and .. are followed before the check
        if not any(file.is_relative_to(root) for root in self._roots):
            raise UriNotAllowed("the file lies outside of what may be read", metadata={"scheme": "file"}, field="uri")
        if not os.path.isfile(file):  # Path's own would raise for a name too long or a loop of links
            raise UriNotFound("no file lies at the URI", field="uri")
        return file
