"""The rows that an evaluation leaves as Parquet, one a picture, repeat and slice, for any other cut later."""

import io
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from pyarrow import parquet

from faketagger.components.contract import files

# Null where a column means nothing (FMRR of `untagged`, PSNR of all but `plain`, p_value of a method that has none),
# NaN where a network's output was not finite; `finite` is false then.
ROW_SCHEMA = pyarrow.schema(
    [
        ("image_id", pyarrow.string()),
        ("repeat", pyarrow.int32()),
        ("slice", pyarrow.string()),
        ("kind", pyarrow.string()),
        ("simulator", pyarrow.string()),
        ("condition", pyarrow.string()),
        ("black_box", pyarrow.bool_()),
        ("message_ok", pyarrow.bool_()),
        ("bit_accuracy", pyarrow.float64()),
        ("tagged", pyarrow.bool_()),
        ("p_value", pyarrow.float64()),
        ("psnr", pyarrow.float64()),
        ("ssim", pyarrow.float64()),
        ("ms_ssim", pyarrow.float64()),
        ("lpips", pyarrow.float64()),
        ("strength_psnr", pyarrow.float64()),
        ("strength_ssim", pyarrow.float64()),
        ("finite", pyarrow.bool_()),
    ]
)
_PREFIX, _SUFFIX = "rows-", ".parquet"

Row = dict[str, Any]


def path_of(directory: str, part: str) -> str:
    """Where the rows of one part of the eval pictures belong."""
    return os.path.join(directory, f"{_PREFIX}{part}{_SUFFIX}")


class RowFile:
    """Writes rows to one Parquet file that is there only once it is whole, and not at all without rows.

    The compressed rows are kept in memory, some 40 bytes a row, until the end.

    Args:
      path: path_of's.
    """

    def __init__(self, path: str):
        self._path = path

    def __enter__(self) -> "RowFile":
        self._buffer = io.BytesIO()
        self._writer = parquet.ParquetWriter(self._buffer, ROW_SCHEMA)
        self._any = False
        return self

    def write(self, rows: Iterable[Row]) -> None:
        """Adds rows (dicts with ROW_SCHEMA's names)."""
        table = pyarrow.Table.from_pylist(list(rows), ROW_SCHEMA)
        self._writer.write_table(table)
        self._any = self._any or table.num_rows > 0

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()
        if kind is None and self._any:
            files.write_bytes(self._path, self._buffer.getvalue())


def from_columns(columns: dict[str, Any]) -> list[Row]:
    """Columns (one value a picture, or one for all; `image_id` is there) as rows of plain Python values."""
    found = []
    for index in range(len(columns["image_id"])):
        row = dict.fromkeys(ROW_SCHEMA.names)
        for name, values in columns.items():
            value = values[index] if isinstance(values, (list, np.ndarray)) else values
            row[name] = value.item() if isinstance(value, np.generic) else value
        found.append(row)
    return found


def paths(directory: str) -> list[str]:
    """The files of rows in an evaluation's directory, sorted."""
    return sorted(tf.io.gfile.glob(os.path.join(directory, f"{_PREFIX}*{_SUFFIX}")))


def read(directory: str, slice_name: str, columns: Iterable[str]) -> dict[str, np.ndarray]:
    """One slice's rows, by image id and repeat, as arrays by column; nulls of number columns become NaN.

    Raises:
      ValueError: two eval pictures have one image id.
    """
    wanted = list(dict.fromkeys(["image_id", "repeat", *columns]))
    tables = [ROW_SCHEMA.empty_table().select(wanted)]
    for path in paths(directory):
        with FileSystems.open(path) as file:
            tables.append(parquet.read_table(file, columns=wanted, filters=[("slice", "==", slice_name)]))
    table = pyarrow.concat_tables(tables).sort_by([("image_id", "ascending"), ("repeat", "ascending")])
    found = {name: table.column(name).to_numpy() for name in wanted}
    same = (found["image_id"][1:] == found["image_id"][:-1]) & (found["repeat"][1:] == found["repeat"][:-1])
    if np.any(same):
        twice = found["image_id"][1:][same][0]
        raise ValueError(f"two eval pictures have the id '{twice}': give example_gen other ids")
    return found
