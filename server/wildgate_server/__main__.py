"""`python -m wildgate_server`: what `wildgate serve` does, without the client's command."""

from __future__ import annotations

import sys

from wildgate_server.main import serve_command

if __name__ == "__main__":
    sys.exit(serve_command(sys.argv[1:]))
