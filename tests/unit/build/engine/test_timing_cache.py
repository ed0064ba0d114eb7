"""The timing cache's file, with a builder's configuration that knows which caches fit its GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_build.engine.tensorrt_api import TensorRt
from wildgate_build.engine.timing_cache import attach_timing_cache, save_timing_cache
from wildgate_build.errors import EngineError


class Cache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> memoryview:
        return memoryview(self.content)


class Config:
    """Measures one more kernel with each build; takes caches of its own GPU and no other."""

    def __init__(self) -> None:
        self.cache: Cache | None = None

    def create_timing_cache(self, content: bytes) -> Cache | None:
        return None if content == b"garbage" else Cache(content or b"GPU A:")

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return ignore_mismatch or cache.content.startswith(b"GPU A:")

    def get_timing_cache(self) -> Cache:
        return self.cache

    def build(self) -> None:
        self.cache.content += b" kernel"


class Log:
    errors = ("made on another device",)
    warnings = ()


TENSORRT = TensorRt("tensorrt", None, Log())


def build_once(file: Path) -> None:
    config = Config()
    attach_timing_cache(file, config, TENSORRT)
    config.build()
    save_timing_cache(file, config)


def test_what_one_build_measured_the_next_one_starts_from(tmp_path: Path) -> None:
    file = tmp_path / "timings"
    build_once(file)
    build_once(file)
    assert file.read_bytes() == b"GPU A: kernel kernel"


@pytest.mark.parametrize("content", [b"GPU B: kernel", b"garbage"])
def test_a_cache_that_does_not_fit_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "timings"
    file.write_bytes(content)
    with pytest.raises(EngineError, match=f"--timing-cache {file}: cannot be used .* made on another device"):
        build_once(file)
    assert file.read_bytes() == content
