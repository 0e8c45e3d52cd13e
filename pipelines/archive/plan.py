"""What is to be done with an archive: its pictures and their UIDs, in parts, written down before the first is tagged.

A run that goes on with an earlier one keeps what that had planned, and adds what is new in the archive.
"""

import csv
import io
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, NoReturn

import pyarrow
import tensorflow as tf

from faketagger.components.contract import files
from faketagger.components.contract.picture_encoding import ENDINGS, READABLE_ENDINGS, WRITTEN_ENDINGS
from faketagger.pipelines.archive import tables
from faketagger.pipelines.archive.settings import ArchiveSettings
from faketagger.serving.commands import common, inputs

# Pictures of a part, which one worker does in a row: what is done twice at most where it is killed.
PART = 32

_MOST_UID = 2**63 - 1  # Of a column of numbers.
_CLIPS_SHOWN = 3
_SCHEMA = pyarrow.schema(
    # Names need not be UTF-8.
    [("path", pyarrow.binary()), ("below", pyarrow.binary()), ("uid", pyarrow.int64()), ("owner", pyarrow.string())]
)


class Entry(NamedTuple):
    """A picture of an archive.

    Attributes:
      path: where it is.
      below: its name below the folder of outputs, without a change of format.
      uid: what it is tagged with; None until it is known, and where pictures are read and nothing is expected.
      owner: whose it is, where a table says so.
    """

    path: str
    below: str
    uid: int | None = None
    owner: str | None = None


def find(paths: Sequence[str], table: str | None, without: str) -> list[Entry]:
    """The pictures that are named, each once, by name.

    Args:
      paths: files, folders and patterns, local ones or anything that TensorFlow can list. Of a folder's files those are
        taken that begin as pictures do, or are called so; what is not local is not opened, and goes by its name. Clips
        are left out, and that is told.
      table: a CSV whose first line names its columns: `path` (from the table's folder), `uid` and `owner`.
      without: the folder of outputs, which is not searched.

    Raises:
      ValueError: there is none, a folder cannot be listed, a table cannot be read or says two things of a picture, or
        two pictures would have one name among the outputs.
    """
    found = list(_of_table(table)) if table else []
    for path in paths:
        prefix = os.path.basename(path.rstrip("/")) if len(paths) > 1 else ""
        listed = _remote(path, without) if "://" in path else _local(path, without)
        found += [each._replace(below=os.path.join(prefix, each.below)) for each in listed]
    if not found:
        raise ValueError(f"{', '.join(paths) or table}: no pictures there")
    found.sort(key=lambda each: os.fsencode(each.below))
    for one, other in zip(found, found[1:]):
        if one.below == other.below and one.path != other.path:
            raise ValueError(f"{one.path} and {other.path}: both would be {one.below}: name a folder above both")
        if one.below == other.below and one != other:
            raise ValueError(f"{one.path}: one row says {_said(one)}, another {_said(other)}")
    return [each for each, before in zip(found, [None, *found]) if before is None or each.below != before.below]


def check_places(entries: Sequence[Entry], out: str) -> None:
    """Raises ValueError where what is written to `out` would replace one of the pictures."""
    folders: dict[str, str] = {}

    def real(path: str) -> str:
        if "://" in path:
            return path
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        return os.path.join(folders[folder], name)

    pictures = {real(each.path) for each in entries}
    for each in entries:
        if real(os.path.join(out, each.below)) in pictures:
            _refuse_to_replace(os.path.join(out, each.below))


def _check_new(entries: Sequence[Entry], known: Collection[str], out: str) -> None:
    """ValueError where a file has the place of an output that no run has written yet: work.py chooses the place.

    Its own ending need not tell the format that a picture is written in, so none of the others may be taken.
    """
    if "://" in out:
        return
    behind = [endings[0] for endings in ENDINGS.values()]
    for each in entries:
        own = [each.below] if each.below.lower().endswith(WRITTEN_ENDINGS) else []
        for below in (*own, *(each.below + ending for ending in behind)):
            if below not in known and os.path.exists(os.path.join(out, below)):
                _refuse_to_replace(os.path.join(out, below))


def _refuse_to_replace(path: str) -> NoReturn:
    raise ValueError(f"{path}: a picture that would be replaced: choose another --out")


def _said(entry: Entry) -> str:
    """What a table says of a picture."""
    return f"UID {'-' if entry.uid is None else entry.uid}, owner {entry.owner or '-'}"


def _local(path: str, without: str) -> Iterator[Entry]:
    found = inputs.find([path], None, without)
    clips = []
    for each in found.inputs:
        if os.path.isdir(each.path):  # What it holds would be missing without a word.
            raise ValueError(f"{each.path}: cannot be listed")
        if _is_clip(each.path):
            clips.append(each.path)
        else:
            yield Entry(each.path, each.below)
    if clips:
        shown = ", ".join(clips[:_CLIPS_SHOWN]) + (", …" if len(clips) > _CLIPS_SHOWN else "")
        common.tell(f"left out, as clips, which `faketagger tag` takes: {len(clips)} ({shown})")
    for left_out in found.left_out:  # An archive's own pictures, though broken, belong to what is told of it.
        if left_out.lower().endswith(READABLE_ENDINGS):
            yield Entry(left_out, os.path.relpath(left_out, path))


def _is_clip(path: str) -> bool:
    if path.lower().endswith(READABLE_ENDINGS) or not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return inputs.is_clip(file)
    except OSError:
        return False  # Its row tells why it cannot be read.


