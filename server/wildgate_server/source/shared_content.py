"""What the gateway and a sampling worker share: a video's bytes in memory, and open files that are lent to the worker.

A video is written once, never sent through a pipe. The memory is a memfd, a file without a name: not in /dev/shm,
which containers give 64 MB, and gone with the last process that has it open or mapped. A worker inherits its
descriptor, and a hostile video may take it over: the memory is sealed against shrinking, as touching what is gone would
end the gateway too (SIGBUS).
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from wildgate_server.source.byte_source import ByteSource

__all__ = ["SharedContent", "SharedSlot", "lent_descriptor"]


@dataclass(frozen=True, slots=True)
class SharedContent:
    """Where the `size` bytes of a video lie, for a process that has inherited the slot.

    Valid until the slot is given the next video.
    """

    path: str
    size: int
    content_digest: str

    @contextmanager
    def opened(self, max_bytes: int) -> Iterator[ByteSource]:
        """The bytes, read-only, not copied.

        The memory stays mapped when the view is released, for the next video will lie in it, and mapping it anew
        would cost a page fault for every few pages. Raises VideoTooLarge past `max_bytes`, and OSError when the slot
        is gone or holds less than `size` bytes.
        """
        with memoryview(_mapped(self.path, self.size)) as memory, memory[: self.size] as content:
            yield ByteSource.of_content(content, max_bytes)


class SharedSlot:
    """Room for one video at a time, freed with the slot.

    It grows to its largest video and keeps its pages, which are costly to get; `trim` gives back what is past
    `kept_bytes`, in whole pages. `descriptors` are for readers to inherit, under their own numbers.
    """

    def __init__(self, kept_bytes: int = 16 << 20) -> None:
        self._kept_bytes = -(-kept_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.descriptor = os.memfd_create("wildgate-video", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        weakref.finalize(self, os.close, self.descriptor)
        self._lender, self._borrower = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self._lender, self._borrower):
            end.setblocking(False)
            weakref.finalize(self, end.close)
        self.descriptors = (self.descriptor, self._borrower.fileno())
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        self._memory = self._mapped(mmap.PAGESIZE)  # nothing can be mapped of an empty file

    def put(self, content: bytes, content_digest: str) -> SharedContent:
        """Replaces the video in the slot, which must not be read any more.

        May be called in a thread: it releases the interpreter lock while it copies. Raises OSError when there is no
        memory for it.
        """
        if len(content) > len(self._memory):
            self._resize(len(content))
        start = ctypes.c_char.from_buffer(self._memory)
        ctypes.memmove(ctypes.addressof(start), content, len(content))
        return SharedContent(f"/proc/self/fd/{self.descriptor}", len(content), content_digest)

    def lend(self, descriptor: int) -> int:
        """Lends an open file, in place of one that was lent before and not taken; returns where to find it.

        Raises OSError.
        """
        with suppress(BlockingIOError):
            while True:
                os.close(lent_descriptor(self._borrower.fileno()))
        socket.send_fds(self._lender, [b"."], [descriptor])
        return self._borrower.fileno()

    def trim(self) -> None:
        """Gives back the memory that only unusually large videos need; the slot must not be read any more."""
        if len(self._memory) > self._kept_bytes:
            self._memory.madvise(mmap.MADV_REMOVE, self._kept_bytes)  # the file stays as long, with a hole
            self._resize(self._kept_bytes)

    def _resize(self, size: int) -> None:
        before, self._memory = self._memory, self._mapped(size)
        before.close()

    def _mapped(self, size: int) -> mmap.mmap:
        """The file's first `size` bytes, mapped.

        Pages are allocated here: where there are none left, touching the mapping would end the process.
        """
        os.posix_fallocate(self.descriptor, 0, size)
        return mmap.mmap(self.descriptor, size)


def lent_descriptor(channel: int) -> int:
    """The descriptor of the file that is lent at `channel`. Raises BlockingIOError where there is none."""
    with socket.socket(fileno=os.dup(channel)) as borrower:
        _, descriptors, _, _ = socket.recv_fds(borrower, 1, 1, socket.MSG_CMSG_CLOEXEC)
    return descriptors[0]


_last_mapping: tuple[int, mmap.mmap] | None = None  # of the file with this inode number; a worker has one slot


def _mapped(path: str, size: int) -> mmap.mmap:
    """The file at `path`, mapped for at least `size` bytes; what lies past the file's end must not be touched."""
    global _last_mapping
    file = os.stat(path)
    if file.st_size < size:
        raise OSError(f"{path} holds {file.st_size} bytes, not {size}")
    if _last_mapping is None or _last_mapping[0] != file.st_ino or len(_last_mapping[1]) < size:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _last_mapping = file.st_ino, mmap.mmap(descriptor, file.st_size, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
    return _last_mapping[1]
