"""Trains the simulators asked for, on Examples, and exports them; takes up again what was cut off."""

import os
from typing import List, Optional

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features, files, manifest, signatures
from faketagger.components.simulator import export, library, perturbation
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.faceswap import FaceSwap
from faketagger.components.simulator.generator import Faces, read_faces

# By simulator name, what config.TRAINABLE lists.
GENERATORS = {"faceswap": FaceSwap}
_EPOCH_STEPS = 100  # A checkpoint and a line of progress each.
_STRENGTH_IMAGES = 64
PERTURBATION = "perturbation"


def make_all(
    examples_uri: str, directory: str, config: SimulatorConfig, checkpoints: str, foreign: Optional[str] = None
) -> List[manifest.SimulatorManifest]:
    """Exports `perturbation`, and trains and exports every simulator of `config` or takes in foreign ones.

    Args:
      examples_uri: the Examples artifact; trained on its train split, strength measured on its eval split.
      directory: where the simulators go.
      config: what to train.
      checkpoints: a directory kept between runs, for trainings that were killed.
      foreign: a directory of simulators to use instead of training any.

    Returns:
      Their manifests.

    Raises:
      ValueError, signatures.ContractError: a foreign simulator does not keep the contract.
    """
    keras.utils.set_random_seed(config.seed)
    measured_on = features.read_dataset(examples_uri, features.EVAL_SPLIT, config.image_size, _STRENGTH_IMAGES)
    eval_images = np.stack([example[features.IMAGE] for example in measured_on.as_numpy_iterator()])
    made = [_export_perturbation(directory, config, eval_images)]
    if foreign:
        return made + _take_in(foreign, directory, config, eval_images)
    faces = read_faces(examples_uri, config.image_size)
    for name in config.train:
        print(f"training {name}")
        made.append(_train(name, faces, directory, config, os.path.join(checkpoints, name), eval_images))
    return made


def _take_in(
    foreign: str, directory: str, config: SimulatorConfig, eval_images: np.ndarray
) -> List[manifest.SimulatorManifest]:
    """Checks foreign simulators, measures their strength here, and copies them beside our own."""
    taken = []
    for name in library.names(foreign):
        if name == PERTURBATION:
            continue
        simulator = library.load(os.path.join(foreign, name))
        described = simulator.manifest
        if described.image_size != config.image_size:
            raise signatures.ContractError(
                f"{foreign}/{name}: expected pictures of {config.image_size}×{config.image_size}, as the pipeline's; "
                f"found {described.image_size}×{described.image_size}"
            )
        described.strength = export.measure_strength(simulator, eval_images)
        files.copy_directory(os.path.join(foreign, name), os.path.join(directory, name))
        manifest.write(described, os.path.join(directory, name))
        taken.append(described)
    return taken


def _export_perturbation(directory: str, config: SimulatorConfig, eval_images: np.ndarray) -> manifest.SimulatorManifest:
    perturbations = perturbation.evaluation_perturbations()

    def simulate(images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        # One condition a call is the rule, so only the branches that some picture asks for are computed.
        result = images
        for index, perturb in enumerate(perturbations.values()):
            wanted = tf.equal(condition, index)
            changed = tf.cond(tf.reduce_any(wanted), lambda perturb=perturb: perturb(images), lambda: images)
            result = tf.where(wanted[:, None, None, None], changed, result)
        return result

    described = manifest.SimulatorManifest(
        name=PERTURBATION,
        family="perturbation",
        conditions=list(perturbations),
        image_size=config.image_size,
        training_data="none: formulas and the real JPEG codec",
        licence="the project's own",
    )
    return export.save(directory, simulate, described, eval_images)


def _train(
    name: str, faces: Faces, directory: str, config: SimulatorConfig, checkpoints: str, eval_images: np.ndarray
) -> manifest.SimulatorManifest:
    model = GENERATORS[name].build_for(config, faces)
    epoch_steps = min(_EPOCH_STEPS, config.steps)
    epochs = -(-config.steps // epoch_steps)
    model.compile_for(config, epochs * epoch_steps)
    model.fit(
        model.batches(faces, config).prefetch(4),
        epochs=epochs,
        steps_per_epoch=epoch_steps,
        callbacks=[keras.callbacks.BackupAndRestore(checkpoints, delete_checkpoint=False)],
    )
    described = manifest.SimulatorManifest(
        name=name,
        family=model.FAMILY,
        conditions=list(model.conditions),
        image_size=config.image_size,
        training_data=f"{len(faces.pictures)} pictures of the train split, {config.steps} steps",
        licence="that of the training pictures",
    )
    return export.save(directory, model.simulate, described, eval_images, tracked=model)
