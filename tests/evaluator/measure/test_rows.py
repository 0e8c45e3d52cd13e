"""Rows go to Parquet and come back as what they are."""

import numpy as np
import pyarrow
from pyarrow import parquet

from faketagger.components.evaluator.measure import rows
from faketagger.components.evaluator.measure.slices import Slice

SMILE = Slice("stgan/smile", "condition", "stgan", "smile", "attribute_editing", True)
READ = rows.ReadColumns(
    finite=np.array([True, False]),
    message_ok=np.array([True, False]),
    bit_accuracy=np.array([0.75, np.nan]),
    tagged=None,
    p_value=None,
)
CHANGE = rows.ChangeColumns(np.array([20.5, np.nan]), np.array([0.5, np.nan]))


def test_a_batch_becomes_a_row_a_picture_of_plain_values():
    first, second = rows.of_batch(SMILE, ["a", "b"], 1, READ, CHANGE)
    assert first == rows.Row(
        image_id="a",
        repeat=1,
        slice="stgan/smile",
        kind="condition",
        finite=True,
        simulator="stgan",
        condition="smile",
        black_box=True,
        message_ok=True,
        bit_accuracy=0.75,
        change_psnr=20.5,
        change_ssim=0.5,
    )
    assert type(first.message_ok) is bool and type(first.bit_accuracy) is float
    assert second.message_ok is False and np.isnan(second.bit_accuracy) and second.psnr is None


def test_a_column_is_of_its_fields_type():
    types = {name: rows.ROW_SCHEMA.field(name).type for name in ("image_id", "repeat", "finite", "black_box", "psnr")}
    assert list(types.values()) == [
        pyarrow.string(),
        pyarrow.int32(),
        pyarrow.bool_(),
        pyarrow.bool_(),
        pyarrow.float64(),
    ]
    assert tuple(rows.ROW_SCHEMA.names) == rows.Row._fields


def test_rows_come_back_from_their_file_nothing_as_null_and_no_number_as_nan(tmp_path):
    written = rows.of_batch(SMILE, ["b", "a"], 0, READ, CHANGE)
    path = rows.path_of(str(tmp_path), "0")
    with rows.RowFile(path) as file:
        file.write(written)
    first, second = (rows.Row(**values) for values in parquet.read_table(path).to_pylist())
    assert first == written[0]
    assert second.p_value is None and np.isnan(second.bit_accuracy) and np.isnan(second.change_psnr)
    found = rows.read(str(tmp_path), "stgan/smile", ["message_ok"])
    assert found["image_id"].tolist() == ["a", "b"] and found["message_ok"].tolist() == [False, True]


def test_a_file_without_rows_is_not_written(tmp_path):
    with rows.RowFile(rows.path_of(str(tmp_path), "0")) as file:
        file.write([])
    assert rows.paths(str(tmp_path)) == []
