"""Files below a directory, opened while somebody else swaps what lies there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wildgate_server.source.beneath import kept_beneath, open_beneath, walked_to

Find = Callable[[int, str], int]
LED_OUT = {errno.EXDEV, errno.ELOOP, errno.ENOTDIR}
BOTH = pytest.mark.parametrize("find", [kept_beneath, walked_to])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "video").write_bytes(b"video")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "video").write_bytes(b"secret")
    return root


def content(root: Path, relative: str, find: Find) -> bytes:
    with os.fdopen(open_beneath(root, relative, find), "rb") as file:
        return file.read()


@BOTH
def test_a_file_is_opened_and_nothing_else_is(root: Path, find: Find) -> None:
    os.mkfifo(root / "pipe")
    assert content(root, "sub/video", find) == b"video"
    for other in ("sub", "pipe", "none", "sub/video/x"):  # the pipe has no writer: opening it would wait for ever
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            content(root, other, find)


@BOTH
@pytest.mark.parametrize(
    "way", ["../outside/video", "sub/../../outside/video", "up/outside/video", "away", "dir/video"]
)
def test_no_way_leads_out(root: Path, find: Find, way: str) -> None:
    (root / "up").symlink_to("..")
    (root / "away").symlink_to("../outside/video")
    (root / "dir").symlink_to(root.parent / "outside")
    with pytest.raises(OSError, match=r"cross-device|leads up|symbolic links|[Nn]ot a (directory|regular file)"):
        content(root, way, find)


def test_of_a_proc_that_is_a_root_no_magic_link_is_followed(root: Path) -> None:
    with open(root / "sub" / "video") as held, pytest.raises(OSError, match="symbolic links"):
        content(Path("/proc/self/fd"), str(held.fileno()), kept_beneath)


_SWAP = """
import os, sys
os.chdir(sys.argv[1])
while True:
    for before, after in (("sub", "kept"), ("link", "sub"), ("sub", "link"), ("kept", "sub")):
        os.rename(before, after)
"""


@BOTH
def test_a_link_that_is_swapped_meanwhile_leads_nowhere_else(root: Path, find: Find) -> None:
    """In place of `sub` there is, by turns, a directory and a link out: at every moment one of the two is opened."""
    (root / "link").symlink_to("../outside")
    outcomes = set()
    swapper = subprocess.Popen([sys.executable, "-c", _SWAP, str(root)])
    try:
        for number in range(200_000):
            try:
                outcomes.add(content(root, "sub/video", find))
            except OSError as error:
                outcomes.add(error.errno)
            if number > 2000 and b"video" in outcomes and outcomes & LED_OUT:
                break
    finally:
        swapper.kill()
        swapper.wait()
    assert b"video" in outcomes
    assert b"secret" not in outcomes
    assert outcomes & LED_OUT, "it was met while it led out"
