"""The file that holds a caller's token, read anew for each call so that it can be replaced."""

from __future__ import annotations

from pathlib import Path

__all__ = ["TokenUnreadable", "bearer"]


class TokenUnreadable(Exception):
    """The file with a token cannot be used; says why, without what it holds."""


def bearer(token_file: Path | None) -> tuple[tuple[str, str], ...]:
    """Metadata with the token that is in the file now; none without a file. Raises TokenUnreadable."""
    if token_file is None:
        return ()
    try:
        [token] = token_file.read_text("ascii").split()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "there must be one token in it"
        raise TokenUnreadable(f"{token_file}: {why}") from None
    return (("authorization", f"Bearer {token}"),)
