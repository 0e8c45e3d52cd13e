"""Which pictures a command line names: files, folders, patterns, a CSV of UIDs, standard input."""

import argparse
import csv
import dataclasses
import errno
import glob
import io
import math
import os
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO

from tqdm import tqdm

from faketagger.components.contract import picture_decoding, startup
from faketagger.components.contract.picture import DamagedError
from faketagger.serving.commands import common
from faketagger.serving.video import kinds

STANDARD = "-"
# Of what cannot seek, and so has to be held: more than 200 megapixels take in any format that is common.
_MOST_PIPED_BYTES = 1 << 30
_MOST_DIGITS = 20  # Of a UID in a table: more no tagger takes.


@dataclasses.dataclass(frozen=True)
class Input:
    """A picture that is asked for.

    Attributes:
      path: of the file, or STANDARD.
      below: its name below what was named: a folder's picture keeps its place there.
      uid: what a CSV says of it; None where it does not.
    """

    path: str
    below: str
    uid: int | None = None


@dataclasses.dataclass
class Found:
    """What a command line comes to.

    Attributes:
      inputs: in the order of the command line; a folder's by name.
      left_out: the files of folders that are no pictures.
      passed_over: their hidden pictures, and links to further folders, which may go round.
    """

    inputs: list[Input]
    left_out: list[str] = dataclasses.field(default_factory=list)
    passed_over: list[str] = dataclasses.field(default_factory=list)

    @property
    def untouched(self) -> list[str]:
        """What nothing is done with, for whatever reason."""
        return self.passed_over + self.left_out


def add_flags(parser: startup.Parser) -> None:
    """What the commands have in common that take pictures."""
    parser.add_argument(
        "--csv", metavar="FILE", help="takes the pictures of a table: path (from the table's folder), UID"
    )
    megapixels = picture_decoding.MAX_PIXELS // 1_000_000
    parser.add_argument(
        "--max_megapixels", type=_megapixels, default=megapixels, help=f"refuses larger pictures; default: {megapixels}"
    )


def _megapixels(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0, got {text}")
    return number


def find(paths: list[str], table: str | None, without: str | None = None) -> Found:
    """The pictures that are named.

    Args:
      paths: files, folders (searched to their bottom), patterns such as `holiday/*.jpg`, or STANDARD. A file is taken
        whatever it is; of a folder, what begins as a picture or a clip does, and folders that cannot be listed.
      table: a CSV of paths and UIDs.
      without: a folder that is not searched: where outputs go.

    Raises:
      CommandError: there is none, or the table cannot be read.
    """
    found = Found(_of_table(table) if table else [])
    for path in paths:
        for each in _matching(path):
            if os.path.isdir(each):
                _search(each, found, without)
            else:
                found.inputs.append(Input(each, os.path.basename(each)))
    if not found.inputs:
        left_out = f" ({len(found.untouched)} are none, hidden or links)" if found.untouched else ""
        raise common.CommandError(f"{', '.join(paths) or table}: no pictures there{left_out}")
    if sum(it.path == STANDARD for it in found.inputs) > 1:
        raise common.CommandError("standard input holds one picture", common.USAGE)
    return found


def _matching(path: str) -> list[str]:
    if path == STANDARD or os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    # A pattern without matches is told as a file that is not there.
    return sorted(glob.glob(path, recursive=True)) or [path]


def _search(folder: str, found: Found, without: str | None) -> None:
    def unlisted(error: OSError) -> None:  # As a picture, so that it is told why it cannot be read.
        found.inputs.append(Input(error.filename, os.path.relpath(error.filename, folder)))

    for place, folders, names in os.walk(folder, onerror=unlisted):
        found.passed_over += [path for it in sorted(folders) if os.path.islink(path := os.path.join(place, it))]
        folders[:] = sorted(
            it for it in folders if not it.startswith(".") and not _same(os.path.join(place, it), without)
        )
        for name in sorted(names):
            path = os.path.join(place, name)
            if name.startswith("."):
                found.passed_over += [path] if _begins_as_one(path) else []  # Of others nobody thinks as pictures.
            elif _begins_as_one(path):
                found.inputs.append(Input(path, os.path.relpath(path, folder)))
            else:
                found.left_out.append(path)


def _same(one: str, other: str | None) -> bool:
    return other is not None and os.path.exists(other) and os.path.samefile(one, other)


def _begins_as_one(path: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            head = file.read(picture_decoding.HEAD_BYTES)
        return picture_decoding.kind_of(head) is not None or kinds.kind_of(head) is not None
    except OSError:
        return True  # So that it is told why it cannot be read.


def _of_table(path: str) -> list[Input]:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, csv.Error) as error:
        raise common.CommandError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    folder = os.path.dirname(path)
    first = rows[0][0].strip() if rows else ""
    if rows and not (_is_uid(rows[0]) or os.path.splitext(first)[1] or os.path.exists(os.path.join(folder, first))):
        del rows[0]  # A header.
    inputs = []
    for number, row in enumerate(rows, 1):
        if not _is_uid(row):
            raise common.CommandError(f"{path}: picture {number}: expected a path and a UID, found {','.join(row)!r}")
        name = row[0].strip()
        below = os.path.basename(name) if os.path.isabs(name) or ".." in name.split(os.sep) else name
        inputs.append(Input(os.path.join(folder, name), below, int(row[1])))
    return inputs


def _is_uid(row: list[str]) -> bool:
    return len(row) >= 2 and row[1].strip().isdecimal() and len(row[1].strip()) <= _MOST_DIGITS


def open_input(path: str) -> BinaryIO:
    """An input's file, which can seek.

    Raises:
      OSError: it cannot be opened, or is too large to be held.
      DamagedError: it is empty.
    """
    file: BinaryIO = sys.stdin.buffer if path == STANDARD else open(path, "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        with file:
            data = file.read(_MOST_PIPED_BYTES + 1)
        if len(data) > _MOST_PIPED_BYTES:
            raise OSError(errno.EFBIG, f"more than {_MOST_PIPED_BYTES:,} bytes: save it as a file", path)
        file = io.BytesIO(data)
    if not file.seek(0, io.SEEK_END):
        file.close()
        raise DamagedError(f"{named(path)}: the file is empty")
    file.seek(0)
    return file


def is_clip(file: BinaryIO) -> bool:
    """Whether an input's file is a clip by its first bytes; it is left at its beginning."""
    head = file.read(picture_decoding.HEAD_BYTES)
    file.seek(0)
    return kinds.kind_of(head) is not None


def named(path: str) -> str:
    """An input as people are told of it."""
    return "standard input" if path == STANDARD else path


def each(found: Found) -> Iterator[Input]:
    """The inputs, with a bar of progress on a terminal where they are several."""
    several = len(found.inputs) > 1
    yield from tqdm(found.inputs, unit="picture", file=sys.stderr, disable=None if several else True)
