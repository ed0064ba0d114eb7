"""Photographs from Qt's archives, and what a camera shows of them."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from wildgate_detector.photographs import ARCHIVES, LOOKS, Photograph, looks, photographs
from wildgate_detector.stamps import Stamps, StampsMissingError


def archive(files: dict[str, bytes]) -> bytes:
    """Qt resources, version 3, with every file in the folder resource/animals."""
    names, offsets = b"", {}
    for name in ("resource", "animals", *files):
        offsets[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    payload, entries = b"", [(0, 2, 1, 1), (offsets["resource"], 2, 1, 2), (offsets["animals"], 2, len(files), 3)]
    tree = b"".join(struct.pack(">IHIIQ", *entry, 0) for entry in entries)
    for name, content in files.items():
        tree += struct.pack(">IHIIQ", offsets[name], 0, 0, len(payload), 0)
        payload += struct.pack(">I", len(content)) + content
    start = 24
    head = struct.pack(">4sIIIII", b"qres", 3, start, start + len(tree), start + len(tree) + len(payload), 0)
    return head + tree + payload + names


def test_photographs_are_read_from_the_archives_that_may_be_opened(stamps: Stamps, tmp_path: Path) -> None:
    picture = np.full((40, 60, 3), (0, 0, 255), np.uint8)  # red, as OpenCV orders channels
    coded = cv2.imencode(".webp", picture)[1].tobytes()
    for name in ARCHIVES:
        (tmp_path / f"{name}.rcc").write_bytes(archive({"owl.webp": coded, "pig.webp": coded, "moo.ogg": b"-"}))
    (tmp_path / "explore_world_animals.rcc").write_bytes(b"not to be opened")
    found = list(photographs(stamps, tmp_path))
    at = sum(map(len, stamps.labelled.values()))
    assert [shown.label for shown in found[at : at + 2]] == [None, "live_owl"]
    assert found[at].picture[0, 0].tolist() == pytest.approx([255, 0, 0], abs=8)
    assert len(found) == at + 2 + len(stamps.animals)


def test_sets_kept_for_acceptance_are_not_among_the_archives() -> None:
    assert not {"erase", "explore_world_animals"} & set(ARCHIVES)


def test_a_missing_package_is_named(stamps: Stamps, tmp_path: Path) -> None:
    with pytest.raises(StampsMissingError, match="gcompris-qt-data"):
        list(photographs(stamps, tmp_path))


def test_looks_differ_and_stay_pictures() -> None:
    shown = Photograph(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8), None)
    frames = looks(np.random.default_rng(1), shown)
    assert len(frames) == LOOKS
    assert all(frame.dtype == np.uint8 and frame.ndim == 3 for frame in frames)
    assert len({frame.tobytes() for frame in frames}) == LOOKS
