"""Pictures are written in one style."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import matplotlib

from wildgate_perf.pictures import picture


def test_a_picture_is_an_svg_with_its_words(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    with picture(tmp_path / "new", "curve", columns=2) as (left, right):
        left.plot([1, 2], [3, 4], label="measured")
        left.legend()
        right.set_title("Videos each second")
    svg = (tmp_path / "new" / "curve.svg").read_text()
    ElementTree.fromstring(svg)
    assert ">Videos each second<" in svg
    assert ">measured<" in svg
    assert dict(matplotlib.rcParams) == before  # other pictures of the process keep their style


def test_the_same_figures_give_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with picture(tmp_path / name, "same") as (axes,):
            axes.plot([1, 2], [3, 4])
    assert (tmp_path / "one" / "same.svg").read_text() == (tmp_path / "two" / "same.svg").read_text()


def test_nothing_is_written_when_drawing_fails(tmp_path: Path) -> None:
    try:
        with picture(tmp_path, "broken") as (axes,):
            axes.plot([1, 2], [3])
    except ValueError:
        pass
    assert list(tmp_path.iterdir()) == []
