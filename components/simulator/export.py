"""Writes simulators as SavedModels with the `simulate` signature and their manifest, strength measured."""

import os
from typing import Callable, Dict

import numpy as np
import tensorflow as tf

from faketagger.components.contract import files, manifest, signatures
from faketagger.components.simulator import library

SimulateFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


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


def save(
    directory: str,
    simulate: SimulateFunction,
    described: manifest.SimulatorManifest,
    eval_images: np.ndarray,
    tracked: object = None,
) -> manifest.SimulatorManifest:
    """Writes the simulator to `directory`/<name>, checks it as a foreign one would be, and measures its strength.

    Args:
      directory: where the simulators go.
      simulate: images float32 [B, H, W, 3] in [0, 1], condition int32 [B] → images.
      described: its manifest; `strength` is filled in.
      eval_images: float32 [N, H, W, 3] in [0, 1], the eval pictures.
      tracked: the Keras models that `simulate` uses.

    Returns:
      The manifest as written.
    """
    final = os.path.join(directory, described.name)
    temporary = os.path.join(directory, f".{described.name}.part")
    files.remove_directory(temporary)
    module = _Module(simulate, described.image_size, tracked)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, temporary, signatures={signatures.SIMULATE: module.signature}, options=options)
    manifest.write(described, temporary)
    described.strength = measure_strength(library.load(temporary), eval_images)
    manifest.write(described, temporary)
    files.replace_directory(temporary, final)
    return described


def measure_strength(simulator: library.Simulator, images: np.ndarray, batch: int = 32) -> Dict[str, Dict[str, float]]:
    """By condition: mean PSNR (dB) and SSIM between input and output, both rounded to 8 bits (DESIGN §1).

    Args:
      simulator: the simulator.
      images: float32 [N, H, W, 3] in [0, 1]; N at least 1.
    """
    strength = {}
    for index, condition in enumerate(simulator.manifest.conditions):
        psnr, ssim = [], []
        for start in range(0, len(images), batch):
            before = tf.round(images[start : start + batch] * 255.0)
            after = simulator(before / 255.0, tf.fill([len(before)], index))
            after = tf.round(tf.clip_by_value(after, 0.0, 1.0) * 255.0)
            psnr.append(tf.image.psnr(before, after, 255.0))
            ssim.append(tf.image.ssim(before, after, 255.0))
        # An unchanged picture has infinite PSNR; 100 dB keeps the manifest finite and says the same.
        psnr = np.minimum(np.concatenate(psnr), 100.0)
        strength[condition] = {"psnr": float(np.mean(psnr)), "ssim": float(np.mean(np.concatenate(ssim)))}
    return strength
