"""Tables of rows as Parquet files that are there whole or not at all."""

import io
from collections.abc import Iterable
from typing import Any

import pyarrow
from pyarrow import parquet

from faketagger.components.contract import files


def write(path: str, rows: Iterable[dict[str, Any]], schema: pyarrow.Schema) -> None:
    """Writes rows, which may lack columns: they are null there."""
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), buffer)
    files.write_bytes(path, buffer.getvalue())


def read(path: str) -> list[dict[str, Any]]:
    """The rows of a file, in their order."""
    return parquet.read_table(io.BytesIO(files.read_bytes(path))).to_pylist()


def join(path: str, parts: Iterable[str], schema: pyarrow.Schema) -> None:
    """Writes the rows of several files into one, in their order, a file at a time."""
    buffer = io.BytesIO()
    with parquet.ParquetWriter(buffer, schema) as writer:
        for part in parts:
            writer.write_table(parquet.read_table(io.BytesIO(files.read_bytes(part)), schema=schema))
    files.write_bytes(path, buffer.getvalue())


def text(value: str) -> str:
    r"""A name as a column of text holds it: bytes that are no UTF-8 as \xNN."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
