"""The doing of a part of an archive: each picture is tagged, or read, and what became of it is a row.

A part's rows are written when it is whole, its pictures before that, each in one step: a part that was cut short is
done again from the untagged pictures, under the UIDs that the plan has, and so comes out the same.
"""

import argparse
import atexit
import collections
import io
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO

import cv2
import numpy as np
import pyarrow
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler

from faketagger.components.contract import files, images, payload, picture_decoding, picture_encoding
from faketagger.components.contract.picture import DamagedError, Picture
from faketagger.components.evaluator.measure import metrics, visibility
from faketagger.pipelines.archive import plan, tables
from faketagger.pipelines.archive.plan import Entry
from faketagger.pipelines.archive.settings import ArchiveSettings
from faketagger.serving.commands import common, outputs, read, results, tag
from faketagger.serving.photograph.tagging import FaceTag
from faketagger.serving.platform.registrar import Registrar, TakenError
from faketagger.serving.platform.tables import DatabaseError

_COMMON = [
    ("path", pyarrow.string()),
    ("uid", pyarrow.int64()),
    ("owner", pyarrow.string()),
    ("outcome", pyarrow.string()),
    ("faces", pyarrow.int32()),
]
_LAST = [
    ("key_fingerprint", pyarrow.string()),
    ("seconds", pyarrow.float32()),
    ("notes", pyarrow.string()),
    ("error", pyarrow.string()),
]
TAGGED_SCHEMA = pyarrow.schema(
    [
        *_COMMON,
        ("faces_tagged", pyarrow.int32()),
        ("psnr", pyarrow.float64()),
        ("visibility", pyarrow.float64()),
        ("output", pyarrow.string()),
        ("format", pyarrow.string()),
        ("bytes", pyarrow.int64()),
        ("payload_version", pyarrow.int32()),
        ("registered", pyarrow.string()),
        *_LAST,
    ]
)
READ_SCHEMA = pyarrow.schema(
    [
        *_COMMON,
        ("expected", pyarrow.int64()),
        ("candidate", pyarrow.int64()),
        ("p_value", pyarrow.float64()),
        ("how", pyarrow.string()),
        *_LAST,
    ]
)

_MEASURED_SIDE = 1024  # Pixels: of larger pictures, visibility is measured on a copy.
_Row = dict[str, Any]


class Handler(ModelHandler[int, dict[str, int], Any]):
    """Beam's RunInference: numbers of parts ▸ how many of a part's pictures had which outcome."""

    def __init__(self, settings: ArchiveSettings):
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._settings = settings

    def load_model(self) -> "Worker":
        worker = Worker(self._settings)
        atexit.register(worker.close)  # Beam keeps it to the very end, where TensorFlow is gone.
        return worker

    def run_inference(
        self, batch: Sequence[int], model: "Worker", inference_args: dict[str, Any] | None = None
    ) -> Iterable[dict[str, int]]:
        return [model.do(part) for part in batch]