def _remote(path: str, without: str) -> Iterator[Entry]:
    scheme = path.partition("://")[0]
    if scheme not in tf.io.gfile.get_registered_schemes():
        raise ValueError(f"{path}: TensorFlow, which reads there, knows no {scheme}:// (tensorflow-io brings s3://)")
    outputs = without.rstrip("/")
    try:
        if not tf.io.gfile.isdir(path):
            yield from (Entry(each, os.path.basename(each)) for each in tf.io.gfile.glob(path))
            return
        for place, folders, names in tf.io.gfile.walk(path):
            folders[:] = [each for each in folders if not each.startswith(".") and os.path.join(place, each) != outputs]
            for name in names:
                if name.lower().endswith(READABLE_ENDINGS) and not name.startswith("."):
                    full = os.path.join(place, name)
                    yield Entry(full, os.path.relpath(full, path))
    except tf.errors.OpError as error:
        raise ValueError(f"{path}: cannot be listed: {error.message}") from error


def _of_table(table: str) -> Iterator[Entry]:
    try:
        text = files.read_bytes(table).decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise ValueError(f"{table}: {error.strerror}") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{table}, line {reader.line_num}: {error}") from error
    columns = [each.strip().lower() for each in rows[0][1]] if rows else []
    if "path" not in columns or set(columns) - {"path", "uid", "owner"}:
        raise ValueError(f"{table}: the first line names the columns path, uid and owner, found {','.join(columns)!r}")
    for line, row in rows[1:]:
        cells = dict(zip(columns, (each.strip() for each in row)))
        if not any(cells.values()):
            continue
        uid = cells.get("uid") or None
        name = cells.get("path")
        if not name or len(row) != len(columns) or (uid and not (uid.isdecimal() and int(uid) <= _MOST_UID)):
            expected = ", ".join(columns)
            raise ValueError(f"{table}, line {line}: expected {expected}, found {','.join(row)!r}")
        path = name if "://" in name else os.path.join(os.path.dirname(table), name)
        yield Entry(path, _mirrored(name), int(uid) if uid else None, cells.get("owner") or None)


def _mirrored(name: str) -> str:
    """A table's path as a name below the outputs: gs://bucket/a.jpg ▸ bucket/a.jpg."""
    return os.path.normpath(os.path.join("/", name.partition("://")[2] or name)).lstrip("/")


def update(
    settings: ArchiveSettings, entries: Sequence[Entry], number: Callable[[Sequence[Entry]], list[Entry]]
) -> int:
    """Adds to the plan what it does not have yet; returns how many parts it has.

    Args:
      settings: of the work.
      entries: the archive's pictures, without UIDs where the plan is to give them.
      number: gives UIDs to those that are new.

    Raises:
      ValueError: a table says otherwise of a picture than the plan has it, another picture has its name, or another
        file its place among the outputs.
    """
    parts = count(settings)
    known = {each.below: each for part in range(parts) for each in read_part(settings, part)}
    for each in entries:
        planned = known.get(each.below, each)
        if each.path != planned.path:
            raise ValueError(f"{each.path}: its name is taken by {planned.path}: another archive needs another --out")
        if each.uid not in (None, planned.uid) or each.owner not in (None, planned.owner):
            raise ValueError(f"{each.path}: planned with {_said(planned)}, and the table now says {_said(each)}")
    new = [each for each in entries if each.below not in known]
    if not settings.reads:
        _check_new(new, known, settings.out)
    new = number(new)
    for start in range(0, len(new), PART):
        rows = [
            {**each._asdict(), "path": os.fsencode(each.path), "below": os.fsencode(each.below)}
            for each in new[start : start + PART]
        ]
        tables.write(_path(settings, parts), rows, _SCHEMA)
        parts += 1
    return parts


def numbered(settings: ArchiveSettings, first: int, message_bits: int) -> Callable[[Sequence[Entry]], list[Entry]]:
    """Gives UIDs from `first` on that the plan does not have: one an owner, and one a picture that has none.

    What it returns raises ValueError where a table gives an owner a second one, or a UID takes more than
    `message_bits`.
    """

    def number(entries: Sequence[Entry]) -> list[Entry]:
        planned = [each for part in range(count(settings)) for each in read_part(settings, part)]
        owners = {each.owner: each.uid for each in planned if each.owner and each.uid is not None}
        for each in entries:
            if each.owner and each.uid is not None and owners.setdefault(each.owner, each.uid) != each.uid:
                raise ValueError(
                    f"{each.path}: has UID {each.uid}, another picture of {each.owner} {owners[each.owner]}"
                )
        taken = [each.uid for each in (*planned, *entries) if each.uid is not None]
        following = max([first, *(uid + 1 for uid in taken)])
        made = []
        for each in entries:
            uid = each.uid if each.uid is not None else owners.get(each.owner) if each.owner else None
            if uid is None:
                uid, following = following, following + 1
            if each.owner:
                owners.setdefault(each.owner, uid)
            if uid >= 2**message_bits:  # Planned, it would be refused for good, and so would those that follow it.
                raise ValueError(f"{each.path}: UID {uid} is over {2**message_bits - 1}, this tagger's last")
            made.append(each._replace(uid=uid))
        return made

    return number


def count(settings: ArchiveSettings) -> int:
    """The parts of the plan."""
    if not tf.io.gfile.isdir(settings.state):
        return 0
    return sum(name.startswith("plan-") and name.endswith(".parquet") for name in tf.io.gfile.listdir(settings.state))


def read_part(settings: ArchiveSettings, part: int) -> list[Entry]:
    """A part's pictures."""
    rows: Iterable[dict] = tables.read(_path(settings, part))
    return [Entry(os.fsdecode(row["path"]), os.fsdecode(row["below"]), row["uid"], row["owner"]) for row in rows]


def _path(settings: ArchiveSettings, part: int) -> str:
    return os.path.join(settings.state, f"plan-{part:07d}.parquet")
