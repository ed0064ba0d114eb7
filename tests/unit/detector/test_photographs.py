"""Photographs from Qt's archives, and what a camera shows of them."""

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from wildgate_detector.photographs import ARCHIVES, FILLED, FRAME, LOOKS, Folders, film, harmless, looks, photographs
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


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Packages in small: in each archive a red owl and a red pig, and one green photograph of nature."""
    red, green = (np.full((40, 60, 3), colour, np.uint8) for colour in ((0, 0, 255), (0, 200, 0)))  # OpenCV's BGR
    coded = cv2.imencode(".webp", red)[1].tobytes()
    for name in ARCHIVES:
        (tmp_path / f"{name}.rcc").write_bytes(archive({"owl.webp": coded, "pig.webp": coded, "moo.ogg": b"-"}))
    (tmp_path / "explore_world_animals.rcc").write_bytes(b"not to be opened")
    cv2.imwrite(str(tmp_path / "meadow.jpg"), green)
    return Folders(tmp_path, tmp_path)


def test_photographs_are_read_from_the_archives_that_may_be_opened(stamps: Stamps, folders: Folders) -> None:
    found = list(photographs(stamps, folders))
    owls = [shown for shown in found if shown.name == "owl.webp"]
    assert {shown.label for shown in owls} == {"live_owl"}
    assert owls[0].picture[0, 0].tolist() == pytest.approx([255, 0, 0], abs=8)
    assert [shown.label for shown in found if shown.name == "pig.webp"] == [None] * len(owls)
    cutouts = sum(map(len, stamps.labelled.values())) + len(stamps.animals)
    assert len(found) == len(FILLED) * cutouts + 2 * len(owls) + 1


def test_cutouts_stand_before_nature(stamps: Stamps, folders: Folders) -> None:
    shown = next(photographs(stamps, folders)).picture
    assert shown.shape[:2] == FRAME
    assert ((shown[..., 1] > 150) & (shown[..., 0] < 60)).mean() > 0.2


def test_harmless_ones_show_no_label(folders: Folders) -> None:
    reds = [picture for picture in harmless(folders) if picture[0, 0, 0] > 200]
    assert 0 < len(reds) <= len(ARCHIVES)


def test_sets_kept_for_acceptance_are_not_among_the_archives() -> None:
    assert not {"erase", "explore_world_animals"} & set(ARCHIVES)


def test_a_missing_package_is_named(stamps: Stamps, folders: Folders, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    for missing, package in ((Folders(empty, folders.nature), "gcompris-qt-data"), (Folders(nature=empty), "mate-")):
        with pytest.raises(StampsMissingError, match=package):
            list(photographs(stamps, missing))


def test_looks_differ_and_stay_pictures() -> None:
    frames = looks(np.random.default_rng(1), np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    assert len(frames) == LOOKS
    assert all(frame.dtype == np.uint8 and frame.ndim == 3 for frame in frames)
    assert len({frame.tobytes() for frame in frames}) == LOOKS


def test_a_clip_shows_the_looks_at_a_picture(tmp_path: Path) -> None:
    assert film([np.full((30, 40, 3), 90, np.uint8)], tmp_path) == 1
    (clip,) = tmp_path.iterdir()
    with av.open(str(clip)) as container:
        assert sum(1 for _ in container.decode(video=0)) == LOOKS
