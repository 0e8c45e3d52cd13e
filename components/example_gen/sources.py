"""Where photographs come from, as Beam transforms that all yield Pictures: a folder, or any TFDS data set of images.

Imports no TFX: Beam's workers import this module.
"""

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from faketagger.components.contract import features, images
from faketagger.components.example_gen import image_folder, procedural_faces

_NAME_FEATURES = ("image/filename", "file_name", "image/file_name", "filename")


@dataclasses.dataclass(frozen=True)
class Picture:
    """One photograph as its source holds it.

    Attributes:
      image_id: unique within the source, the same in every run.
      source: the data set, or the folder's own name.
      data: the bytes of a picture file; empty when there is a `problem`.
      labels: CelebA attributes by name, 0 or 1.
      split: `train` or `eval` where the source fixes it.
      identity: who is in it, where the source says so.
      problem: why it could not be read.
    """

    image_id: str
    source: str
    data: bytes
    labels: dict[str, int]
    split: str | None = None
    identity: str | None = None
    problem: str | None = None


class ReadFolder(beam.PTransform):
    """The photographs of a folder (image_folder.list_folder), read by the workers: all must see the folder."""

    def __init__(self, folder: str, limit: int | None = None):
        super().__init__()
        self._folder = folder
        self._limit = limit

    def expand(self, pipeline):
        return (
            pipeline
            | "Folder" >> beam.Create([self._folder])
            | "List" >> beam.FlatMap(image_folder.list_folder, self._limit)
            | "Share" >> beam.Reshuffle()
            | "Read" >> beam.Map(_read_file, self._folder)
        )


def _read_file(entry: image_folder.Entry, folder: str) -> Picture:
    data, problem = b"", None
    path = os.path.join(folder, entry.name)
    try:
        size = tf.io.gfile.stat(path).length
        if size == 0:
            problem = "the file is empty"
        elif size > images.MAX_FILE_BYTES:
            problem = f"{size:,} bytes is over {images.MAX_FILE_BYTES:,}"
        else:
            with tf.io.gfile.GFile(path, "rb") as file:
                data = file.read()
    except tf.errors.OpError as error:
        problem = error.message
    source = os.path.basename(folder.rstrip("/"))
    return Picture(entry.name, source, data, entry.labels, entry.split, entry.identity, problem)


class ReadTfds(beam.PTransform):
    """A prepared TFDS data set with an `image` feature, through TFDS's own Beam source.

    A data set with one split leaves the splitting to us; of others, `train` is ours and the rest is `eval`.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, dataset: str, limit: int | None = None):
        super().__init__()
        self._builder = builder
        self._dataset = dataset
        self._limit = limit

    def expand(self, pipeline):
        # TFDS's own ids depend on how it cut the data set into files, and TensorFlow warns of them: a last resort.
        named = any(feature in self._builder.info.features for feature in _NAME_FEATURES)
        return [
            pipeline
            | f"Read[{split}]"
            >> tfds.beam.ReadFromTFDS(
                self._builder,
                split=part,
                decoders={"image": tfds.decode.SkipDecoding()},
                read_config=tfds.ReadConfig(add_tfds_id=not named, try_autocache=False),
            )
            | f"Picture[{split}]" >> beam.Map(_picture_from_tfds, self._dataset, role)
            for split, part, role in _tfds_parts(self._builder, self._limit)
        ] | "Flatten" >> beam.Flatten(pipeline=pipeline.pipeline)


def _tfds_parts(builder: tfds.core.DatasetBuilder, limit: int | None) -> Iterable[Any]:
    sizes = {name: split.num_examples for name, split in builder.info.splits.items() if split.num_examples}
    left, total = limit, sum(sizes.values())
    for later, (name, size) in zip(reversed(range(len(sizes))), sizes.items()):
        keep = size
        if left is not None:  # In proportion, but one of each split where there can be.
            keep = min(size, left, max(1, min(round(left * size / total), left - later)))
            left, total = left - keep, total - size
        if not keep:
            return
        role = None
        if len(sizes) > 1:
            role = features.TRAIN_SPLIT if name == "train" else features.EVAL_SPLIT
        yield name, f"{name}[:{keep}]", role


def _picture_from_tfds(example: dict[str, Any], dataset: str, role: str | None) -> Picture:
    named = [example[feature] for feature in _NAME_FEATURES if feature in example]
    image_id = (named[0] if named else example["tfds_id"]).numpy().decode("utf-8", "replace")
    attributes = example.get("attributes", {})
    labels = {name: int(value) for name, value in attributes.items() if name in features.ATTRIBUTE_NAMES}
    return Picture(image_id, dataset, example["image"].numpy(), labels, role)


def prepare_tfds(
    dataset: str, image_size: int, data_dir: str, manual_dir: str | None = None
) -> tfds.core.DatasetBuilder:
    """The builder of a TFDS data set, which it prepares in `data_dir` if it is not there yet.

    Args:
      dataset: `procedural_faces…` (procedural_faces.config_for) or a name as TFDS knows it, `celeb_a_hq/256`.
      image_size: chooses the size of `procedural_faces` where its name does not.
      data_dir: where TFDS keeps prepared data sets.
      manual_dir: where the archives are that TFDS must not fetch itself.

    Raises:
      ValueError: an unknown data set, a missing or broken archive, or one without images; says what to do.
    """
    tfds.disable_progress_bar()
    try:
        builder = _builder(dataset, image_size, data_dir)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise ValueError(f"data set '{dataset}': {error}") from error
    if "image" not in builder.info.features:
        raise ValueError(
            f"data set '{dataset}' has no feature 'image'; its features: {', '.join(builder.info.features)}"
        )
    # Asked of a folder that is not there, is_prepared would warn.
    if not (builder.data_path.exists() and builder.is_prepared()):
        _check_archive(builder, dataset, data_dir, manual_dir)
        _prepare(builder, dataset, data_dir, manual_dir)
    return builder


def _prepare(builder: tfds.core.DatasetBuilder, dataset: str, data_dir: str, manual_dir: str | None) -> None:
    logging.info("Preparing the data set '%s' in %s", dataset, data_dir)
    config = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints what the line above says, in bold.
            builder.download_and_prepare(download_config=config)
    except Exception as error:  # TFDS and its archives fail in many ways; to the caller all mean the same.
        raise ValueError(f"data set '{dataset}' could not be prepared in {data_dir}: {error}") from error


def _builder(dataset: str, image_size: int, data_dir: str) -> tfds.core.DatasetBuilder:
    if dataset.split("/")[0] == procedural_faces.NAME:
        config = procedural_faces.config_for(dataset, image_size)
        return procedural_faces.ProceduralFaces(config=config.name, data_dir=data_dir)
    return tfds.builder(dataset, data_dir=data_dir, try_gcs=False)


def _check_archive(builder: tfds.core.DatasetBuilder, dataset: str, data_dir: str, manual_dir: str | None) -> None:
    """Says what to fetch and where to put it, which TFDS leaves to the data set (and celeb_a_hq fails at)."""
    if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return
    archive = getattr(builder.builder_config, "file_name", None)
    needed = os.path.join(manual_dir or "<manual_dir>", archive or "")
    if manual_dir is None or not tf.io.gfile.exists(needed):
        instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        raise ValueError(
            f"data set '{dataset}' is not prepared in {data_dir}, and its archive {needed} is missing: fetch it, put "
            f"it there and pass that folder as manual_dir. {instructions}"
        )
