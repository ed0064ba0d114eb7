from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from wildgate_server.allocator import ENVIRONMENT
from wildgate_server.triton.runtime import TritonStartError, find_libpython, find_triton_runtime

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_everything_it_finds_is_there() -> None:
    runtime = find_triton_runtime()
    assert os.access(runtime.server, os.X_OK)
    assert runtime.stub.is_file()
    assert VERSION in str(runtime.stub)
    assert all(directory.is_dir() for directory in runtime.library_directories)


def test_the_backend_directory_holds_python_alone(tmp_path: Path) -> None:
    find_triton_runtime().assemble_backends(tmp_path / "backends")
    assert [entry.name for entry in (tmp_path / "backends").iterdir()] == ["python"]
    parts = {part.name for part in (tmp_path / "backends" / "python").iterdir()}
    assert parts == {"libtriton_python.so", "triton_python_backend_utils.py", "triton_python_backend_stub"}


def test_the_environment_is_what_a_box_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("WILDGATE_CACHE__REDIS_URL", "canary")
    runtime = find_triton_runtime()
    environment = runtime.environment()
    assert environment["PATH"] == f"{Path(sys.executable).parent}:/bin"
    libraries = environment["LD_LIBRARY_PATH"].split(":")
    assert libraries == [*map(str, runtime.library_directories), "/somewhere"]
    monkeypatch.delenv("LD_LIBRARY_PATH")
    assert not runtime.environment()["LD_LIBRARY_PATH"].endswith(":"), "an empty entry means the working directory"
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment.items() > ENVIRONMENT.items()
    assert "canary" not in environment.values()


def test_a_missing_libpython_is_named_with_the_package_that_brings_it(tmp_path: Path) -> None:
    with pytest.raises(TritonStartError) as caught:
        find_libpython([tmp_path])
    assert str(caught.value) == (
        f"no embedded Triton: libpython{VERSION}.so.1.0 is missing, looked in {tmp_path}; "
        f"run `apt-get install libpython{VERSION}` (or use a Python built with --enable-shared)"
    )


def test_libpython_is_found_in_the_first_directory_that_has_it(tmp_path: Path) -> None:
    library = tmp_path / "second" / f"libpython{VERSION}.so.1.0"
    library.parent.mkdir()
    library.touch()
    assert find_libpython([tmp_path, library.parent, tmp_path]) == library
