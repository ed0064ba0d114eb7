"""`python -m wildgate_perf.block_list`: measures a long list of blocks, and writes `blocks.json` (10 minutes)."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from wildgate_perf.block_list.fleet import followed
from wildgate_perf.block_list.hashes import searched
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS, write


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.block_list", description=__doc__)
    parser.add_argument("--hashes", type=int, nargs="*", default=[1_000_000, 10_000_000], help="in lists to search")
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the list that is shared")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    measured = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine_facts()}
    with TemporaryDirectory() as directory:
        fleet = asyncio.run(followed(Path(directory), options.entries))
    console.print_json(data=fleet)
    hashes = searched(options.hashes)
    console.print_json(data=hashes)
    write(options.results / "blocks.json", {**measured, "fleet": fleet, "hashes": hashes})
    return 0


if __name__ == "__main__":
    sys.exit(main())
