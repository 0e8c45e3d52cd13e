"""Encoder, decoder and critic, of plain Keras layers (so that they also run under Keras 3)."""

import numpy as np
from tensorflow import keras

_MESSAGE_CHANNELS = 4
_MESSAGE_VALUES = 1024  # At least as many, in more channels where a level is small.
_GROUPS = 8


def _conv(x, channels: int, stride: int = 1):
    return keras.layers.Conv2D(channels, 3, stride, "same", activation="relu", kernel_initializer="he_normal")(x)


def _one_bit_a_place(code_bits: int, places: int, channels: int) -> np.ndarray:
    """The dense kernel [n, places·channels] that puts one codeword bit at each place, all bits equally often.

    Where there are fewer places than bits, a place's channels are shared out among several.
    """
    values = places * channels
    run = max(1, min(channels, values // code_bits))
    bits = np.random.default_rng(0).permutation(-(-values // run)) % code_bits
    return np.repeat(np.eye(code_bits, dtype=np.float32)[:, bits], run, axis=1)[:, :values]


def _message_planes(codeword, side: int, start: int):
    """Codeword [B, n] of ±1 as feature planes [B, side, side, c]: dense, reshaped, enlarged (StegaStamp §4.1)."""
    start = min(side, start)
    channels = max(_MESSAGE_CHANNELS, _MESSAGE_VALUES // start**2)
    # Linear, not coarser than a quarter of the picture, and each bit somewhere alone before training mixes them:
    # otherwise the decoder takes very long to begin to read, or never does.
    kernel = _one_bit_a_place(codeword.shape[-1], start * start, channels)
    x = keras.layers.Dense(start * start * channels, kernel_initializer=keras.initializers.Constant(kernel))(codeword)
    x = keras.layers.Reshape([start, start, channels])(x)
    return keras.layers.UpSampling2D(side // start)(x) if side > start else x


def _fold(x, side: int, block: int):
    """[B, side, side, c] → [B, side/block, side/block, block²·c], by layers that Keras 3 has too."""
    folded, channels = side // block, x.shape[-1]
    x = keras.layers.Reshape([folded, block, folded, block * channels])(x)
    x = keras.layers.Permute([1, 3, 2, 4])(x)
    return keras.layers.Reshape([folded, folded, block * block * channels])(x)


def _unfold(x, side: int, block: int):
    """The reverse of _fold: [B, side, side, block²·c] → [B, block·side, block·side, c]."""
    channels = x.shape[-1] // block**2
    x = keras.layers.Reshape([side, side, block, block * channels])(x)
    x = keras.layers.Permute([1, 3, 2, 4])(x)
    return keras.layers.Reshape([block * side, block * side, channels])(x)


def build_encoder(image_size: int, code_bits: int, level: str, width: int, space_to_depth: int = 1) -> keras.Model:
    """The U-Net (Ronneberger et al. 2015) that predicts the residual; the message's level is FakeTagger §3.3's.

    Args:
      image_size: S, a multiple of 16.
      code_bits: n.
      level: `raw` (with the picture), `early` (after the first level), `late` (at the bottleneck), or `every` one.
      width: channels of the first level; doubled at each of the four below, up to 8 times.
      space_to_depth: 2 has the first level at half the side, each 2×2 pixels one place of 12 channels.

    Returns:
      images float32 [B, S, S, 3] in [0, 1] and codeword float32 [B, n] of 0 and 1 → residual float32 [B, S, S, 3].
    """
    images = keras.Input([image_size, image_size, 3], name="images")
    codeword = keras.Input([code_bits], name="codeword")
    signs = keras.layers.Rescaling(2.0, -1.0)(codeword)  # ±1: with 0 and 1 training sticks at chance.
    join = keras.layers.Concatenate()

    side = image_size // space_to_depth

    def with_message(x, depth: int, start: int):
        """Features at the side of a depth, with the message's planes."""
        return join([x, _message_planes(signs, side // 2**depth, start)])

    x = keras.layers.Rescaling(2.0, -1.0)(images)
    if space_to_depth > 1:
        x = _fold(x, image_size, space_to_depth)
    if level == "raw":
        x = with_message(x, 0, side // 4)
    skips = []
    for depth in range(4):
        x = _conv(x, width * 2 ** min(depth, 3))
        if level == "every" or (level == "early" and depth == 0):
            x = with_message(x, depth, side // 4)
        skips.append(x)
        x = _conv(x, width * 2 ** min(depth + 1, 3), stride=2)
    if level in ("late", "every"):
        x = with_message(x, 4, side // 4)
    x = _conv(x, width * 8)
    for depth in reversed(range(4)):
        x = keras.layers.UpSampling2D(interpolation="bilinear")(x)
        x = _conv(x, width * 2 ** min(depth, 3))
        x = _conv(join([skips[depth], x]), width * 2 ** min(depth, 3))
    # Wide enough for the residual to fill its bound from the first step: a faint one leaves the decoder at chance for
    # long.
    initial = keras.initializers.RandomNormal(stddev=0.2)
    residual = keras.layers.Conv2D(3 * space_to_depth**2, 1, kernel_initializer=initial)(x)
    if space_to_depth > 1:
        residual = _unfold(residual, side, space_to_depth)
    return keras.Model([images, codeword], residual, name="encoder")


def build_decoder(image_size: int, code_bits: int, width: int, space_to_depth: int = 1) -> keras.Model:
    """Seven 3×3 convolutions and a dense layer (StegaStamp §4.2, DeepTag §3.2).

    Args:
      image_size: S.
      code_bits: n.
      width: channels of the first convolution, a multiple of 8.
      space_to_depth: as build_encoder's.

    Returns:
      images float32 [B, S, S, 3] in [0, 1] → logits float32 [B, n]; the papers' sigmoid is in the loss.
    """
    images = keras.Input([image_size, image_size, 3], name="images")
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    if space_to_depth > 1:
        x = _fold(x, image_size, space_to_depth)
    for multiple, stride in ((1, 2), (1, 1), (2, 2), (2, 1), (2, 2), (4, 2), (4, 1)):
        x = keras.layers.Conv2D(multiple * width, 3, stride, "same", kernel_initializer="he_normal")(x)
        # Without normalisation the picture drowns the residual, and training sticks at chance.
        x = keras.layers.GroupNormalization(_GROUPS)(x)
        x = keras.layers.ReLU()(x)
    return keras.Model(images, keras.layers.Dense(code_bits)(keras.layers.Flatten()(x)), name="decoder")


def build_critic(image_size: int, width: int) -> keras.Model:
    """A patch critic (Isola et al. 2017, §3.2.2): images [B, S, S, 3] in [0, 1] → realness [B, S/8, S/8, 1]."""
    images = keras.Input([image_size, image_size, 3], name="images")
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    for multiple in (1, 2, 4):
        x = keras.layers.Conv2D(multiple * width, 4, 2, "same")(x)
        x = keras.layers.LeakyReLU(0.2)(x)
    return keras.Model(images, keras.layers.Conv2D(1, 3, padding="same")(x), name="critic")
