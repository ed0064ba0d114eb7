"""Opening a regular file below a directory, and nothing else, while others may change what lies there.

The kernel keeps the way to the file below the directory (openat2(2), RESOLVE_BENEATH, from Linux 5.6 on): there is no
check that a symbolic link could be swapped after. Where that call is not to be had, each step is opened by itself, and
no link is followed. The file is first found without being opened (O_PATH): opening a FIFO waits for a writer, and
opening a device may do something.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

__all__ = ["kept_beneath", "open_beneath", "walked_to"]

_OPENAT2 = 437  # the same on all architectures
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08  # linux/openat2.h
_ATTEMPTS = 8  # EAGAIN: something on the way was renamed meanwhile
_NOT_TO_BE_HAD = (errno.ENOSYS, errno.EPERM)  # old kernels, and old filters of system calls

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(directory: Path, relative: str, find: Callable[[int, str], int] | None = None) -> int:
    """A descriptor of the regular file at `relative`, to read from; found by `find`, by default as the kernel allows.

    Raises OSError: EXDEV where the way leads out of the directory, ENOENT where something else than a regular file is.
    """
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = (find or _found)(root, relative)
    finally:
        os.close(root)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a regular file")
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(found)


def _found(root: int, relative: str) -> int:
    try:
        return kept_beneath(root, relative)
    except OSError as error:
        if error.errno not in _NOT_TO_BE_HAD:
            raise
        return walked_to(root, relative)


def kept_beneath(root: int, relative: str) -> int:
    """An O_PATH descriptor of what is at `relative` below `root`. Raises OSError, ENOSYS where there is no openat2."""
    how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_ATTEMPTS):
        found: int = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(os.fsencode(relative)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if found >= 0:
            return found
        if (number := ctypes.get_errno()) != errno.EAGAIN:
            break
    raise OSError(number, os.strerror(number))


def walked_to(root: int, relative: str) -> int:
    """The same without openat2: step by step, and past no symbolic link."""
    *directories, name = relative.split("/")
    at = os.dup(root)
    try:
        for step in directories:
            _check_step(step)
            deeper = os.open(step, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = deeper
        _check_step(name)
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _check_step(step: str) -> None:
    if step == "..":
        raise OSError(errno.EXDEV, "the way leads up")
