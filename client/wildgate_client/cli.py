"""The entry point of the `wildgate` command.

The command's libraries come with the extra `wildgate-client[cli]`. This module needs none of them, so that it can name
the one that is missing.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the `wildgate` command; exits 2 if the libraries it needs are not installed."""
    try:
        from wildgate_client.commands import app
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("wildgate"):
            raise  # a broken installation, not a missing extra
        print(
            f"wildgate: the command needs {missing.name}; install it with: pip install 'wildgate-client[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    app(prog_name="wildgate")


if __name__ == "__main__":
    main()
