"""Writes simulators as SavedModels with the `simulate` signature, their manifest and their sheet of samples."""

import os
from collections.abc import Callable

import tensorflow as tf

from faketagger.components.contract import files, manifest, signatures
from faketagger.components.simulator import library
from faketagger.components.simulator.packing import samples
from faketagger.components.simulator.quality.assess import Assessor

SimulateFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
_SAMPLES = 6  # Pictures on a sheet.


class _Module(tf.Module):
    """Wraps the function so that SavedModel keeps the variables it uses."""

    def __init__(self, simulate: SimulateFunction, image_size: int, tracked: object):
        super().__init__()
        self._tracked = tracked
        self.signature = tf.function(
            lambda images, condition: {signatures.IMAGES: simulate(images, condition)},
            input_signature=[
                tf.TensorSpec([None, image_size, image_size, 3], tf.float32, signatures.IMAGES),
                tf.TensorSpec([None], tf.int32, signatures.CONDITION),
            ],
        )


def resized(simulate: SimulateFunction, own_size: int, image_size: int) -> SimulateFunction:
    """`simulate`, which takes pictures of side `own_size`, for `image_size`: resized there and back, clipped."""

    def resize(pictures: tf.Tensor, size: int) -> tf.Tensor:
        if pictures.shape[1:3] != [size, size]:
            pictures = tf.image.resize(pictures, [size, size], "bicubic", antialias=True)
        return tf.clip_by_value(pictures, 0.0, 1.0)

    def at_image_size(pictures: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        made = resize(simulate(resize(pictures, own_size), condition), image_size)
        return tf.ensure_shape(made, [None, image_size, image_size, 3])

    return at_image_size


def save(
    directory: str,
    simulate: SimulateFunction,
    described: manifest.SimulatorManifest,
    assessor: Assessor,
    tracked: object = None,
) -> manifest.SimulatorManifest:
    """Writes the simulator to `directory`/<name>, checked as a foreign one would be, and assessed.

    Args:
      directory: where the simulators go.
      simulate: images float32 [B, H, W, 3] in [0, 1], condition int32 [B] → images.
      described: its manifest; the assessor fills in what it measures.
      assessor: measures it and may refuse it.
      tracked: the variables or networks that `simulate` uses.

    Returns:
      The manifest as written.

    Raises:
      assess.IdleSimulator: it is no test of a tag; nothing of it is left.
    """
    temporary = os.path.join(directory, f".{described.name}.part")
    files.remove_directory(temporary)
    module = _Module(simulate, described.image_size, tracked)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, temporary, signatures={signatures.SIMULATE: module.signature}, options=options)
    return finish(temporary, os.path.join(directory, described.name), described, assessor)


def finish(
    temporary: str, final: str, described: manifest.SimulatorManifest, assessor: Assessor
) -> manifest.SimulatorManifest:
    """Gives an unfinished simulator directory its manifest and sheet, and then its name; as `save`."""
    try:
        tf.io.gfile.makedirs(temporary)
        manifest.write(described, temporary)
        simulator = library.load(temporary)
        described = assessor.assess(simulator)
        manifest.write(described, temporary)
        files.write_bytes(os.path.join(temporary, samples.FILE), sheet(simulator, assessor))
    except BaseException:
        files.remove_directory(temporary)
        raise
    files.replace_directory(temporary, final)
    return described


def sheet(simulator: library.Simulator, assessor: Assessor) -> bytes:
    """A PNG of what the simulator makes of the assessor's first pictures."""
    few = Assessor(assessor.faces.first(_SAMPLES))
    return samples.draw_samples(few.faces.pictures, few.simulate_all(simulator))
