"""Bytes shared between two processes, and the memory that this takes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from wildgate_server.source.shared_content import SharedContent, SharedSlot, lent_descriptor

MB = 1 << 20
DIGEST = "blake3:00"
READER = """
import hashlib, os, pickle, sys
for line in sys.stdin:
    with pickle.loads(bytes.fromhex(line)).opened(1 << 30) as source:
        print(hashlib.sha256(source.content).hexdigest(), source.size, flush=True)
"""


def read(content: SharedContent) -> bytes:
    with content.opened(1 << 30) as source:
        return bytes(source.content)


def memory_of(content: SharedContent) -> int:
    """Bytes that the slot takes."""
    return os.stat(content.path).st_blocks * 512


def test_another_process_reads_what_was_put_in_whatever_the_order_of_sizes() -> None:
    slot = SharedSlot(kept_bytes=MB)
    with subprocess.Popen(
        [sys.executable, "-c", READER],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        pass_fds=[slot.descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for size in (10, 3 * MB, 5000, 1, 2 * MB, 4 * MB, 0, MB):
            content = os.urandom(size)
            print(pickle.dumps(slot.put(content, DIGEST)).hex(), file=reader.stdin, flush=True)
            assert reader.stdout.readline().split() == [hashlib.sha256(content).hexdigest(), str(size)]
            slot.trim()


def test_nothing_is_copied_and_nothing_can_be_changed() -> None:
    slot = SharedSlot()
    with slot.put(b"first", DIGEST).opened(5) as source:
        assert source.content.readonly
        slot.put(b"other", DIGEST)
        assert source.content == b"other", "the very memory"


def test_the_digest_goes_along() -> None:
    slot = SharedSlot()
    assert pickle.loads(pickle.dumps(slot.put(b"video", "blake3:00"))).content_digest == "blake3:00"


def test_memory_is_kept_for_usual_videos_and_given_back_after_unusual_ones() -> None:
    slot = SharedSlot(kept_bytes=MB)
    content = slot.put(bytes(3 * MB), DIGEST)
    assert memory_of(content) == 3 * MB
    slot.trim()
    assert memory_of(content) == MB
    slot.put(bytes(10), DIGEST)
    slot.trim()
    assert memory_of(content) == MB, "kept, to be used again"


def test_a_slot_that_is_gone_gives_its_memory_back() -> None:
    slot = SharedSlot()
    content = slot.put(b"video", DIGEST)
    del slot
    with pytest.raises(OSError, match="No such file"):
        read(content)


def test_slots_do_not_mix() -> None:
    """Not even where one has the descriptor that another had before."""
    slot = SharedSlot()
    first = slot.put(b"the first", DIGEST)
    assert read(first) == b"the first"
    del slot
    slot = SharedSlot()
    second = slot.put(b"the other", DIGEST)
    assert second.path == first.path, "or the test shows nothing"
    assert read(second) == b"the other"


def test_a_slot_that_holds_less_than_it_should_is_not_read() -> None:
    slot = SharedSlot()
    content = replace(slot.put(bytes(10_000), DIGEST), size=10_001)
    with pytest.raises(OSError, match="holds 10000 bytes, not 10001"):
        read(content)


def test_nobody_can_cut_off_what_others_have_mapped() -> None:
    """Touching what is no longer there would end the process; a reader may come to obey a hostile video."""
    slot = SharedSlot()
    content = slot.put(b"video", DIGEST)
    with pytest.raises(PermissionError):
        os.truncate(content.path, 0)
    with pytest.raises(PermissionError):
        os.ftruncate(slot.descriptor, 0)
    with pytest.raises(PermissionError):
        fcntl.fcntl(slot.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    assert read(slot.put(bytes(MB), DIGEST)) == bytes(MB), "it still grows"


def test_the_memory_lies_nowhere() -> None:
    """/dev/shm is 64 MB in containers."""
    slot = SharedSlot()
    target = Path(slot.put(b"video", DIGEST).path).readlink()
    assert str(target).startswith("/memfd:wildgate")


def test_an_open_file_is_lent_once_and_an_earlier_one_not_taken_for_it(tmp_path: Path) -> None:
    slot = SharedSlot()
    for name in ("one", "other"):
        (tmp_path / name).write_text(name)
        with (tmp_path / name).open() as file:
            channel = slot.lend(file.fileno())
    with os.fdopen(lent_descriptor(channel)) as file:
        assert file.read() == "other"
    with pytest.raises(BlockingIOError):
        lent_descriptor(channel)
