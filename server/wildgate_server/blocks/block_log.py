"""The list of blocks on disk: one file, appended to in checksummed batches and synced before anything is acknowledged.

    header   magic, 16 bytes that name the list
    batch    marker, length UINT32, BLAKE3 of the payload (8 bytes), BLAKE3 of these (4 bytes), payload: records
    record   length UINT32, BLAKE3 of the payload (8 bytes), payload: an encoded `BlockRecord`

Numbers are little-endian. What a crash leaves of the last batch was never acknowledged: it is cut off, kept beside, and
said. Damage with a whole batch behind it is no crash's, and refused. Compaction writes what still counts into a new
file, aside, then what was added meanwhile, and puts it in the place of the old one in one step: that is the snapshot,
and what is appended to it is the log.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import structlog
from blake3 import blake3
from google.protobuf.message import DecodeError

from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.errors import StartError

__all__ = ["BlockLog", "BlockLogError", "Compaction"]

_log = structlog.get_logger()

_MAGIC = b"wildgate blocks 1"
_ID_BYTES = 16
_HEADER_BYTES = len(_MAGIC) + _ID_BYTES
_MARKER = b"\xf1\xb7WB"
_BATCH = struct.Struct("<4sI8s4s")
_RECORD = struct.Struct("<I8s")
_MAX_BATCH_BYTES = (1 << 32) - 1
_COPIED_BYTES = 1 << 20  # in one batch, in compaction


class BlockLogError(StartError):
    """The list of blocks cannot be read or written: names file, place and what is wrong."""


class Compaction:
    """A new file in the making; `places` are those of the records in it, `until` the old file's end when it began."""

    def __init__(self, file: Path, places: list[int], end: int, until: int) -> None:
        self.file, self.places, self.end, self.until = file, places, end, until


