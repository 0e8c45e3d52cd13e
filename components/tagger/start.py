"""What a training begins with where it goes on from an exported tagger."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from faketagger.components.contract import manifest, pretrained
from faketagger.components.tagger.config import TaggerConfig
from faketagger.components.tagger.residual import LUMINANCE

# What brings a free residual, which the bound scaled down whatever its size, to where tanh bends.
_GAIN = 0.25
_PARTING = 0.05  # Deviation of the noise that tells copies of a channel from each other, in deviations of the weights.


def directory_of(config: TaggerConfig) -> str | None:
    """The SavedModel that a training goes on from; None where it begins anew."""
    return pretrained.TAGGER if config.start_from == "shipped" else config.start_from


def record_before(config: TaggerConfig) -> manifest.TaggerRecord | None:
    """How the tagger that a training goes on from was trained; None where that is not known, or it begins anew.

    Raises:
      ValueError: its manifest is missing or wrong, or it was trained through what `black_box` names.
    """
    directory = directory_of(config)
    before = manifest.read(manifest.TaggerManifest, directory).training if directory else None
    known = sorted(set(config.black_box) & set(before.simulators)) if before else []
    if known:  # The evaluator would refuse it, after the training.
        raise ValueError(f"start_from: {directory}: was trained through {', '.join(known)}: take that out of black_box")
    return before


def load_networks(encoder: tf.keras.Model, decoder: tf.keras.Model, config: TaggerConfig, directory: str) -> None:
    """Gives networks the weights of an exported tagger's.

    It may be one of half the side where `config` has space_to_depth, one without masking where `config` has it, and
    one whose decoder is narrower by a whole factor: the networks then begin by doing nearly what that one does.

    Args:
      encoder, decoder: as networks.py builds them for `config`.
      config: what is going to be trained.
      directory: of the SavedModel.

    Raises:
      ValueError: it is no exported tagger, its networks are of other sizes, or it has masking and `config` has not.
    """
    try:
        exported = tf.saved_model.load(directory)
        of_encoder, of_decoder = (
            [each.numpy() for each in part.variables] for part in (exported.encoder, exported.decoder)
        )
        masked = exported.masked.numpy() if hasattr(exported, "masked") else False
    except (OSError, AttributeError, tf.errors.OpError) as error:
        raise ValueError(f"start_from: {directory}: not an exported tagger: {error}") from error
    if masked and not config.masking:  # What it says of luminance and colours would be taken for RGB.
        raise ValueError(f"start_from: {directory}: expected a tagger without masking, found one with it")
    if config.masking and not masked:
        of_encoder[-2:] = [_as_luminance_and_chroma(each) for each in of_encoder[-2:]]
    if config.space_to_depth > 1:
        of_encoder = _folded(of_encoder, [each.shape for each in encoder.variables])
        first = of_decoder[0]
        of_decoder[:1] = _folded([first], [(*decoder.variables[0].shape[:3], first.shape[-1])])
    of_decoder = _widened(of_decoder, [each.shape for each in decoder.variables], config.seed)
    wanted, given = [*encoder.variables, *decoder.variables], [*of_encoder, *of_decoder]
    if [tuple(each.shape) for each in given] != [tuple(each.shape) for each in wanted]:
        raise ValueError(
            f"start_from: {directory}: its networks are of other sizes: train with its image_size, code_length, level "
            "and widths"
        )
    for variable, value in zip(wanted, given):
        variable.assign(value)


def _widened(given: list[np.ndarray], wanted: list[Sequence[int]], seed: int) -> list[np.ndarray]:
    """Weights of a decoder that is a whole factor wider: each channel several times (Net2WiderNet, Chen et al. 2016).

    Copies stay next to each other, so that group normalisation finds them in their group; noise lets them part.
    """
    times = wanted[0][-1] // given[0].shape[-1]
    if times < 2:
        return given
    draws, widened = np.random.default_rng(seed), []
    for weights, shape in zip(given, wanted):
        if weights.ndim > 1 and shape[-2] > weights.shape[-2]:
            weights = np.repeat(weights, times, -2) / times
        if shape[-1] > weights.shape[-1]:
            weights = np.repeat(weights, times, -1)
        if weights.ndim > 1:
            weights = weights + draws.normal(0.0, _PARTING * weights.std(), weights.shape).astype(np.float32)
        widened.append(weights)
    return widened


def _as_luminance_and_chroma(weights: np.ndarray) -> np.ndarray:
    """The last layer's kernel [1, 1, c, 3·b] or bias [3·b], which makes RGB of b pixels, for luminance, Cb and Cr."""
    pixels = weights.reshape(*weights.shape[:-1], -1, 3)
    luminance = pixels @ np.float32(LUMINANCE)
    red, blue = pixels[..., 0], pixels[..., 2]
    made = _GAIN * np.stack([luminance, (blue - luminance) / 1.772, (red - luminance) / 1.402], -1)
    return made.reshape(weights.shape)


def _folded(given: list[np.ndarray], wanted: list[Sequence[int]]) -> list[np.ndarray]:
    """Weights for pictures whose blocks of pixels are channels: each block is taken as its mean, and made alike."""

    def fold(weights: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        if weights.ndim == 4 and shape[2] > weights.shape[2]:
            times = shape[2] // weights.shape[2]
            return np.tile(weights, (1, 1, times, 1)) / times
        if shape[-1] > weights.shape[-1]:
            return np.tile(weights, shape[-1] // weights.shape[-1])
        return weights

    return [fold(*each) if len(each[0].shape) == len(each[1]) else each[0] for each in zip(given, wanted)]
