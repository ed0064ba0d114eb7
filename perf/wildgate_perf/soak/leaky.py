"""`python -m wildgate_perf.soak.leaky`: `wildgate serve` with a leak, which the soak has to find.

Each video that is scored leaves 256 KiB, a descriptor, and a file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

from wildgate_server.main import serve_command
from wildgate_server.pipeline import Answer, ScoringPipeline

_kept: list[tuple[bytes, int]] = []
_score_content = ScoringPipeline.score_content


async def _leaking(pipeline: ScoringPipeline, content: bytes, **terms: Any) -> Answer:
    descriptor, _ = tempfile.mkstemp()
    _kept.append((os.urandom(256 << 10), descriptor))
    return await _score_content(pipeline, content, **terms)


if __name__ == "__main__":
    ScoringPipeline.score_content = _leaking  # type: ignore[method-assign, assignment]
    sys.exit(serve_command(sys.argv[1:]))
