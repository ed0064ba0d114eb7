"""Why a run cannot begin, or stops before its end.

BulkError
 ├─ ManifestUnusable     the input: not there, without its columns, or with an id twice
 └─ RunStopped           the run ended early; what it wrote is kept, and the same command goes on
"""

from __future__ import annotations

__all__ = ["BulkError", "ManifestUnusable", "RunStopped"]


class BulkError(Exception):
    """The text says what to change."""


class ManifestUnusable(BulkError):
    """The manifest cannot be scored as it is."""


class RunStopped(BulkError):
    """Not all videos were scored."""
