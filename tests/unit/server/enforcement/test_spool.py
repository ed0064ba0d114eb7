"""The spool on a real disk, also under a process that is killed while it writes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wildgate_server.enforcement.spool import Spool, SpoolFailed
from wildgate_server.errors import StartError

WRITER = """
import sys, pathlib
from wildgate_server.enforcement.spool import Spool
spool = Spool(pathlib.Path(sys.argv[1]), max_items=10**6, max_bytes=1 << 30)
for number in range(10**6):
    spool.put(f"case {number}", b"%d " % number * 5000, number)
    print(number, flush=True)
"""


def opened(directory: Path, max_items: int = 100, max_bytes: int = 10_000) -> Spool:
    return Spool(directory, max_items=max_items, max_bytes=max_bytes)


def state(spool: Spool) -> tuple[int, int, int, int | None]:
    return spool.items, spool.size_bytes, spool.refused, spool.oldest_ms


def test_what_is_put_comes_back_oldest_first_until_it_is_settled(tmp_path: Path) -> None:
    spool = opened(tmp_path / "new")
    for number in range(4):
        spool.put(f"case {number}", bytes([number]) * 10, 1000 + number)
    first, second = spool.after(0, 2)
    assert (first.name, first.request) == ("case 0", b"\0" * 10)
    assert [kept.name for kept in spool.after(second.id, 9)] == ["case 2", "case 3"]
    spool.settle([first], [(second, "INVALID_ARGUMENT: no digest")])
    assert [kept.name for kept in spool.after(0, 9)] == ["case 2", "case 3"]
    assert state(spool) == (3, 30, 1, 1002)
    assert spool.waiting == 2


def test_it_is_as_it_was_when_it_is_opened_again_and_the_refused_wait_again(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for name in "ab":
        spool.put(name, b"request", 5)
    spool.settle([], [(spool.after(0, 1)[0], "refused")])
    spool.close()
    again = opened(tmp_path)
    assert state(again) == (2, 14, 0, 5)
    assert [kept.name for kept in again.after(0, 9)] == ["a", "b"]


def test_the_same_case_is_kept_once(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for now_ms in (1, 2):
        spool.put("case", b"request", now_ms)
    assert state(spool) == (1, 7, 0, 1)


@pytest.mark.parametrize("bounds", [{"max_items": 2}, {"max_bytes": 25}])
def test_a_full_one_takes_nothing_more_and_keeps_what_it_has(tmp_path: Path, bounds: dict[str, int]) -> None:
    spool = opened(tmp_path, **bounds)
    spool.put("a", b"r" * 10, 1)
    assert not spool.full
    spool.put("b", b"r" * 10, 2)
    with pytest.raises(SpoolFailed, match="full: 2 cases, 20 bytes"):
        spool.put("c", b"r" * 10, 3)
    spool.settle(spool.after(0, 1), [])
    spool.put("c", b"r" * 10, 3)
    assert [kept.name for kept in spool.after(0, 9)] == ["b", "c"]


def test_a_disk_that_refuses_is_an_error_of_its_own_and_changes_nothing(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.put("a", b"request", 1)
    spool.close()
    with pytest.raises(SpoolFailed, match="closed"):
        spool.put("b", b"request", 2)
    with pytest.raises(SpoolFailed):
        spool.after(0, 1)
    assert state(spool) == (1, 7, 0, 1)


def test_one_process_has_it(tmp_path: Path) -> None:
    held = opened(tmp_path)
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "StartError: enforcement.spool_directory" in failed.stderr
    assert "locked" in failed.stderr
    held.put("a", b"request", 1)


def test_a_file_that_is_no_spool_keeps_the_gateway_from_starting_and_stays(tmp_path: Path) -> None:
    (tmp_path / "cases.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StartError, match=r"enforcement\.spool_directory.*not a database"):
        opened(tmp_path)
    assert (tmp_path / "cases.sqlite").read_bytes() == b"no database" * 100


def test_killed_while_it_writes_it_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged = -1
    for wanted in (3, 20):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout
            for line in writer.stdout:
                acknowledged = max(acknowledged, int(line))
                if int(line) >= wanted:
                    writer.kill()
        assert writer.returncode == -signal.SIGKILL
    kept = Spool(tmp_path, max_items=10**6, max_bytes=1 << 30).after(0, 10**6)
    assert {f"case {number}" for number in range(acknowledged + 1)} <= {each.name for each in kept}
    assert all(each.request == b"%d " % int(each.name.removeprefix("case ")) * 5000 for each in kept)
