"""A local file that is read in parts while others may change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_server.errors import FetchFailed
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
        with pytest.raises(FetchFailed, match="cut short"):
            source.read([ByteRange(50_000, 60_000)])
