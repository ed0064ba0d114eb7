"""Results on disk: each whole, or as it was."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from wildgate_build.durable_files import check_writable, write_files
from wildgate_build.errors import OutputError


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Files may not grow larger, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize("large", ["a", "b"])
def test_a_full_disk_leaves_all_as_it_was(tmp_path: Path, large: str) -> None:
    files = {name: tmp_path / name for name in ("a", "b")}
    write_files(dict.fromkeys(files.values(), b"before"))
    with no_file_above(1000), pytest.raises(OutputError, match=rf"{large}: cannot be written: .*File too large"):
        write_files({file: bytes(2000 if name == large else 10) for name, file in files.items()})
    assert content(tmp_path) == {"a": b"before", "b": b"before"}


def test_what_lies_beside_is_nobodys_intermediate(tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"of the user")
    write_files({tmp_path / "a": b"new"})
    assert content(tmp_path) == {"a": b"new", "a.part": b"of the user"}


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    """Each of several threads writes a file of its own letter, over and over; whoever reads sees a whole one."""
    file = tmp_path / "a"
    write_files({file: b"a" * 4096})
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(write_files, {file: letter * 4096}) for letter in (b"b", b"c", b"d") * 20]
        while not all(run.done() for run in runs):
            seen = file.read_bytes()
            assert (len(seen), len(set(seen))) == (4096, 1)
    for run in runs:
        run.result()
    assert list(tmp_path.iterdir()) == [file]


def test_others_can_read_a_result(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_files({tmp_path / "a": b"1"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def link(file: Path, to: Path) -> Path:
    file.symlink_to(to)
    return file


@pytest.mark.parametrize(
    "same",
    [
        lambda read: read,
        lambda read: read.parent / ".." / read.parent.name / read.name,
        lambda read: link(read.with_name("link.onnx"), read),
        lambda read: link(read.parent / "folder", read.parent) / read.name,
    ],
)
def test_an_input_is_not_written_over(tmp_path: Path, same: Callable[[Path], Path]) -> None:
    read, other = tmp_path / "in.onnx", tmp_path / "labels.txt"
    read.write_bytes(b"read")
    with pytest.raises(OutputError, match=r"(in|link)\.onnx: is the file that is read"):
        check_writable(same(read), inputs=[other, read])


@pytest.mark.parametrize(
    ("place", "message"),
    [("none/x", "there is no folder"), ("folder", "is a folder"), ("file/x", "there is no folder")],
)
def test_places_that_cannot_be_written_leave_the_other_files_alone(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(OutputError, match=message):
        write_files({tmp_path / "file": b"new", tmp_path / place: b"new"})
    assert content(tmp_path) == {"file": b"before"}
