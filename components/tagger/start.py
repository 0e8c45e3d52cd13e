"""The weights that a training begins with where it goes on from an exported tagger."""

import numpy as np
import tensorflow as tf

from faketagger.components.tagger.config import TaggerConfig
from faketagger.components.tagger.residual import LUMINANCE

# What brings a free residual, which the bound scaled down whatever its size, to where tanh bends.
_GAIN = 0.25


def load_networks(encoder: tf.keras.Model, decoder: tf.keras.Model, config: TaggerConfig, directory: str) -> None:
    """Gives networks the weights of an exported tagger's.

    It may be one of half the side where `config` has space_to_depth, and one without masking where `config` has it: the
    networks then begin by doing nearly what that one does.

    Args:
      encoder, decoder: as networks.py builds them for `config`.
      config: what is going to be trained.
      directory: of the SavedModel.

    Raises:
      ValueError: it is no exported tagger, or its networks are of other sizes.
    """
    try:
        exported = tf.saved_model.load(directory)
        of_encoder, of_decoder = (
            [each.numpy() for each in part.variables] for part in (exported.encoder, exported.decoder)
        )
        masked = exported.masked.numpy() if hasattr(exported, "masked") else False
    except (OSError, AttributeError, tf.errors.OpError) as error:
        raise ValueError(f"start_from: {directory}: not an exported tagger: {error}") from error
    if config.masking and not masked:
        of_encoder[-2:] = [_as_luminance_and_chroma(each) for each in of_encoder[-2:]]
    if config.space_to_depth > 1:
        of_encoder = _folded(of_encoder, [each.shape for each in encoder.variables])
        of_decoder = _folded(of_decoder, [each.shape for each in decoder.variables])
    wanted, given = [*encoder.variables, *decoder.variables], [*of_encoder, *of_decoder]
    if [tuple(each.shape) for each in given] != [tuple(each.shape) for each in wanted]:
        raise ValueError(
            f"start_from: {directory}: its networks are of other sizes: train with its image_size, code_length, level "
            "and widths"
        )
    for variable, value in zip(wanted, given):
        variable.assign(value)


def _as_luminance_and_chroma(weights: np.ndarray) -> np.ndarray:
    """The last layer's kernel [1, 1, c, 3] or bias [3], which makes RGB, for one that makes luminance, Cb and Cr."""
    luminance = weights @ np.float32(LUMINANCE)
    red, blue = weights[..., 0], weights[..., 2]
    return _GAIN * np.stack([luminance, (blue - luminance) / 1.772, (red - luminance) / 1.402], -1)


def _folded(given: list[np.ndarray], wanted: list[tf.TensorShape]) -> list[np.ndarray]:
    """Weights for pictures whose blocks of pixels are channels: each block is taken as its mean, and made alike."""

    def fold(weights: np.ndarray, shape: tf.TensorShape) -> np.ndarray:
        if weights.ndim == 4 and shape[2] > weights.shape[2]:
            times = shape[2] // weights.shape[2]
            return np.tile(weights, (1, 1, times, 1)) / times
        if shape[-1] > weights.shape[-1]:
            return np.tile(weights, shape[-1] // weights.shape[-1])
        return weights

    return [fold(*each) if len(each[0].shape) == len(each[1]) else each[0] for each in zip(given, wanted)]
