"""The measurement on Beam: the eval pictures in parts, each part's rows in a file of its own. Imports no TFX.

A part is read, measured and written picture by picture by one worker, so memory does not grow with the data set;
workers share the parts out.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils import shared
from google.protobuf import message as protobuf

from faketagger.components.contract import features, images
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.measure import rows
from faketagger.components.evaluator.measure.batch import Measurer
from faketagger.components.evaluator.measure.models import Inputs

# Of each file of Examples: what several workers can share, small enough that reading it so often costs little.
_PARTS = 8

Part = tuple[str, int]


class MeasureTagger(beam.PTransform):
    """PCollection of gzip TFRecord paths (features.example_files) → the rows' files, of which it yields the paths.

    Every picture is tagged once a repeat; the tagged picture is read in every slice, the original under the same mask
    (`untagged`). Between all steps pictures are rounded to 8 bits.

    Args:
      inputs: what is evaluated.
      config: how.
      directory: where the rows go (rows.path_of).
    """

    def __init__(self, inputs: Inputs, config: EvaluatorConfig, directory: str):
        super().__init__()
        self._inputs, self._config, self._directory = inputs, config, directory

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        whole = paths | "Whole" >> beam.Map(whole_file)
        parts = whole | "Parts" >> beam.FlatMap(_parts_of)
        measure = beam.ParDo(
            _MeasureFn(self._inputs, self._config, self._directory),
            chosen=_chosen(whole, self._config.limit) if self._config.limit is not None else None,
        )
        return parts | "Spread" >> beam.Reshuffle() | "Measure" >> measure


def _parts_of(path: str) -> Iterable[Part]:
    return [(path, part) for part in range(_PARTS)]


def _chosen(paths: beam.PCollection, limit: int) -> beam.pvalue.AsSideInput:
    """The ids of the `limit` pictures whose hashes are smallest: a random choice, but always the same."""
    smallest = beam.combiners.Top.Smallest(limit, key=rank)
    ids = paths | "Read" >> beam.FlatMap(read_records) | "Ids" >> beam.Map(image_id_of)
    return beam.pvalue.AsSingleton(ids | "Smallest" >> smallest | "AsSet" >> beam.Map(frozenset))


def rank(image_id: str) -> bytes:
    """By which a limit chooses pictures, the smallest first."""
    return hashlib.sha256(image_id.encode()).digest()


class _MeasureFn(beam.DoFn):
    """Parts → the paths of their rows. The networks are loaded once a process."""

    def __init__(self, inputs: Inputs, config: EvaluatorConfig, directory: str):
        self._inputs, self._config, self._directory = inputs, config, directory
        self._shared = shared.Shared()

    def setup(self) -> None:
        self._measurer = self._shared.acquire(lambda: Measurer(self._inputs, self._config))

    def process(self, part: Part, chosen: frozenset[str] | None) -> Iterator[str]:
        path, number = part
        name = rows.path_of(self._directory, f"{hashlib.sha256(path.encode()).hexdigest()[:8]}-{number}")
        with rows.RowFile(name) as file:
            for records in _batches(path, number, chosen, self._config.batch_size):
                image_ids = [image_id_of(record) for record in records]
                originals = [parse_record(record, self._inputs.image_size) for record in records]
                file.write(self._measurer.measure(image_ids, *stacked(originals)))
        yield name


def _batches(path: str, part: int, chosen: frozenset[str] | None, batch_size: int) -> Iterator[list[bytes]]:
    """The records of every _PARTS-th batch of a file."""
    batch: list[bytes] = []
    number = 0
    for record in read_records(path):
        if chosen is not None and image_id_of(record) not in chosen:
            continue
        batch.append(record)
        if len(batch) == batch_size:
            if number % _PARTS == part:
                yield batch
            batch, number = [], number + 1
    if batch and number % _PARTS == part:
        yield batch


def read_records(path: str) -> Iterator[bytes]:
    """The serialised tf.Examples of a gzip TFRecord file, one by one."""
    for record in tf.data.TFRecordDataset(path, compression_type="GZIP"):
        yield record.numpy()


def image_id_of(record: bytes) -> str:
    """The image id of a serialised tf.Example; ValueError when the record is none of example_gen's."""
    try:
        example = tf.train.Example.FromString(record)
        return example.features.feature[features.IMAGE_ID].bytes_list.value[0].decode()
    except (protobuf.DecodeError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"an eval record has no readable '{features.IMAGE_ID}': run example_gen again") from error


class Original(NamedTuple):
    """A picture of the eval split.

    Attributes:
      pixels: uint8 [S, S, 3].
      landmarks: of its face, as shares of the side, float32 [5, 2]; NaN where none was found.
    """

    pixels: np.ndarray
    landmarks: np.ndarray


def stacked(originals: Sequence[Original]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [B, S, S, 3] and landmarks float32 [B, 5, 2]."""
    pixels, landmarks = zip(*originals)
    return np.stack(pixels), np.stack(landmarks)


def parse_record(record: bytes, image_size: int) -> Original:
    """The picture of a serialised tf.Example at a side.

    Raises:
      ValueError: names a picture that cannot be read.
    """
    try:
        example = features.parse_example(tf.constant(record), image_size)
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise ValueError(f"eval picture '{image_id_of(record)}' is no square PNG: run example_gen again") from error
    return Original(images.to_uint8(example[features.IMAGE].numpy()), example[features.LANDMARKS].numpy())


def whole_file(path: str) -> str:
    """Returns the path of a gzip file that is whole.

    Beam's reader takes the place where a file was cut for its end and would leave pictures out without a word.

    Raises:
      ValueError: the file is empty, cut short or damaged.
    """
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as raw:
            with gzip.GzipFile(fileobj=raw) as file:
                while file.read(1 << 20):
                    pass
            if raw.tell() == 0:
                raise EOFError("the file is empty")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged or cut short ({error}): run example_gen again") from error
    return path
