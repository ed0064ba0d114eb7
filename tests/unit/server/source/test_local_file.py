"""A local file that is read in parts while others may change it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wildgate_server.errors import FetchFailed, UriNotFound
from wildgate_server.source.byte_source import ByteRange
from wildgate_server.source.local_file import VideoFile


def test_parts_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 100)
    with VideoFile(file).opened(1 << 20) as source:
        assert source.size == 25_600
        assert bytes(source.read([ByteRange(256, 266)])[0]) == bytes(range(10))
        assert (source.read_bytes, source.read_requests) == (10, 1)


def test_a_file_that_is_cut_short_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(100_000))
    with VideoFile(file).opened(1 << 20) as source:
        file.write_bytes(b"short")
        with pytest.raises(FetchFailed, match="changed"):
            source.read([ByteRange(50_000, 60_000)])


def test_a_file_that_is_written_over_meanwhile(tmp_path: Path) -> None:
    """Of two files of one size, no byte of one is taken for the other's."""
    (tmp_path / "video").write_bytes(bytes(100_000))
    with VideoFile(tmp_path / "video").opened(1 << 20) as source:
        source.read([ByteRange(0, 10)])
        (tmp_path / "video").write_bytes(b"x" * 100_000)
        os.utime(tmp_path / "video", (1, 1))
        with pytest.raises(FetchFailed, match="changed"):
            source.read([ByteRange(50_000, 50_010)])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "video").touch(0)
    with pytest.raises(UriNotFound), VideoFile(tmp_path / "video").opened(1 << 20):
        pass
