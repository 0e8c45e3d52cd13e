"""Which photographs a folder (any path that TensorFlow can read) holds, and what its attributes.csv says of them."""

import csv
import dataclasses
import hashlib
import io
import os
import posixpath
from collections.abc import Iterator

import tensorflow as tf

from faketagger.components.contract import features
from faketagger.components.contract.picture_encoding import READABLE_ENDINGS

ATTRIBUTES_FILE = "attributes.csv"
MAX_CSV_BYTES = 256 * 1024 * 1024

_SPLITS = (features.TRAIN_SPLIT, features.EVAL_SPLIT)
_LABELS = {"1": 1, "0": 0, "-1": 0}  # CelebA's own file writes −1 for "no".


@dataclasses.dataclass(frozen=True)
class Entry:
    """One photograph of a folder.

    Attributes:
      name: its path relative to the folder, with forward slashes.
      labels: CelebA attributes by name, 0 or 1.
      split: `train` or `eval` where attributes.csv fixes it, for this photograph or another of the same identity.
      identity: who is in it, where attributes.csv says so.
    """

    name: str
    labels: dict[str, int] = dataclasses.field(default_factory=dict)
    split: str | None = None
    identity: str | None = None


def list_folder(folder: str, limit: int | None = None) -> list[Entry]:
    """The photographs of a folder, in an order that looks random and is the same on every machine.

    With an attributes.csv: those it lists. Without: every picture file below the folder, by its extension; names that
    begin with a dot are left out, and a folder reached twice through links is read once.

    Args:
      folder: a path that TensorFlow can read.
      limit: keep the first so many: a stable sample.

    Raises:
      ValueError: no such folder, no photographs, or a broken attributes.csv (names its line).
    """
    if not tf.io.gfile.isdir(folder):
        raise ValueError(f"{folder}: no such folder of photographs")
    content = _read_csv(folder)
    if content is None:
        entries = [Entry(name) for name in _walk(folder)]
    else:
        entries = _parse_csv(content, os.path.join(folder, ATTRIBUTES_FILE))
    if not entries:
        where = "listed in its attributes.csv" if content is not None else f"in it ({' '.join(READABLE_ENDINGS)})"
        raise ValueError(f"{folder}: no photographs {where}")
    entries.sort(key=lambda entry: hashlib.sha256(entry.name.encode()).digest())
    return entries[:limit]


def digest(folder: str) -> str:
    """A fingerprint of the folder's photographs (name, size, time of change) and attributes.csv, in hex.

    Raises:
      ValueError: as list_folder.
    """
    state = hashlib.sha256(_read_csv(folder) or b"")
    for entry in list_folder(folder):
        state.update(f"\n{entry.name}\0{_stamp(os.path.join(folder, entry.name))}".encode())
    return state.hexdigest()


def _stamp(path: str) -> str:
    try:
        status = tf.io.gfile.stat(path)
    except tf.errors.OpError:  # Reading it will fail too, and set it aside with the reason.
        return "unreadable"
    return f"{status.length} {status.mtime_nsec}"


def _walk(folder: str) -> Iterator[str]:
    seen = set()
    try:
        for place, subfolders, names in tf.io.gfile.walk(folder, onerror=_raise):
            if os.path.realpath(place) in seen:
                subfolders.clear()
                continue
            seen.add(os.path.realpath(place))
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in names:
                if name.lower().endswith(READABLE_ENDINGS) and not name.startswith("."):
                    yield os.path.relpath(os.path.join(place, name), folder).replace(os.sep, "/")
    except UnicodeDecodeError as error:
        raise ValueError(f"{folder}: a file's name in it is not UTF-8 ({error.object!r}): rename it") from None


def _raise(error: Exception) -> None:
    raise ValueError(f"a folder of photographs cannot be listed: {getattr(error, 'message', error)}") from error


def _read_csv(folder: str) -> bytes | None:
    path = os.path.join(folder, ATTRIBUTES_FILE)
    if not tf.io.gfile.exists(path):
        return None
    try:
        if tf.io.gfile.stat(path).length > MAX_CSV_BYTES:
            raise ValueError(f"{path}: over {MAX_CSV_BYTES:,} bytes")
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        raise ValueError(f"{path}: cannot be read: {error.message}") from None


def _parse_csv(content: bytes, path: str) -> list[Entry]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8: save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = _check_columns(next(reader, []))
        lines: dict[str, int] = {}
        entries = []
        for row in reader:
            if not row:
                continue
            entry = _entry(columns, row)
            if entry.name in lines:
                raise ValueError(f"'{entry.name}' is listed already in line {lines[entry.name]}")
            lines[entry.name] = reader.line_num
            entries.append(entry)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}, line {max(reader.line_num, 1)}: {error}") from None
    return _together(entries, path)


def _together(entries: list[Entry], path: str) -> list[Entry]:
    """The entries, each in the split that a row says of its identity: nobody is in both."""
    fixed: dict[str, Entry] = {}
    for entry in entries:
        if entry.identity and entry.split:
            first = fixed.setdefault(entry.identity, entry)
            if first.split != entry.split:
                raise ValueError(
                    f"{path}: '{entry.identity}' is in two splits: '{first.name}' in '{first.split}', '{entry.name}' "
                    f"in '{entry.split}'"
                )
    return [
        dataclasses.replace(entry, split=fixed[entry.identity].split) if entry.identity in fixed else entry
        for entry in entries
    ]


def _check_columns(header: list[str]) -> list[str]:
    columns = [name.strip() for name in header]
    if not columns or columns[0] != "image":
        raise ValueError(f"the first column must be 'image', found '{columns[0] if columns else ''}'")
    known = (*features.ATTRIBUTE_NAMES, "split", "identity")
    unknown = [name for name in columns[1:] if name not in known]
    if unknown:
        raise ValueError(f"unknown columns {unknown}; known are CelebA's attributes, 'split' and 'identity'")
    if len(set(columns)) != len(columns):
        raise ValueError("a column is there twice")
    return columns


def _entry(columns: list[str], row: list[str]) -> Entry:
    if len(row) != len(columns):
        raise ValueError(f"expected {len(columns)} values, found {len(row)}")
    cells = {column: value.strip() for column, value in zip(columns, row)}
    name, split = _safe_name(cells.pop("image")), cells.pop("split", None) or None
    identity = cells.pop("identity", None) or None
    if split is not None and split not in _SPLITS:
        raise ValueError(f"split must be 'train' or 'eval', found '{split}'")
    # An empty cell: nobody has labelled it.
    labels = dict(_label(column, value) for column, value in cells.items() if value)
    return Entry(name, labels, split, identity)


def _label(column: str, value: str) -> tuple[str, int]:
    if value not in _LABELS:
        raise ValueError(f"{column} must be 0 or 1 (or −1 for no), found '{value}'")
    return column, _LABELS[value]


def _safe_name(name: str) -> str:
    clean = posixpath.normpath(name)
    if not name or clean == "." or posixpath.isabs(clean) or clean.split("/")[0] == ".." or "\0" in clean:
        raise ValueError(f"'{name}' is not the path of a file below the folder")
    return clean
