"""What is raised where a file's index does not do."""

from __future__ import annotations

__all__ = ["UnfitIndex"]


class UnfitIndex(Exception):
    """What an index says cannot be relied on; the file has to be read whole to know. Never reaches a caller."""
