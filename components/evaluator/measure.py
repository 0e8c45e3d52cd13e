"""Measures a tagger picture by picture on Beam: tag, simulate, read. Imports no TFX, so that workers start fast."""

import dataclasses
import gzip
import hashlib
import os
import random
import zlib
from typing import Any, Dict, FrozenSet, Iterator, List, Sequence, Tuple

import apache_beam as beam
import numpy as np
import pyarrow
import tensorflow as tf
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils import shared
from google.protobuf import message as protobuf

from faketagger.components.contract import features, images, manifest, payload, signatures
from faketagger.components.evaluator import metrics
from faketagger.components.evaluator.config import PLAIN, UNTAGGED, EvaluatorConfig, slice_of
from faketagger.components.simulator import library

# One row a picture, repeat and slice. Null where a column means nothing (FMRR of `untagged`, strength of `plain`), NaN
# where a network's output was not finite; `finite` is false then.
ROW_SCHEMA = pyarrow.schema(
    [
        ("image_id", pyarrow.string()),
        ("repeat", pyarrow.int32()),
        ("slice", pyarrow.string()),
        ("simulator", pyarrow.string()),
        ("condition", pyarrow.string()),
        ("black_box", pyarrow.bool_()),
        ("message_ok", pyarrow.bool_()),
        ("bit_accuracy", pyarrow.float64()),
        ("tagged", pyarrow.bool_()),
        ("p_value", pyarrow.float64()),
        ("psnr", pyarrow.float64()),
        ("ssim", pyarrow.float64()),
        ("strength_psnr", pyarrow.float64()),
        ("strength_ssim", pyarrow.float64()),
        ("finite", pyarrow.bool_()),
    ]
)

