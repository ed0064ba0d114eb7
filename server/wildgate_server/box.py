"""The box of a process that reads hostile videos: what it is left with once it is in.

The standard library alone: sampling workers and Triton's guard import this, and little else.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["UNBOXED", "Box", "die_with_parent", "environment", "held", "landlock_abi"]

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000  # linux/sched.h
_INSTRUCTION_BYTES = 8
# linux/landlock.h; the numbers of the system calls are the same on all machines
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT, _LANDLOCK_VERSION, _BENEATH = 444, 445, 446, 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIRECTORY, _ALL_ABI_1, _TRUNCATE, _TRUNCATE_SINCE = 2, 4, 8, (1 << 13) - 1, 1 << 14, 3
_READ = _READ_FILE | _READ_DIRECTORY

# WILDGATE_MARK is an operator's own, to find all processes of one server by, and LOCAL_WILDGATE_MARK is perf's.
_VARIABLES = frozenset(
    {"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "WILDGATE_MARK", "LOCAL_WILDGATE_MARK"}
)
_VARIABLES_BEGIN = ("LC_", "MALLOC_")


@dataclass(frozen=True, slots=True)
class Box:
    """What a process gives up. `program` is a seccomp filter in BPF, empty for none; `user` is (user, group) numbers.

    `files` bounds the descriptors that it may have open, and `writes` whether it may write files at all. With `reads`
    it opens no files but below those paths, and reaches no other process's memory (Landlock).
    """

    program: bytes = b""
    network: bool = True
    user: tuple[int, int] | None = None
    files: int | None = None
    writes: bool = True
    reads: tuple[str, ...] | None = None

    def enter(self) -> None:
        """Puts this process, and those it will start, in the box, for good.

        What this machine does not allow is left out, and `held` shows it; but raises OSError where the user cannot be
        changed or the filter is refused, since both were asked for.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))
        if not self.writes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        if not self.network and libc.unshare(_CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        self.change_user()
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if self.reads is not None:
            _read_only(libc, self.reads)
        if self.program:
            program = ctypes.create_string_buffer(self.program, len(self.program))
            filtered = _Program(len(self.program) // _INSTRUCTION_BYTES, ctypes.addressof(program))
            if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filtered)) != 0:
                raise OSError(ctypes.get_errno(), "the seccomp filter was refused")

    def change_user(self) -> None:
        """Makes this process that of the user. Raises OSError."""
        if self.user:
            user, group = self.user
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)


UNBOXED = Box()


class _Program(ctypes.Structure):
    _fields_ = (("instructions", ctypes.c_ushort), ("first", ctypes.c_void_p))


def die_with_parent(number: int) -> None:
    """Has this process get the signal when the one that started it ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def landlock_abi() -> int:
    """Which of Landlock's interfaces the kernel has; -1 for none."""
    return int(ctypes.CDLL(None).syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int))


def _read_only(libc: ctypes.CDLL, paths: tuple[str, ...]) -> bool:
    """Leaves of the file system only what can be read below these paths (landlock(7)); whether the kernel does that."""
    abi = landlock_abi()
    if abi < 1:
        return False
    handled = ctypes.c_uint64(_ALL_ABI_1 | (_TRUNCATE if abi >= _TRUNCATE_SINCE else 0))
    rules = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    for path, allowed in (*((path, _READ) for path in paths), (os.devnull, _READ_FILE | _WRITE_FILE)):
        with suppress(OSError):  # there is none
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = _PathBeneath(allowed if os.path.isdir(path) else allowed & ~_READ_DIRECTORY, parent)
            libc.syscall(_LANDLOCK_ADD, rules, _BENEATH, ctypes.byref(rule), 0)
            os.close(parent)
    done: bool = libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(rules)
    return done


def environment(whole: Mapping[str, str], *more: str) -> dict[str, str]:
    """The part of an environment that goes into a box; `more` are how other names that do may begin.

    None of the gateway's own settings, which may hold passwords.
    """
    begin = (*_VARIABLES_BEGIN, *more)
    return {name: value for name, value in whole.items() if name in _VARIABLES or name.startswith(begin)}


def held(pid: int) -> dict[str, bool]:
    """What holds of the box of a process, as the kernel tells; nothing where that cannot be asked."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        return {
            "no_new_privs": status["NoNewPrivs"] == "1",
            "seccomp": status["Seccomp"] == "2",
            "no_network": os.stat(f"/proc/{pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino,
            "own_user": int(status["Uid"].split()[1]) != os.geteuid(),
        }
    except (OSError, KeyError):
        return {}
