from __future__ import annotations

import json
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow", reason="needs wildgate[bulk]")
import pyarrow.dataset as ds  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from wildgate_bulk.errors import ManifestUnusable  # noqa: E402
from wildgate_bulk.manifest import Columns, copy_manifest  # noqa: E402

ROWS = [{"video_id": f"{n:03}", "uri": f"file:///{n}.mp4", "more": n} for n in range(12)]
BY_ID = Columns("video_id", "uri")


def manifest(folder: Path, form: str, rows: list[dict[str, object]]) -> str:
    file = folder / f"archive.{form}"
    if form == "csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        file.write_text("\n".join(lines) + "\n")
    elif form == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    return str(file)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_ids_stay_as_they_are_written(tmp_path: Path, form: str) -> None:
    copy = tmp_path / "copy"
    assert copy_manifest(manifest(tmp_path, form, ROWS), None, BY_ID, str(copy)) == len(ROWS)
    rows = ds.dataset(copy).to_table().to_pylist()
    assert rows == [{"video_id": row["video_id"], "uri": row["uri"]} for row in ROWS]


def test_a_later_manifest_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    copy = str(tmp_path / "copy")
    for rows in (ROWS[:5], ROWS):
        copy_manifest(manifest(tmp_path, "csv", rows), None, BY_ID, copy)
    assert ds.dataset(copy).count_rows() == len(ROWS)


@pytest.mark.parametrize(
    ("form", "rows", "columns", "words"),
    [
        ("csv", [*ROWS, ROWS[3]], BY_ID, "1 values of video_id are there more than once, '003' for one 2 times"),
        ("csv", [*ROWS, {**ROWS[3], "video_id": "x"}], Columns(None, "uri"), "'file:///3.mp4' for one 2 times"),
        ("jsonl", [*ROWS, {"video_id": "x"}], BY_ID, "1 rows have no uri"),
        ("jsonl", [*ROWS, {"video_id": 12, "uri": "file:///12.mp4"}], BY_ID, "cannot be read as jsonl: .*string"),
        ("parquet", ROWS, Columns("id", "uri"), "has no column id; it has video_id, uri, more"),
        ("csv", ROWS[:1], Columns("id", "uri"), "has no column id; it has video_id, uri, more"),
    ],
)
def test_a_manifest_of_no_use_is_refused(
    tmp_path: Path, form: str, rows: list[dict[str, object]], columns: Columns, words: str
) -> None:
    with pytest.raises(ManifestUnusable, match=words):
        copy_manifest(manifest(tmp_path, form, rows), None, columns, str(tmp_path / "copy"))


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnusable, match=r"nothing\.csv"):
        copy_manifest(str(tmp_path / "nothing.csv"), None, BY_ID, str(tmp_path / "copy"))
