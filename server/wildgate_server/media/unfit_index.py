"""The error that has a file read whole."""

from __future__ import annotations

__all__ = ["UnfitIndex"]


class UnfitIndex(Exception):
    """The index of a file cannot be relied on, or does not suffice. Never reaches a caller."""
