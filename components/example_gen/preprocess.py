"""The Beam pipeline from Pictures to Examples: read, crop to a square, resize, split, write.

Imports no TFX: Beam's workers import this module. Pictures stream through; what is unusable is set
aside with its reason.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import tensorflow as tf

from faketagger.components.contract import features, images
from faketagger.components.example_gen import sources
from faketagger.components.faces import cutting, detector

MIN_SIDE = 32
REJECTED = "rejected"
OUTCOMES = (features.TRAIN_SPLIT, features.EVAL_SPLIT, REJECTED)
REJECTED_FILE = "rejected.jsonl"
COUNTS_FILE = "counts.json"


def split_of(picture: sources.Picture, eval_percent: int) -> str:
    """`train` or `eval`: as the source says, else by a hash of the identity, or of the file where there is none.

    A person, or a picture, so stays in its split whatever is added, removed or renamed, and copies stay together.
    """
    if picture.split is not None:
        return picture.split
    fingerprint = hashlib.sha256(picture.identity.encode() if picture.identity else picture.data).digest()
    share = int.from_bytes(fingerprint[:8], "big") / 2**64
    return features.EVAL_SPLIT if share * 100 < eval_percent else features.TRAIN_SPLIT


def to_example(picture: sources.Picture, image_size: int, align: bool = False) -> tf.train.Example:
    """A Picture as the contract's Example, with the landmarks of its largest face.

    Args:
      picture: as its source gave it.
      image_size: the side of the Example's PNG.
      align: whether it shows the square around the face (cutting.aligned_square), for photographs of people as they
        are; otherwise the centred square, for data sets of aligned faces.

    Raises:
      ImageError: unreadable, a shorter side below 32 pixels (nothing of a face is left in it), or no face to align.
    """
    if picture.problem:
        raise images.ImageError(f"{picture.image_id}: {picture.problem}")
    pixels = images.load_image(picture.data, picture.image_id)
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise images.ImageError(f"{picture.image_id}: {width}×{height} pixels; the shorter side must have {MIN_SIDE}")
    # The largest one: small ones need not be looked for.
    face = next(iter(detector.find_faces(pixels, smallest=0.1 * max(height, width))), None)
    if not align:
        square, landmarks = cutting.centred_square(pixels, image_size, face)
    elif face is None:
        raise images.ImageError(f"{picture.image_id}: no face is found in it")
    else:
        square, landmarks = cutting.aligned_square(pixels, image_size, face)
    png, attributes = images.encode_png(square), features.attributes_from(picture.labels)
    return features.make_example(png, picture.image_id, picture.source, attributes, image_size, image_size, landmarks)


class _Prepare(beam.DoFn):
    """Picture → serialized Example, tagged with its split; or, tagged `rejected`, a line of JSON that says why not."""

    def __init__(self, image_size: int, eval_percent: int, align: bool):
        self._image_size = image_size
        self._align = align
        self._eval_percent = eval_percent

    def process(self, picture: sources.Picture) -> Iterable[Any]:
        try:
            example = to_example(picture, self._image_size, self._align)
        except images.ImageError as error:
            reason = str(error).removeprefix(f"{picture.image_id}: ")
            line = json.dumps({"name": picture.image_id, "reason": reason}, ensure_ascii=False)
            yield beam.pvalue.TaggedOutput(REJECTED, line)
        else:
            yield beam.pvalue.TaggedOutput(split_of(picture, self._eval_percent), example.SerializeToString())


def write_examples(
    pipeline: beam.Pipeline,
    source: beam.PTransform,
    output_uri: str,
    image_size: int,
    eval_percent: int,
    align: bool = False,
) -> None:
    """Adds to `pipeline` all from `source` (a transform that yields Pictures) to the files below `output_uri`.

    Written are Split-train/ and Split-eval/ (gzip TFRecord of serialized Examples), rejected.jsonl (one object a line:
    name, reason) and counts.json (how many of each outcome; written by the pipeline, so that every runner can).
    """
    prepare = beam.ParDo(_Prepare(image_size, eval_percent, align)).with_outputs(*OUTCOMES)
    outcomes = pipeline | "Photographs" >> source | "Prepare" >> prepare
    for split in (features.TRAIN_SPLIT, features.EVAL_SPLIT):
        prefix = os.path.join(output_uri, f"Split-{split}", "data_tfrecord")
        outcomes[split] | f"Write[{split}]" >> beam.io.WriteToTFRecord(prefix, file_name_suffix=".gz")
    outcomes[REJECTED] | "Rejected" >> _write_one_file(os.path.join(output_uri, REJECTED_FILE))
    (
        [outcomes[name] | f"Outcome[{name}]" >> beam.Map(lambda _, name: name, name) for name in OUTCOMES]
        | "Outcomes" >> beam.Flatten()
        | "Count" >> beam.combiners.Count.PerElement()
        | "Counts" >> beam.combiners.ToDict()
        | "AsJson" >> beam.Map(json.dumps)
        | "WriteCounts" >> _write_one_file(os.path.join(output_uri, COUNTS_FILE))
    )


def _write_one_file(path: str) -> beam.PTransform:
    return beam.io.WriteToText(path, num_shards=1, shard_name_template="")


def read_counts(output_uri: str) -> dict[str, int]:
    """How many pictures ended as `train`, `eval` and `rejected`, from a finished pipeline's counts.json."""
    with tf.io.gfile.GFile(os.path.join(output_uri, COUNTS_FILE), "r") as file:
        counts = json.loads(file.read())
    return {name: int(counts.get(name, 0)) for name in OUTCOMES}


def check_counts(output_uri: str, counts: dict[str, int], max_rejected: float) -> None:
    """Refuses what a run has made, ValueError, when too large a share was set aside or a split is empty.

    The message gives the first reasons, for TFX removes the outputs of a failed step.
    """
    total, rejected = sum(counts.values()), counts[REJECTED]
    reasons = _first_reasons(output_uri) if rejected else ""
    if total == 0:
        raise ValueError("the source has no pictures")
    if rejected / total > max_rejected:
        raise ValueError(
            f"{rejected} of {total} pictures could not be used ({rejected / total:.1%}), more than the "
            f"{max_rejected:.1%} that max_rejected allows: repair or remove them, or raise max_rejected.{reasons}"
        )
    for split in (features.TRAIN_SPLIT, features.EVAL_SPLIT):
        if counts[split] == 0:
            raise ValueError(
                f"none of {total} pictures is in the split '{split}' (counts: {counts}): give more pictures, another "
                f"eval_percent, or a 'split' column.{reasons}"
            )


def _first_reasons(output_uri: str, most: int = 5) -> str:
    with tf.io.gfile.GFile(os.path.join(output_uri, REJECTED_FILE), "r") as file:
        lines: list[dict[str, Any]] = [json.loads(line) for _, line in zip(range(most), file)]
    return "".join(f"\n  {line['name']}: {line['reason']}" for line in lines)
