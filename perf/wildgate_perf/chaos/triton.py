"""`python -m wildgate_perf.chaos.triton REPOSITORY FOLDER`: a Triton until stdin ends; says where, and its metrics."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from wildgate_perf.server_parts import BackendSettings, EmbeddedTriton


async def _run(repository: Path, folder: Path) -> None:
    async with EmbeddedTriton(BackendSettings(model_repository=repository, log_dir=folder, instances=1)) as triton:
        print(triton.endpoints.grpc, triton.endpoints.metrics, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), Path(sys.argv[2])))
