"""The input, as a run needs it: Parquet with the columns that count, each row known by an id that no other has."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset
import pyarrow.fs
import pyarrow.json

from wildgate_bulk.errors import ManifestUnusable

__all__ = ["FORMATS", "Columns", "copy_manifest", "located"]

FORMATS: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
"""By suffix; all else is Parquet, a folder of it for one."""


class Columns:
    """By what a row is known, and where its video is; without ids of their own, rows are known by the URI."""

    def __init__(self, id_column: str | None, uri_column: str) -> None:
        self.id, self.uri = id_column or uri_column, uri_column

    @property
    def all(self) -> list[str]:
        """Both, or the one that they are."""
        return list(dict.fromkeys((self.id, self.uri)))


def located(place: str) -> str:
    """A URI as it is, a path from the root: other machines are in other folders."""
    return place if "://" in place else str(Path(place).absolute())


def copy_manifest(manifest: str, form: str | None, columns: Columns, folder: str) -> int:
    """Copies `manifest` to `folder` as Parquet, all as text; returns the number of rows. Raises ManifestUnusable."""
    form = form or FORMATS.get(PurePosixPath(manifest).suffix.lower(), "parquet")
    try:
        found = pa.dataset.dataset(located(manifest), format=_format(form, columns))
        if missing := [name for name in columns.all if name not in found.schema.names]:
            raise ManifestUnusable(
                f"{manifest}: has no column {', '.join(missing)}; it has {', '.join(found.schema.names)}"
            )
        rows = found.to_table(columns=columns.all)
        text = pa.schema([(name, pa.string()) for name in columns.all])
        rows = rows.cast(text)
    except (OSError, pa.ArrowException) as error:
        raise ManifestUnusable(f"{manifest}: cannot be read as {form}: {error}") from error
    _check(manifest, rows, columns)
    filesystem, path = pa.fs.FileSystem.from_uri(located(folder))
    pa.dataset.write_dataset(
        rows,
        path,
        filesystem=filesystem,
        format="parquet",
        max_rows_per_file=1_000_000,
        max_rows_per_group=1_000_000,
        existing_data_behavior="delete_matching",
    )
    return int(rows.num_rows)


def _format(form: str, columns: Columns) -> pa.dataset.FileFormat:
    """Reads ids as they are written: 007 is not 7."""
    text = {name: pa.string() for name in columns.all}
    if form == "csv":
        return pa.dataset.CsvFileFormat(convert_options=pa.csv.ConvertOptions(column_types=text))
    if form == "jsonl":
        parsed = pa.json.ParseOptions(explicit_schema=pa.schema(list(text.items())), unexpected_field_behavior="ignore")
        return pa.dataset.JsonFileFormat(parse_options=parsed)
    return pa.dataset.ParquetFileFormat()


def _check(manifest: str, rows: pa.Table, columns: Columns) -> None:
    if not rows.num_rows:
        raise ManifestUnusable(f"{manifest}: has no rows")
    for name in columns.all:
        if missing := rows[name].null_count:
            raise ManifestUnusable(f"{manifest}: {missing} rows have no {name}")
    counted = pc.value_counts(rows[columns.id])
    repeated = counted.filter(pc.greater(counted.field("counts"), 1))
    if len(repeated):
        first = repeated[0].as_py()
        raise ManifestUnusable(
            f"{manifest}: {len(repeated)} values of {columns.id} are there more than once, "
            f"{first['values']!r} for one {first['counts']} times"
        )
