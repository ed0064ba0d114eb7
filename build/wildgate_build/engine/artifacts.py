"""Writing an engine and its key: both whole, or neither.

The key holds the digest of its engine, so that a pair of which only one half is new, after an interruption, is
refused.
"""

from __future__ import annotations

from pathlib import Path

from wildgate_build.durable_files import write_files
from wildgate_server.repository.engine_key import EngineKey, key_path

__all__ = ["write_engine"]


def write_engine(file: Path, engine: bytes, key: EngineKey) -> None:
    """Writes the engine and its key beside it. Raises OutputError; the old pair is then unchanged."""
    text = key.model_dump_json(indent=2) + "\n"
    write_files({file: engine, key_path(file): text.encode()})