class BlockLog:
    """The file `blocks.log` in a directory, held by one process at a time.

    One thread at a time writes; any may read, except while a compaction is finished. `list_id` names the list: a new
    file is a new one. Raises BlockLogError where it is held by another process, is damaged or cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "blocks.log"
        self._broken = False
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BlockLogError(f"blocks.directory: {directory} cannot be written: {error}") from error
        try:
            self._opened = self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> int:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BlockLogError(f"blocks.directory: {self._file.parent} is in use by another process") from None
        try:
            if not self._file.exists():
                self._put_in_place(self._started(secrets.token_bytes(_ID_BYTES), ".new"))
            opened = os.open(self._file, os.O_RDWR | os.O_CLOEXEC)
            header = os.pread(opened, _HEADER_BYTES, 0)
        except OSError as error:
            raise BlockLogError(f"{self._file} cannot be read or made: {error}") from error
        if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
            os.close(opened)
            raise BlockLogError(f"{self._file} is no list of blocks")
        self.list_id = header[len(_MAGIC) :].hex()
        self._end = _HEADER_BYTES
        return opened

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self._end

    def load(self) -> Iterator[tuple[int, pb.BlockRecord]]:
        """All records with their places, in order; to be read to its end before anything else.

        Raises BlockLogError where the file is damaged before its end.
        """
        size = os.fstat(self._opened).st_size
        while self._end < size:
            batch = self._batch_at(self._end)
            if batch is None:
                self._cut(size)
                return
            start, at = self._end + _BATCH.size, 0
            self._end = start + len(batch)
            while at < len(batch):
                length, _ = _RECORD.unpack_from(batch, at)
                record = batch[at + _RECORD.size : at + _RECORD.size + length]
                yield start + at, pb.BlockRecord.FromString(record)  # the batch's checksum vouches for it
                at += _RECORD.size + length

    def append(self, records: Iterable[pb.BlockRecord]) -> list[int]:
        """Adds records, and returns their places when they are on disk. Raises OSError, and then none is added."""
        if self._broken:
            raise OSError(f"{self._file}: a write failed and could not be taken back; nothing more is added to it")
        payload, places = _joined([record.SerializeToString() for record in records], self._end)
        try:
            self._write_at_end(_framed(payload))
        except OSError:
            # After a failed sync nobody knows what is on disk; what may be there must not be taken for added.
            self._broken = True
            os.ftruncate(self._opened, self._end)
            os.fsync(self._opened)
            self._broken = False
            raise
        self._end += _BATCH.size + len(payload)
        return places

    def read(self, place: int) -> pb.BlockRecord:
        """The record at a place. Raises BlockLogError where the disk no longer has it as it was."""
        length, checksum = _RECORD.unpack(os.pread(self._opened, _RECORD.size, place))
        payload = os.pread(self._opened, length, place + _RECORD.size)
        try:
            if blake3(payload).digest(8) == checksum:
                return pb.BlockRecord.FromString(payload)
        except DecodeError:
            pass
        raise BlockLogError(f"{self._file} is damaged at byte {place}")

    def begin_compaction(self, places: Sequence[int], until: int) -> Compaction:
        """Copies the records at these places into a new file: all that count of those before `until`, once the end.

        Records may be added meanwhile. Raises OSError.
        """
        try:
            return self._copied(self._started(bytes.fromhex(self.list_id), ".compact"), places, until)
        except OSError:
            self._file.with_suffix(".compact").unlink(missing_ok=True)  # its room is wanted for what is added
            raise

    def _copied(self, file: Path, places: Sequence[int], until: int) -> Compaction:
        copied, end = list[int](), _HEADER_BYTES
        batch: list[bytes] = []
        size = 0
        with file.open("ab") as written:
            for at, place in enumerate(places):
                batch.append(os.pread(self._opened, self._length_at(place), place + _RECORD.size))
                size += len(batch[-1])
                if size > _COPIED_BYTES or at + 1 == len(places):
                    payload, there = _joined(batch, end)
                    copied += there
                    end += written.write(_framed(payload))
                    batch, size = [], 0
            written.flush()
            os.fsync(written.fileno())
        return Compaction(file, copied, end, until)

    def finish_compaction(self, begun: Compaction) -> int:
        """Adds what was added meanwhile and takes the new file; how far these records' places moved. Raises OSError."""
        with begun.file.open("ab") as written:
            for place in range(begun.until, self._end, _COPIED_BYTES):
                written.write(os.pread(self._opened, min(_COPIED_BYTES, self._end - place), place))
            written.flush()
            os.fsync(written.fileno())
        self._put_in_place(begun.file)
        moved = begun.end - begun.until
        self._end += moved
        return moved

    def restart(self, list_id: str) -> None:
        """Begins anew, as an empty copy of another list; what was there is kept beside. Raises OSError."""
        if self._end > _HEADER_BYTES:
            os.replace(self._file, self._file.with_suffix(".old"))
        self._put_in_place(self._started(bytes.fromhex(list_id), ".new"))
        self.list_id, self._end = list_id, _HEADER_BYTES

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._opened)
        os.close(self._lock)

    def _started(self, list_id: bytes, suffix: str) -> Path:
        started = self._file.with_suffix(suffix)
        with started.open("wb") as file:
            file.write(_MAGIC + list_id)
            file.flush()
            os.fsync(file.fileno())
        return started

    def _put_in_place(self, file: Path) -> None:
        os.replace(file, self._file)
        directory = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)
        if hasattr(self, "_opened"):
            opened = os.open(self._file, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(opened, self._opened, inheritable=False)
            os.close(opened)

    def _write_at_end(self, data: bytes) -> None:
        view, place = memoryview(data), self._end
        while view:
            written = os.pwrite(self._opened, view, place)
            view, place = view[written:], place + written
        os.fdatasync(self._opened)

    def _length_at(self, place: int) -> int:
        length: int = _RECORD.unpack(os.pread(self._opened, _RECORD.size, place))[0]
        return length

    def _batch_at(self, place: int) -> bytes | None:
        """The payload of the batch; None where there is no whole one."""
        head = os.pread(self._opened, _BATCH.size, place)
        if len(head) < _BATCH.size:
            return None
        marker, length, checksum, seal = _BATCH.unpack(head)
        if marker != _MARKER or blake3(head[:-4]).digest(4) != seal:
            return None
        payload = os.pread(self._opened, length, place + _BATCH.size)
        return payload if len(payload) == length and blake3(payload).digest(8) == checksum else None

    def _cut(self, size: int) -> None:
        """Cuts off what a crash left of the last batch, and keeps it in a file beside."""
        rest = os.pread(self._opened, size - self._end, self._end)
        at = rest.find(_MARKER, 1)
        while at >= 0:
            if self._batch_at(self._end + at) is not None:
                raise BlockLogError(
                    f"{self._file} is damaged at byte {self._end}, and what follows is whole: no crash does that. "
                    "Restore it from a copy, or move it away and import its entries again"
                )
            at = rest.find(_MARKER, at + 1)
        beside = self._file.with_suffix(".cut")
        beside.write_bytes(rest)
        os.ftruncate(self._opened, self._end)
        os.fsync(self._opened)
        _log.warning("torn_batch_cut", file=str(self._file), at=self._end, cut_bytes=len(rest), kept_in=str(beside))


def _joined(encoded: Sequence[bytes], end: int) -> tuple[bytes, list[int]]:
    """The payload of a batch that is to lie at `end`, and the places of its records. Raises OSError past 4 GiB."""
    payload, places = bytearray(), []
    for record in encoded:
        places.append(end + _BATCH.size + len(payload))
        payload += _RECORD.pack(len(record), blake3(record).digest(8)) + record
    if len(payload) > _MAX_BATCH_BYTES:
        raise OSError("too much for one batch")
    return bytes(payload), places


def _framed(payload: bytes) -> bytes:
    head = _BATCH.pack(_MARKER, len(payload), blake3(payload).digest(8), b"")[:-4]
    return head + blake3(head).digest(4) + payload
