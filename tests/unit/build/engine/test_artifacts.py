"""An engine and its key on disk: whole, or as before."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from engine_detectors import key_of

from wildgate_build.engine.artifacts import write_engine
from wildgate_build.errors import OutputError
from wildgate_server.repository.engine_key import EngineKey

FIRST, SECOND = b"the first engine", b"the second engine"


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A pair that was written before."""
    file = tmp_path / "model.rtx"
    write_engine(file, FIRST, key_of(FIRST))
    return file


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_a_pair_replaces_the_one_before(engine: Path) -> None:
    write_engine(engine, SECOND, key_of(SECOND))
    assert engine.read_bytes() == SECOND
    assert EngineKey.read(engine) == key_of(SECOND)
    assert sorted(content(engine.parent)) == ["model.rtx", "model.rtx.json"]


@pytest.mark.parametrize(("most_bytes", "at_fault"), [(10, "model.rtx"), (100, "model.rtx.json")])
def test_what_cannot_be_written_whole_leaves_the_pair_as_it_was(engine: Path, most_bytes: int, at_fault: str) -> None:
    before = content(engine.parent)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))  # files may not grow larger
    try:
        with pytest.raises(OutputError, match=rf"{at_fault}: cannot be written: .*File too large"):
            write_engine(engine, SECOND, key_of(SECOND))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content(engine.parent) == before