class Worker:
    """Does parts of one archive; made once a process."""

    def __init__(self, settings: ArchiveSettings):
        self._settings = settings
        key = payload.read_key(settings.key_file)
        if payload.fingerprint(key) != settings.key_fingerprint:
            raise common.CommandError(f"{settings.key_file}: another key than {settings.key_fingerprint}")
        self._client = common.LazyClient(argparse.Namespace(**settings.backend.dict()), lambda: key)
        self._registrar = Registrar.open() if settings.registers else None

    def close(self) -> None:
        """Lets go of the tagger."""
        self._client.__exit__()
        self._client = None

    def do(self, part: int) -> dict[str, int]:
        """Does what is not done of a part, writes its rows, and counts their outcomes.

        Raises:
          common.CommandError: the tagger, or the platform's database, fails; then nothing is written down.
        """
        path = path_of(self._settings, part)
        done: list[_Row] = tables.read(path) if files.exists(path) else []
        entries = plan.read_part(self._settings, part)
        rows = [
            row if row is not None and _stays(row) else self._row(entry)
            for entry, row in zip(entries, [*done, *[None] * (len(entries) - len(done))])
        ]
        tables.write(path, rows, schema_of(self._settings))
        return dict(collections.Counter(row["outcome"] for row in rows))

    def _row(self, entry: Entry) -> _Row:
        """What became of a picture; what concerns every picture is raised."""
        begun = time.perf_counter()
        work = self._read if self._settings.reads else self._tag
        found = results.of(entry.path, lambda: work(entry))
        row = {
            "path": tables.text(entry.path),
            "uid": None if self._settings.reads else entry.uid,
            "owner": entry.owner,
        }
        row |= {"key_fingerprint": self._settings.key_fingerprint, **found}
        row["seconds"] = time.perf_counter() - begun
        row["notes"] = tables.text("; ".join(row.get("notes") or ())) or None
        row["error"] = tables.text(row["error"]) if row.get("error") else None
        return row

    def _open(self, entry: Entry) -> BinaryIO:
        data = files.read_bytes(entry.path, images.MAX_FILE_BYTES)
        if not data:
            raise DamagedError(f"{entry.path}: the file is empty")
        return io.BytesIO(data)

    def _read(self, entry: Entry) -> _Row:
        found = read.read_file(self._client, self._open(entry), entry.path, self._settings.most)
        return {**found, "faces": len(found["faces"]), "expected": entry.uid}

    def _tag(self, entry: Entry) -> _Row:
        picture = picture_decoding.decode(self._open(entry), entry.path, most=self._settings.most)
        written: list[np.ndarray] = []

        def compare(before: np.ndarray, after: np.ndarray) -> _Row:
            written.append(after)
            return _compared(before, after)

        assert entry.uid is not None, f"{entry.path}: the plan gave it no UID"
        how = tag.How(self._settings.strength, self._settings.whole, self._settings.replaces, most=self._settings.most)
        place = _place(self._settings, entry)
        found = tag.tag_picture(self._client, picture, entry.uid, how, place, _write, compare)
        faces = found.pop("faces")
        row = {**found, "output": tables.text(found["file"]), "faces": len(faces)}
        row["faces_tagged"] = sum(each["tag"] == FaceTag.TAGGED.value for each in faces)
        if self._registrar:
            boxes = [each["box"] for each in faces]
            row["registered"] = self._register(entry, written[0], boxes)
        return row

    def _register(self, entry: Entry, pixels: np.ndarray, boxes: Sequence[Any]) -> str:
        assert self._registrar and entry.owner and entry.uid is not None
        try:
            return self._registrar.register(entry.owner, entry.uid, self._settings.key_fingerprint, pixels, boxes)
        except TakenError as error:
            raise common.RefusedError(f"{entry.path}: tagged, but not registered: {error}") from error
        except DatabaseError as error:
            raise common.CommandError(str(error)) from error


def path_of(settings: ArchiveSettings, part: int) -> str:
    """Where the rows of a part are."""
    return os.path.join(settings.state, f"done-{part:07d}.parquet")


def schema_of(settings: ArchiveSettings) -> pyarrow.Schema:
    """The columns of the rows."""
    return READ_SCHEMA if settings.reads else TAGGED_SCHEMA


def unfinished(settings: ArchiveSettings, parts: int) -> list[int]:
    """The parts that are not done, hold pictures that failed through no fault of theirs, or outputs that are gone."""
    return [part for part in range(parts) if not _is_done(path_of(settings, part))]


def _is_done(path: str) -> bool:
    return files.exists(path) and all(_stays(row) for row in tables.read(path))


def _stays(row: _Row) -> bool:
    if row["outcome"] == results.FAILED:
        return False
    output = row.get("output") or ""
    # Names that are no UTF-8 are written otherwise there, and what is not local takes a call each.
    return not output or "\\x" in output or "://" in output or os.path.exists(output)


def _place(settings: ArchiveSettings, entry: Entry) -> Callable[[Picture], tuple[str, str]]:
    """As tag.Place. The name is the input's own, and where another format is written, its ending goes behind it."""

    def place(picture: Picture) -> tuple[str, str]:
        format = picture_encoding.own_format(picture)
        endings = picture_encoding.ENDINGS[format]
        path = os.path.join(settings.out, entry.below)
        if not path.lower().endswith(endings):
            path += endings[0]
            # The same for every worker and run: told by the archive, not by what is written yet.
            if _exists(entry.path + endings[0]):
                raise common.RefusedError(f"{entry.path}: becomes {format}, and {path} is another picture's")
        return path, format

    return place


def _exists(path: str) -> bool:
    return files.exists(path) if "://" in path else os.path.exists(path)


def _write(path: str, encode: Callable[[BinaryIO], None]) -> int:
    """As outputs.write, also where TensorFlow alone can write."""
    if "://" not in path:
        return outputs.write(path, encode)
    buffer = io.BytesIO()
    encode(buffer)
    try:
        files.write_bytes(path, buffer.getvalue())
    except tf.errors.OpError as error:
        raise OSError(None, error.message, path) from error
    return len(buffer.getvalue())


def _compared(before: np.ndarray, after: np.ndarray) -> _Row:
    """PSNR and visibility of a tag, as it was saved."""
    if before.shape != after.shape:
        return {}
    squared = cv2.norm(before, after, cv2.NORM_L2SQR) / before.size
    psnr = min(metrics.MAX_PSNR, 10 * np.log10(255**2 / max(squared, 1e-12)))
    small = [_shrunk(each)[np.newaxis] for each in (before, after)]
    return {"psnr": float(psnr), "visibility": float(visibility.visibility(*small)[0])}


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = _MEASURED_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
