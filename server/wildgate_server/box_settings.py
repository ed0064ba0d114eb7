"""What processes that read hostile videos are to give up, and the filters of system calls that libseccomp makes."""

from __future__ import annotations

import errno
import os
import pwd
import socket
import sys
import tempfile
from functools import cache
from itertools import product

from pydantic import Field

from wildgate_server.box import Box
from wildgate_server.config_section import ConfigSection
from wildgate_server.errors import SettingsConflict

__all__ = ["BoxSettings", "triton_box", "worker_box"]

# For what no video needs: other processes, the kernel's own interfaces, changes of the machine, rights, clocks, keys.
_NEVER = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd", "userfaultfd"),
    *("bpf", "perf_event_open", "io_uring_setup", "io_uring_enter", "io_uring_register", "lookup_dcookie", "syslog"),
    *("add_key", "request_key", "keyctl", "init_module", "finit_module", "delete_module", "kexec_load"),
    *("kexec_file_load", "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig"),
    *("fsmount", "fspick", "mount_setattr", "unshare", "setns", "swapon", "swapoff", "reboot", "acct", "quotactl"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm"),
    *("modify_ldt", "vhangup", "personality", "mknod", "mknodat", "open_by_handle_at", "name_to_handle_at"),
    *("fanotify_init", "move_pages", "migrate_pages", "nfsservctl", "uselib", "ustat", "sysfs"),
)
# Besides, for a worker: programs, other processes, and what it could change on the disk.
_NEVER_IN_WORKERS = (
    *("execve", "execveat", "fork", "vfork", "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
    *("pidfd_open", "pidfd_send_signal", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat"),
    *("symlink", "symlinkat", "mkdir", "mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "chown", "fchown"),
    *("fchownat", "lchown", "truncate", "setxattr", "lsetxattr", "fsetxattr", "shmget", "msgget", "semget"),
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset"),
)
_NEVER_WITHOUT_NETWORK = ("socket", "connect", "bind", "listen", "accept", "accept4")
_CLONE_THREAD, _MSG_FASTOPEN, _SOCKET_TYPE = 0x10000, 0x20000000, 0xF
_DATAGRAMS = (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_RDM, socket.SOCK_SEQPACKET)
_READER_FILES, _FETCHER_FILES = 128, 512


class BoxSettings(ConfigSection):
    """The boxes of sampling workers and of an embedded Triton."""

    user: str | None = None
    """A user whose rights they are left with, where root starts the gateway; it must be able to read the installation
    and the models."""
    seccomp: bool = True
    """Filter their system calls, where there is a libseccomp."""
    videos_per_worker: int = Field(500, ge=1)
    """A worker is replaced after so many videos; a new one takes 0.2 s of processor time."""


def worker_box(settings: BoxSettings, *, fetches: bool) -> Box:
    """The box of a sampling worker, with a network if it `fetches`. Raises SettingsConflict."""
    return Box(
        program=_worker_program(fetches=fetches) if settings.seccomp else b"",
        network=fetches,
        user=_numbers(settings.user),
        files=_FETCHER_FILES if fetches else _READER_FILES,
        writes=False,
        reads=_readable(fetches=fetches),
    )


def triton_box(settings: BoxSettings, *, connects: bool) -> Box:
    """The box of an embedded Triton, which `connects` to nothing but for a GPU's sake. Raises SettingsConflict."""
    return Box(program=_triton_program(connects=connects) if settings.seccomp else b"", user=_numbers(settings.user))


def _readable(*, fetches: bool) -> tuple[str, ...]:
    """Where a worker's program lies, and for one that fetches, where credentials may."""
    program = {*map(os.path.abspath, sys.path), sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/proc/self"}
    if not fetches:
        return tuple(sorted(program))
    named = {value for name, value in os.environ.items() if name.startswith(("AWS_", "GOOGLE_", "SSL_CERT_"))}
    files = {value for value in named if os.path.isabs(value)}
    return tuple(sorted(program | files | {"/etc", "/run", *map(os.path.expanduser, ("~/.aws", "~/.config/gcloud"))}))


def _numbers(user: str | None) -> tuple[int, int] | None:
    if user is None:
        return None
    if os.geteuid() != 0:
        raise SettingsConflict(f"box.user is {user}, and only root can start processes of another user")
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise SettingsConflict(f"box.user: there is no user {user}") from None
    return found.pw_uid, found.pw_gid


@cache
def _worker_program(*, fetches: bool) -> bytes:
    return _program((*_NEVER, *_NEVER_IN_WORKERS, *(() if fetches else _NEVER_WITHOUT_NETWORK)), threads_alone=True)


@cache
def _triton_program(*, connects: bool) -> bytes:
    return _program(_NEVER, accepts_alone=not connects)


def _program(never: tuple[str, ...], *, threads_alone: bool = False, accepts_alone: bool = False) -> bytes:
    """A filter by which these calls fail with EPERM; empty without a libseccomp."""
    try:
        import pyseccomp as seccomp
    except (ImportError, RuntimeError, OSError):
        return b""
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    refused = seccomp.ERRNO(errno.EPERM)
    for call in never:
        try:
            rules.add_rule(refused, call)
        except OSError:  # there is none of this name here
            continue
    if threads_alone:
        rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # whose flags lie in memory; glibc then takes clone
        rules.add_rule(refused, "prlimit64", seccomp.Arg(0, seccomp.NE, 0))  # another's
        rules.add_rule(refused, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, 0))
    if accepts_alone:
        rules.add_rule(refused, "connect")
        for family, kind in product((socket.AF_INET, socket.AF_INET6), _DATAGRAMS):
            by_family = seccomp.Arg(0, seccomp.EQ, family)
            rules.add_rule(refused, "socket", by_family, seccomp.Arg(1, seccomp.MASKED_EQ, _SOCKET_TYPE, kind))
        rules.add_rule(refused, "socket", seccomp.Arg(0, seccomp.GT, socket.AF_INET6))
        for call, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
            rules.add_rule(refused, call, seccomp.Arg(flags, seccomp.MASKED_EQ, _MSG_FASTOPEN, _MSG_FASTOPEN))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
