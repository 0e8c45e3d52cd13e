"""Trains the simulators asked for, on Examples, and exports them; takes up again what was cut off."""

import os
from typing import List, Optional, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features, files, manifest, signatures
from faketagger.components.simulator import export, library, perturbation
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.faceswap import FaceSwap

_EPOCH_STEPS = 100  # A checkpoint and a line of progress each.
_STRENGTH_IMAGES = 64
_GROUP_ATTRIBUTE = "Male"
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
    for name in config.train:
        made.append(_train_faceswap(examples_uri, directory, config, os.path.join(checkpoints, name), eval_images))
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


def _train_faceswap(
    examples_uri: str, directory: str, config: SimulatorConfig, checkpoints: str, eval_images: np.ndarray
) -> manifest.SimulatorManifest:
    images, in_group_b, grouped_by = _groups(examples_uri, config.image_size)
    model = FaceSwap(config.image_size, config.width)
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.steps, alpha=0.05)
    model.compile(keras.optimizers.Adam(schedule, beta_1=0.5, clipnorm=1.0))
    batches = tf.data.Dataset.zip(tuple(_endless(images[group], config) for group in (~in_group_b, in_group_b)))
    model.fit(
        batches.prefetch(4),
        epochs=-(-config.steps // _EPOCH_STEPS),
        steps_per_epoch=_EPOCH_STEPS,
        callbacks=[keras.callbacks.BackupAndRestore(checkpoints)],
    )
    described = manifest.SimulatorManifest(
        name="faceswap",
        family="identity_swap",
        conditions=list(FaceSwap.CONDITIONS),
        image_size=config.image_size,
        training_data=f"{len(images)} pictures of the train split, in two groups by {grouped_by}; {config.steps} steps",
        licence="that of the training pictures",
    )
    return export.save(directory, model.swap, described, eval_images, tracked=model)


def _groups(examples_uri: str, image_size: int) -> Tuple[np.ndarray, np.ndarray, str]:
    """The train split's pictures, float32 [N, S, S, 3], which of them are in group b, and what the groups are."""
    pictures, labels = [], []
    attribute = features.ATTRIBUTE_NAMES.index(_GROUP_ATTRIBUTE)
    for example in features.read_dataset(examples_uri, features.TRAIN_SPLIT, image_size).as_numpy_iterator():
        pictures.append(example[features.IMAGE])
        labels.append(example[features.ATTRIBUTES][attribute])
    labels = np.array(labels)
    if (labels == features.UNKNOWN).any() or len(set(labels)) < 2:
        return np.stack(pictures), np.arange(len(labels)) % 2 == 1, "turns, no labels being there"
    return np.stack(pictures), labels == 1, f"the attribute {_GROUP_ATTRIBUTE}"


def _endless(images: np.ndarray, config: SimulatorConfig) -> tf.data.Dataset:
    pictures = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images), seed=config.seed).repeat()
    return pictures.map(tf.image.random_flip_left_right).batch(config.batch_size)
