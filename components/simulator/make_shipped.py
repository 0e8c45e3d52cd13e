"""Trains and packs a simulator as the repository ships it: half-precision weights, manifest, card and samples."""

import os
import tempfile

from tensorflow import keras

from faketagger.components.contract import features, files, manifest
from faketagger.components.simulator import library, training
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators.base import Generator, read_faces
from faketagger.components.simulator.packing import card, export, samples, shipped
from faketagger.components.simulator.quality.assess import Assessor


def make_shipped(
    config: SimulatorConfig,
    name: str,
    examples: str,
    out: str,
    *,
    data: str,
    licence: str,
    shown: str | None = None,
    checkpoints: str | None = None,
) -> None:
    """Trains a simulator and writes it to `out`/`name`; goes on from the last checkpoint of a training that was killed.

    Args:
      config: names one simulator to train.
      name: how to call it.
      examples: an Examples artifact: trained on its train split, assessed on eval.
      out: the directory of shipped simulators.
      data: what the pictures are, for the model card.
      licence: under which terms the simulator may be used.
      shown: an Examples artifact whose eval pictures the sheet shows; `examples` by default.
      checkpoints: kept until the end; beside `out` by default.
    """
    (generator,) = config.train
    faces = read_faces(examples, features.TRAIN_SPLIT, config.stored_side)
    kept = training.checkpoint_directory(checkpoints or f"{out}.checkpoints", name, config, examples)
    judged = Assessor(read_faces(examples, features.EVAL_SPLIT, config.image_size))
    judged = training.with_judge(judged, faces, config)
    keras.utils.set_random_seed(config.seed)
    model, described = training.train(generator, faces, config, kept, judged.judge)
    training_data = f"{data} ({described.training_data})"
    described = described.replace(name=name, licence=licence, training_data=training_data)
    pictured = Assessor(read_faces(shown, features.EVAL_SPLIT, config.image_size)) if shown else judged
    with tempfile.TemporaryDirectory() as temporary:
        _pack(model, described, judged, pictured, temporary)
        files.copy_directory(os.path.join(temporary, "packed", name), os.path.join(out, name))
    files.remove_directory(kept)


def _pack(
    model: Generator, described: manifest.SimulatorManifest, judged: Assessor, shown: Assessor, directory: str
) -> None:
    """Packs a simulator below `directory`/packed, assessed as it will be used: with the weights as they are on disk."""
    packed = os.path.join(directory, "packed", described.name)
    shipped.pack(model, described, os.path.dirname(packed))
    model = shipped.unpack(packed)
    described = export.save(directory, model.simulate, described, judged, tracked=model.variables)
    simulator = library.load(os.path.join(directory, described.name))
    manifest.write(described, packed)
    files.write_bytes(os.path.join(packed, samples.FILE), export.sheet(simulator, shown))
    size = os.path.getsize(os.path.join(packed, shipped.WEIGHTS_FILE))
    text = card.write(described, len(judged.faces.pixels), size, shown is not judged)
    files.write_bytes(os.path.join(packed, card.FILE), text.encode())
