"""What can go wrong, and what the caller is told; the rest is as in `wildgate_server.errors`.

WildgateError
 └─ InvalidRequest        INVALID_ARGUMENT      INVALID_REQUEST

LexiconError              a lexicon is refused; whoever loads it keeps the one before
"""

from __future__ import annotations

from collections.abc import Sequence

from wildgate_server.errors import InvalidRequest, StartError, WildgateError

__all__ = ["InvalidRequest", "LexiconError", "StartError", "WildgateError"]


class LexiconError(ValueError):
    """A lexicon cannot be used. `faults` are lines of text, each with file, line and reason."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)
