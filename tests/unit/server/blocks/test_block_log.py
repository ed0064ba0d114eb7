"""The list of blocks on disk, and what crashes and damage do to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.blocks.block_log import BlockLog, BlockLogError


def record(position: int, text: str = "") -> pb.BlockRecord:
    return pb.BlockRecord(position=position, put=pb.Block(id=f"b{position}", reason=text))


def written(directory: Path, *batches: list[pb.BlockRecord]) -> list[int]:
    """The log with these batches; the file's size after each."""
    log = BlockLog(directory)
    list(log.load())
    sizes = []
    for batch in batches:
        log.append(batch)
        sizes.append(log.size_bytes)
    log.close()
    return sizes


def positions(directory: Path) -> list[int]:
    log = BlockLog(directory)
    try:
        return [each.position for _, each in log.load()]
    finally:
        log.close()


def test_what_was_added_is_there_and_each_record_lies_where_it_was_said(tmp_path: Path) -> None:
    log = BlockLog(tmp_path)
    assert not list(log.load())
    places = [*log.append([record(1), record(2)]), *log.append([record(3, "x" * 5000)])]
    assert [log.read(place).position for place in places] == [1, 2, 3]
    log.close()
    again = BlockLog(tmp_path)
    assert [place for place, _ in again.load()] == places
    assert again.list_id == log.list_id
    again.close()


def test_cut_at_any_byte_it_has_the_batches_that_are_whole_and_goes_on(tmp_path: Path) -> None:
    sizes = written(tmp_path, [record(1)], [record(2), record(3)], [record(4, "long")])
    whole = (tmp_path / "blocks.log").read_bytes()
    held = dict(zip(sizes, (1, 3, 4), strict=True))
    header = len(whole) - sizes[-1] + len(b"wildgate blocks 1") + 16
    for cut in range(header, len(whole) + 1):
        (tmp_path / "blocks.log").write_bytes(whole[:cut])
        expected = max([count for size, count in held.items() if size <= cut], default=0)
        assert positions(tmp_path) == list(range(1, expected + 1)), cut
        if cut % 20 == 0:
            written(tmp_path, [record(9)])
            assert positions(tmp_path) == [*range(1, expected + 1), 9], cut


def test_what_is_cut_off_is_kept_beside(tmp_path: Path) -> None:
    [size] = written(tmp_path, [record(1)])
    with (tmp_path / "blocks.log").open("ab") as file:
        file.write(b"torn")
    assert positions(tmp_path) == [1]
    assert (tmp_path / "blocks.cut").read_bytes() == b"torn"
    assert (tmp_path / "blocks.log").stat().st_size == size


def test_any_changed_byte_before_the_last_batch_is_refused(tmp_path: Path) -> None:
    first, _, _ = written(tmp_path, [record(1), record(2)], [record(3)], [record(4)])
    whole = (tmp_path / "blocks.log").read_bytes()
    for at in range(33, first):
        (tmp_path / "blocks.log").write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(BlockLogError, match="damaged at byte 33"):
            positions(tmp_path)
    (tmp_path / "blocks.log").write_bytes(b"something else" * 10)
    with pytest.raises(BlockLogError, match="no list of blocks"):
        positions(tmp_path)


def test_a_second_process_is_told_that_the_list_is_in_use(tmp_path: Path) -> None:
    log = BlockLog(tmp_path)
    with pytest.raises(BlockLogError, match="in use by another process"):
        BlockLog(tmp_path)
    log.close()
    BlockLog(tmp_path).close()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BlockLogError, match=f"{tmp_path}/file/list"):
        BlockLog(tmp_path / "file" / "list")


def test_compaction_keeps_what_it_is_told_to_and_what_came_meanwhile(tmp_path: Path) -> None:
    log = BlockLog(tmp_path)
    list(log.load())
    places = log.append([record(number, "x" * 1000) for number in range(1, 2001)])
    begun = log.begin_compaction(places[1::2], log.size_bytes)
    meanwhile = log.append([record(3000)])
    moved = log.finish_compaction(begun)
    assert [log.read(place).position for place in begun.places] == list(range(2, 2001, 2))
    assert log.read(meanwhile[0] + moved).position == 3000
    after = log.append([record(3001)])
    assert log.read(after[0]).position == 3001
    log.close()
    assert positions(tmp_path) == [*range(2, 2001, 2), 3000, 3001]


def test_a_compaction_that_was_killed_changes_nothing(tmp_path: Path) -> None:
    log = BlockLog(tmp_path)
    list(log.load())
    places = log.append([record(1), record(2)])
    log.begin_compaction(places[:1], log.size_bytes)
    log.close()
    assert positions(tmp_path) == [1, 2]


def test_a_compaction_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = BlockLog(tmp_path)
    places = log.append([record(1), record(2)])

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        log.begin_compaction(places, log.size_bytes)
    assert not [*tmp_path.glob("*.compact")]
    log.close()


def test_becoming_another_list_keeps_the_old_one_beside(tmp_path: Path) -> None:
    written(tmp_path, [record(1)])
    log = BlockLog(tmp_path)
    list(log.load())
    log.restart("ab" * 16)
    log.append([record(7)])
    log.close()
    assert positions(tmp_path) == [7]
    (tmp_path / "blocks.old").rename(tmp_path / "blocks.log")
    assert positions(tmp_path) == [1]


WRITER = """
import sys
from pathlib import Path
from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.blocks.block_log import BlockLog
log = BlockLog(Path(sys.argv[1]))
position = max([record.position for _, record in log.load()], default=0)
while True:
    batch = range(position + 1, position + 1 + position % 40 + 1)
    log.append([pb.BlockRecord(position=each, put=pb.Block(id=str(each), reason="r" * 200)) for each in batch])
    position = batch[-1]
    print(position, flush=True)
"""


def test_killed_at_any_moment_it_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    for kill_after in range(1, 60, 12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "server:proto"},
            text=True,
        ) as writer:
            assert writer.stdout
            for _ in range(kill_after):
                acknowledged = int(writer.stdout.readline())
            writer.kill()
            acknowledged = max([acknowledged, *map(int, writer.stdout.read().split("\n")[:-1])])
        there = positions(tmp_path)
        assert there == list(range(1, len(there) + 1))
        assert len(there) >= acknowledged
