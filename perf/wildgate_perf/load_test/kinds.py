"""The names of requests in locust's statistics, which objectives and results use too."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A kind of request."""

    CONTENT = "content"
    STREAM = "stream"
    URI = "uri"
    URI_CACHED = "uri, cached"
    FIRST = "repeated, scored"
    """A file that others may have sent before, and that was scored now (or failed)."""
    CACHED = "repeated, cached"
    """The same, answered from the cache."""
    DIGEST = "digest, cached"
    """Asked by digest with nothing sent, and answered from the cache (or failed)."""
    UNKNOWN_DIGEST = "digest, unknown"
    """Asked by digest and told to send the video. Not an answer about a video, so totals leave it out."""
    SENT_LATE = "sent late"
    """Not a request: how late a paced user sent one, because it was still waiting for an answer."""


REFUSED = " (refused)"
"""Ends the name of requests that the server turned away because it was full."""