Row = Dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A tagger and the simulators it is measured with, by directory, and what their manifests say.

    Attributes:
      model_dir: the tagger's SavedModel with its tagger.json.
      simulators_dir: the directory of the simulators.
      tagger: the tagger's manifest.
      simulators: the simulators' manifests by the name of their folder, sorted.
    """

    model_dir: str
    simulators_dir: str
    tagger: manifest.TaggerManifest
    simulators: Dict[str, manifest.SimulatorManifest]

    @property
    def slices(self) -> List[str]:
        """The slices that have an FMRR: `plain`, then every simulator × condition."""
        conditions = [(name, condition) for name, made in self.simulators.items() for condition in made.conditions]
        return [PLAIN] + [slice_of(name, condition) for name, condition in conditions]


def read_inputs(model_dir: str, simulators_dir: str, config: EvaluatorConfig) -> Inputs:
    """Reads the manifests and finds before any work what does not fit together.

    Raises:
      ValueError: a manifest is missing or wrong, a simulator takes pictures of another size than the tagger or bears
        a slice's name, or `black_box` names a simulator that is not there.
    """
    tagger = manifest.read(manifest.TaggerManifest, model_dir)
    simulators = {
        name: manifest.read(manifest.SimulatorManifest, os.path.join(simulators_dir, name))
        for name in library.names(simulators_dir)
    }
    for name, made in simulators.items():
        if made.image_size != tagger.image_size:
            raise ValueError(
                f"{os.path.join(simulators_dir, name)}: takes pictures of {made.image_size} pixels, the tagger in "
                f"{model_dir} of {tagger.image_size}: make both of one size"
            )
    taken = sorted({PLAIN, UNTAGGED} & set(simulators))
    if taken:
        raise ValueError(f"{os.path.join(simulators_dir, taken[0])}: '{taken[0]}' is the name of a slice: rename it")
    unknown = sorted(set(config.black_box) - set(simulators))
    if unknown:
        raise ValueError(f"black_box names {', '.join(unknown)}; {simulators_dir} has {', '.join(simulators)}")
    return Inputs(model_dir, simulators_dir, tagger, simulators)


class Models:
    """The loaded networks; keeps the loaded objects, whose variables live only as long as they do."""

    def __init__(self, inputs: Inputs):
        """Loads them.

        Raises:
          ValueError: a SavedModel cannot be loaded.
          signatures.ContractError: one lacks a signature.
        """
        self.manifest = inputs.tagger
        self.generator = payload.generator_from_hex(inputs.tagger.generator, inputs.tagger.code_bits)
        self.simulators = {
            name: library.load(os.path.join(inputs.simulators_dir, name)) for name in inputs.simulators
        }
        try:
            self._tagger = tf.saved_model.load(inputs.model_dir)
        except (OSError, tf.errors.OpError) as error:
            raise ValueError(f"{inputs.model_dir}: not a loadable SavedModel: {error}") from error
        missing = sorted({signatures.ENCODE, signatures.DECODE} - set(self._tagger.signatures))
        if missing:
            raise signatures.ContractError(f"{inputs.model_dir}: expected a signature '{missing[0]}'")

    def encode(self, pictures: np.ndarray, codewords: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Tags: uint8 [B, S, S, 3] and masked codewords float32 [B, n] → as _rounded."""
        made = self._tagger.signatures[signatures.ENCODE](
            images=tf.constant(images.to_float(pictures)),
            codeword=tf.constant(codewords),
            strength=tf.fill([len(pictures)], float(self.manifest.strength)),
        )
        return _rounded(made[signatures.IMAGES])

    def simulate(self, name: str, condition: int, pictures: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Simulates: uint8 [B, S, S, 3] → as _rounded."""
        made = self.simulators[name](tf.constant(images.to_float(pictures)), tf.fill([len(pictures)], condition))
        return _rounded(made)

    def decode(self, pictures: np.ndarray, masks: np.ndarray) -> Dict[str, np.ndarray]:
        """Reads uint8 [B, S, S, 3] under masks float32 [B, n] → the signature's outputs as arrays.

        Raises:
          signatures.ContractError: an output is missing or of another shape than the manifest says.
        """
        made = self._tagger.signatures[signatures.DECODE](
            images=tf.constant(images.to_float(pictures)), key_mask=tf.constant(masks)
        )
        read = {name: value.numpy() for name, value in made.items()}
        tagger = self.manifest
        shapes = {"message": (tagger.message_bits,), "logits": (tagger.code_bits,), "p_value": (), "tagged": ()}
        for name, shape in shapes.items():
            if name not in read or read[name].shape != (len(pictures), *shape):
                found = read[name].shape if name in read else "nothing"
                raise signatures.ContractError(
                    f"{signatures.DECODE}: expected {name} of shape {(len(pictures), *shape)}, found {found}"
                )
        return read


def _rounded(values: tf.Tensor) -> Tuple[np.ndarray, np.ndarray]:
    """A network's pictures as saved files would hold them, uint8, and whether each was finite, bool [B].

    What is not finite becomes black, and its row says so: the other pictures of the batch can still be measured.
    """
    values = values.numpy()
    finite = np.isfinite(values).all(axis=(1, 2, 3))
    return images.to_uint8(np.where(finite[:, None, None, None], values, 0.0)), finite


@dataclasses.dataclass(frozen=True)
class _Draw:
    """UIDs and masks of a batch: messages uint8 [B, k], masks and masked codewords float32 [B, n]."""

    messages: np.ndarray
    masks: np.ndarray
    codewords: np.ndarray


def draw(seed: int, image_ids: Sequence[str], repeat: int, generator: np.ndarray) -> _Draw:
    """A random UID and a random mask for each picture, a function of seed, image id and repeat alone.

    Thus they depend neither on the order of the pictures nor on batches or workers. Other masks for every picture are
    what makes the share of false positives one over keys, not that of one key.
    """
    message_bits, code_bits = generator.shape
    messages, masks = [], []
    for image_id in image_ids:
        digest = hashlib.sha256(f"{seed}\0{repeat}\0{image_id}".encode()).digest()
        tag = payload.Payload(generator, payload.key_mask(digest, code_bits))
        messages.append(tag.message(random.Random(digest).getrandbits(message_bits)))
        masks.append(tag.mask)
    codewords = payload.encode_messages(np.stack(messages), generator) ^ np.stack(masks)
    return _Draw(np.stack(messages), np.float32(masks), np.float32(codewords))


def measure_batch(
    models: Models, config: EvaluatorConfig, image_ids: Sequence[str], originals: np.ndarray
) -> Iterator[Row]:
    """Measures one batch of pictures, uint8 [B, S, S, 3]; yields rows of ROW_SCHEMA."""
    conditions = [
        (name, number, condition)
        for name, simulator in models.simulators.items()
        for number, condition in enumerate(simulator.manifest.conditions)
    ]
    strengths = [_compare(originals, *models.simulate(name, number, originals)) for name, number, _ in conditions]
    for repeat in range(config.repeats):
        drawn = draw(config.seed, image_ids, repeat, models.generator)
        tagged, finite = models.encode(originals, drawn.codewords)
        psnr, ssim = _compare(originals, tagged, finite)
        common = {"image_id": list(image_ids), "repeat": repeat, "psnr": psnr, "ssim": ssim}
        untagged = _read(models, originals, np.ones(len(originals), bool), drawn)
        nothing = dict.fromkeys(("message_ok", "bit_accuracy", "psnr", "ssim"))
        yield from _rows({**common, "slice": UNTAGGED, **untagged, **nothing})
        yield from _rows({**common, "slice": PLAIN, **_read(models, tagged, finite, drawn)})
        for (name, number, condition), (strength_psnr, strength_ssim) in zip(conditions, strengths):
            made, made_finite = models.simulate(name, number, tagged)
            columns = {
                "slice": slice_of(name, condition),
                "simulator": name,
                "condition": condition,
                "black_box": config.is_black_box(name),
                "strength_psnr": strength_psnr,
                "strength_ssim": strength_ssim,
            }
            finite_so_far = finite & made_finite & np.isfinite(strength_psnr)
            yield from _rows({**common, **columns, **_read(models, made, finite_so_far, drawn)})


def _compare(before: np.ndarray, after: np.ndarray, finite: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """PSNR and SSIM of each pair, NaN where `after` was not finite."""
    figures = metrics.psnr(before, after), metrics.ssim(before, after)
    return tuple(np.where(finite, figure, np.nan) for figure in figures)


def _read(models: Models, pictures: np.ndarray, finite: np.ndarray, drawn: _Draw) -> Dict[str, np.ndarray]:
    """The columns that come of reading pictures; `finite` says which of them are worth reading."""
    read = models.decode(pictures, drawn.masks)
    finite = finite & np.isfinite(read["logits"]).all(axis=1) & np.isfinite(read["p_value"])
    return {
        "message_ok": finite & (read["message"] == drawn.messages).all(axis=1),
        "bit_accuracy": np.where(finite, metrics.bit_accuracy(read["logits"], drawn.codewords), np.nan),
        "tagged": read["tagged"].astype(bool),
        "p_value": read["p_value"].astype(np.float64),
        "finite": finite,
    }


def _rows(columns: Dict[str, Any]) -> Iterator[Row]:
    """Columns (one value a picture, or one for all) as rows with plain Python values."""
    for index in range(len(columns["image_id"])):
        row = dict.fromkeys(ROW_SCHEMA.names)
        for name, values in columns.items():
            value = values[index] if isinstance(values, (list, np.ndarray)) else values
            row[name] = value.item() if isinstance(value, np.generic) else value
        yield row


def image_id_of(record: bytes) -> str:
    """The image id of a serialised tf.Example; ValueError when the record is none of example_gen's."""
    try:
        example = tf.train.Example.FromString(record)
        return example.features.feature[features.IMAGE_ID].bytes_list.value[0].decode()
    except (protobuf.DecodeError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"an eval record has no readable '{features.IMAGE_ID}': run example_gen again") from error


def parse_record(record: bytes, image_size: int) -> np.ndarray:
    """The picture of a serialised tf.Example, uint8 [image_size, image_size, 3]; ValueError names a wrong one."""
    try:
        picture = features.parse_example(tf.constant(record), image_size)[features.IMAGE]
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise ValueError(
            f"eval picture '{image_id_of(record)}' is no PNG of {image_size}×{image_size} pixels, the tagger's size: "
            "run example_gen with that size"
        ) from error
    return images.to_uint8(picture.numpy())


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


class ReadExamples(beam.PTransform):
    """PCollection of gzip TFRecord paths (features.example_files) → PCollection of serialised tf.Examples."""

    def expand(self, paths):
        reader = beam.io.ReadAllFromTFRecord(compression_type=CompressionTypes.GZIP)
        return paths | "Whole" >> beam.Map(whole_file) | "Records" >> reader


class _MeasureFn(beam.DoFn):
    """Batches of serialised tf.Examples → rows. The networks are loaded once a process."""

    def __init__(self, inputs: Inputs, config: EvaluatorConfig):
        self._inputs = inputs
        self._config = config
        self._shared = shared.Shared()

    def setup(self):
        self._models = self._shared.acquire(lambda: Models(self._inputs))

    def process(self, records: List[bytes]) -> Iterator[Row]:
        image_ids = [image_id_of(record) for record in records]
        originals = np.stack([parse_record(record, self._inputs.tagger.image_size) for record in records])
        yield from measure_batch(self._models, self._config, image_ids, originals)


class _Limit(beam.PTransform):
    """Keeps the records with the `count` smallest hashes of their ids: a random choice, but always the same."""

    def __init__(self, count: int):
        super().__init__()
        self._count = count

    def expand(self, records):
        chosen = (
            records
            | "Ids" >> beam.Map(image_id_of)
            | "Smallest" >> beam.combiners.Top.Smallest(self._count, key=_hash)
            | "AsSet" >> beam.Map(frozenset)
        )
        return records | "Keep" >> beam.Filter(_is_chosen, beam.pvalue.AsSingleton(chosen))


def _hash(image_id: str) -> bytes:
    return hashlib.sha256(image_id.encode()).digest()


def _is_chosen(record: bytes, chosen: FrozenSet[str]) -> bool:
    return image_id_of(record) in chosen


class MeasureTagger(beam.PTransform):
    """PCollection of serialised tf.Examples (contract.features) → PCollection of rows (ROW_SCHEMA).

    Every picture is tagged once a repeat; the tagged picture is read as it is (`plain`) and after every simulator ×
    condition, the original is read under the same mask (`untagged`). Between all steps pictures are rounded to 8 bits.
    """

    def __init__(self, inputs: Inputs, config: EvaluatorConfig):
        super().__init__()
        self._inputs = inputs
        self._config = config

    def expand(self, records):
        size = self._config.batch_size
        if self._config.limit is not None:
            records = records | "Limit" >> _Limit(self._config.limit)
        return (
            records
            # One file is read by one worker; without this the networks would run there too.
            | "Spread" >> beam.Reshuffle()
            | "Batch" >> beam.BatchElements(min_batch_size=size, max_batch_size=size)
            | "Measure" >> beam.ParDo(_MeasureFn(self._inputs, self._config))
        )
