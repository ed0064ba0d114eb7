"""Results on disk: each whole, or as it was."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wildgate_build.output_files import OutputError, check_writable, write_files


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


def test_two_runs_at_once_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run writes the same file while the first one waits for the disk."""
    waited = os.fsync
    runs = iter([lambda: write_files({tmp_path / "a": b"of the second run"})])

    def sync(descriptor: int) -> None:
        next(runs, lambda: None)()
        waited(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    write_files({tmp_path / "a": b"of the first run, which ends last"})
    assert content(tmp_path) == {"a": b"of the first run, which ends last"}


def test_the_folder_reaches_the_disk_after_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, bool]] = []

    def sync(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / "b").exists()))

    monkeypatch.setattr(os, "fsync", sync)
    write_files({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert synced == [(False, False), (False, False), (True, True)]


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


def test_an_input_that_is_not_there_is_known_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is the file that is read"):
        check_writable(tmp_path / "in.onnx", inputs=[tmp_path / "." / "in.onnx"])
    check_writable(tmp_path / "out.onnx", inputs=[tmp_path / "in.onnx"])
