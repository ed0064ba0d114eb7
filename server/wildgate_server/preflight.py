"""Says what this machine lacks to run wildgate, and the command that brings it; standard library only.

Run before anything is installed: `PYTHONPATH=server python3 -m wildgate_server.preflight`.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterator

from wildgate_server.triton.runtime import TritonStartError, find_libpython

__all__ = ["main", "problems"]

_PYTHONS = ((3, 11), (3, 12))


def problems() -> Iterator[str]:
    """What is missing, one line each, with the command that installs it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info[:2] not in _PYTHONS:
        yield (
            f"Python {version} at {sys.executable}: wildgate needs 3.11 or 3.12 "
            "(`apt-get install python3.11 python3.11-venv libpython3.11`, then `make PYTHON=python3.11 ...`)"
        )
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        yield f"{platform.system()} {platform.machine()}: the embedded Triton runs on Linux x86_64 only"
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        yield f"no virtual environments: `apt-get install python{version}-venv`"
    try:
        find_libpython()
    except TritonStartError as missing:
        yield str(missing)


def main() -> int:
    """Prints what is missing; the exit status is 1 when anything is."""
    found = list(problems())
    for problem in found:
        print(f"preflight: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
