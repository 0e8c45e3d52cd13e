"""The rows that an evaluation leaves as Parquet, one a picture, repeat and slice, for any other cut later."""

import io
import os
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from pyarrow import parquet

from faketagger.components.contract import files
from faketagger.components.evaluator.measure.slices import Slice

_PREFIX, _SUFFIX = "rows-", ".parquet"
_COLUMN_TYPES = {str: pyarrow.string(), int: pyarrow.int32(), bool: pyarrow.bool_(), float: pyarrow.float64()}


class Row(NamedTuple):
    """What was measured of one picture, tagged under one UID, in one slice.

    A field is None where it means nothing (`message_ok` of `untagged`, `psnr` of all but `plain`, `p_value` of a method
    that has none), and NaN where a network's output was not finite.

    Attributes:
      image_id, repeat: which picture, under which of its UIDs.
      slice, kind, simulator, condition, black_box: the slice, as slices.Slice says.
      finite: whether all that the networks made were finite numbers.
      message_ok: whether the whole message came back.
      bit_accuracy: of the raw codeword bits, 0…1.
      tagged: whether the reader said so.
      p_value: the reader's.
      psnr, ssim, ms_ssim, visibility, lpips: between the original and the tagged picture.
      change_psnr, change_ssim: between the original and what the slice makes of it, untagged: PSNR in dB, SSIM.
    """

    image_id: str
    repeat: int
    slice: str
    kind: str
    finite: bool
    simulator: str | None = None
    condition: str | None = None
    black_box: bool | None = None
    message_ok: bool | None = None
    bit_accuracy: float | None = None
    tagged: bool | None = None
    p_value: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    ms_ssim: float | None = None
    visibility: float | None = None
    lpips: float | None = None
    change_psnr: float | None = None
    change_ssim: float | None = None


def _schema() -> pyarrow.Schema:
    """Row's fields as Parquet's columns."""
    columns = []
    for name, hint in typing.get_type_hints(Row).items():
        (plain,) = [each for each in typing.get_args(hint) or (hint,) if each is not types.NoneType]
        columns.append((name, _COLUMN_TYPES[plain]))
    return pyarrow.schema(columns)


ROW_SCHEMA = _schema()


class ReadColumns(NamedTuple):
    """Row's fields that come of reading a batch of pictures, each [B], or None where they mean nothing."""

    finite: np.ndarray
    message_ok: np.ndarray | None
    bit_accuracy: np.ndarray | None
    tagged: np.ndarray | None
    p_value: np.ndarray | None


class ChangeColumns(NamedTuple):
    """Row's fields that say how much a slice changes pictures, each float64 [B], NaN where it made no numbers."""

    change_psnr: np.ndarray | None = None
    change_ssim: np.ndarray | None = None


class QualityColumns(NamedTuple):
    """Row's fields that say how much of a picture tagging keeps, each float64 [B], NaN where it was not finite."""

    psnr: np.ndarray | None = None
    ssim: np.ndarray | None = None
    ms_ssim: np.ndarray | None = None
    visibility: np.ndarray | None = None
    lpips: np.ndarray | None = None


NO_CHANGE, NO_QUALITY = ChangeColumns(), QualityColumns()


def of_batch(
    described: Slice,
    image_ids: Sequence[str],
    repeat: int,
    read: ReadColumns,
    change: ChangeColumns = NO_CHANGE,
    quality: QualityColumns = NO_QUALITY,
) -> list[Row]:
    """The rows of one batch of pictures in one slice."""
    columns: dict[str, list[Any]] = {}
    for name, values in (*read._asdict().items(), *change._asdict().items(), *quality._asdict().items()):
        columns[name] = [None] * len(image_ids) if values is None else values.tolist()
    return [
        Row(
            image_id=image_id,
            repeat=repeat,
            slice=described.name,
            kind=described.kind,
            simulator=described.simulator,
            condition=described.condition,
            black_box=described.black_box,
            **{name: values[index] for name, values in columns.items()},
        )
        for index, image_id in enumerate(image_ids)
    ]


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
        """Adds rows."""
        columns = list(zip(*rows))
        if columns:
            arrays = [pyarrow.array(values, kind) for values, kind in zip(columns, ROW_SCHEMA.types)]
            self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=ROW_SCHEMA))
            self._any = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._writer.close()
        if kind is None and self._any:
            files.write_bytes(self._path, self._buffer.getvalue())


def paths(directory: str) -> list[str]:
    """The files of rows in an evaluation's directory, sorted."""
    if not tf.io.gfile.isdir(directory):
        return []
    names = tf.io.gfile.listdir(directory)  # Not a pattern: a directory's name may hold what means more in one.
    return sorted(os.path.join(directory, it) for it in names if it.startswith(_PREFIX) and it.endswith(_SUFFIX))


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
