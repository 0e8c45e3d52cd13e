"""`stgan` (attribute_editing): an encoder-decoder whose skips are gated by the *change* of attributes asked for.

Liu et al. 2019, "STGAN", CVPR, cited here by the titles of its sections. Selective transfer units carry from each
encoder layer to the decoder what the change leaves as it is, and remake the rest ("Selective Transfer Units"); both see
the difference of the attribute vectors, not the target (§3.2, "Taking Difference Attribute Vector as Input").
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract.settings import Unexpected
from faketagger.components.simulator.generators.attribute_editing import AttributeEditor, editable_attributes
from faketagger.components.simulator.generators.base import Depth, Faces
from faketagger.components.simulator.generators.settings import TrainingSettings

_PAPER_DEPTH = 5
_MAX_MULTIPLE = 16


class STGAN(AttributeEditor):
    """Trained by the paper's losses ("Loss Functions"): adversarial, attributes, L1 at no change.

    Args:
      image_size: the side of the pictures; the paper's is 128.
      width: channels of the first layer, doubled from layer to layer; the paper's is 64, 16 to 24 suit two cores.
      attributes: the names of the attributes it edits.
      depth: encoder layers, at least 2; the paper has 5. The side at which it works must be a multiple of 2^depth.
      attention, intensities, offered, guided: as attribute_editing.AttributeEditor's; the paper's has no mask.
    """

    DEPTH = Depth("encoder layers", 2, _PAPER_DEPTH)
    TOOLS = ("attgan",)
    ATTRIBUTE_WEIGHT = 6.0
    RECONSTRUCTION_WEIGHT = 4.0
    CHANGE_WEIGHT = 16.0
    UNCHANGED_SHARE = 0.0  # Every step reconstructs each picture anyway.

    def __init__(
        self,
        image_size: int,
        width: int,
        attributes: Sequence[str],
        depth: int = _PAPER_DEPTH,
        attention: bool = False,
        intensities: Sequence[float] | None = None,
        offered: Sequence[str] | None = None,
        guided: bool = False,
    ):
        super().__init__(image_size, width, attributes, attention, intensities, offered, guided)
        self.depth = depth
        self.encoder = build_encoder(width, depth)
        self.decoder = build_decoder(width, depth, len(attributes), attention)
        images, difference = keras.Input([None, None, 3]), keras.Input([len(attributes)])
        made = self.decoder([*self.encoder(images), difference])
        self.generator = keras.Model([images, difference], made, name="generator")

    @classmethod
    def check_size(cls, image_size: int, depth: int | None) -> None:
        if depth and image_size % 2**depth:
            raise Unexpected(f"a multiple of {2**depth}, for stgan of depth {depth}", image_size, "image_size")

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "depth": self.depth}

    @classmethod
    def build_for(cls, settings: TrainingSettings, faces: Faces) -> "STGAN":
        side = settings.image_size // 2 if settings.attention else settings.image_size
        depth = settings.depth or depth_for(side)
        if side % 2**depth:
            raise ValueError(f"image_size: stgan of depth {depth} works at {side}, which is no multiple of {2**depth}")
        return cls(
            settings.image_size, settings.width, editable_attributes(faces), depth, settings.attention, guided=True
        )

    def edit(self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.compose(images, self.generator([self.as_input(images), targets - labels], training=training))

    def edit_and_reconstruct(
        self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        difference = change_of(labels, targets)
        # One pass through the decoder for both, so that its batch normalisation sees both kinds of change at once.
        encoded = [tf.concat([each, each], 0) for each in self.encoder(self.as_input(images), training=True)]
        made = self.decoder([*encoded, tf.concat([difference, tf.zeros_like(difference)], 0)], training=True)
        edited, restored = tf.split(self.compose(tf.concat([images, images], 0), made), 2)
        return edited, 2.0 * tf.reduce_mean(tf.abs(images - restored))


def change_of(labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The difference of labels [B, A] that the networks are told; none where one of both is unknown."""
    return tf.where((labels < 0) | (targets < 0), 0.0, targets - labels)


def depth_for(image_size: int) -> int:
    """The paper's depth, or what leaves the innermost layer a whole number of pixels, at least 4 a side."""
    return max(
        depth for depth in range(2, _PAPER_DEPTH + 1) if image_size % 2**depth == 0 and image_size >= 4 * 2**depth
    )


class SelectiveTransferUnit(keras.layers.Layer):
    """A gated recurrent unit across layers instead of time ("Selective Transfer Units").

    Called with an encoder layer's features [B, h, w, channels], the state of the next deeper unit [B, h/2, w/2, c] (or
    the innermost features) and the difference [B, A]; returns what goes on to the decoder and the unit's own state,
    both [B, h, w, channels].

    Args:
      channels: of the encoder layer.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.upsample = keras.layers.Conv2DTranspose(channels, 4, 2, "same", name="upsample")
        self.gates = keras.layers.Conv2D(2 * channels, 3, padding="same", activation="sigmoid", name="gates")
        self.candidate = keras.layers.Conv2D(channels, 3, padding="same", activation="tanh", name="candidate")

    def call(self, inputs: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        encoded, deeper_state, difference = inputs
        upsampled = self.upsample(append_vector(deeper_state, difference))
        reset, update = tf.split(self.gates(tf.concat([encoded, upsampled], -1)), 2, -1)
        state = reset * upsampled
        candidate = self.candidate(tf.concat([encoded, state], -1))
        return (1.0 - update) * upsampled + update * candidate, state


def append_vector(x: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
    """Features [B, h, w, c] and a vector [B, A] at every place → [B, h, w, c + A]."""
    return tf.concat([x, vector[:, None, None, :] * tf.ones_like(x[..., :1])], -1)


def build_encoder(width: int, depth: int) -> keras.Model:
    """Pictures [B, S, S, 3] in [−1, 1] → features of each layer, the first [B, S/2, S/2, width]."""
    images = keras.Input([None, None, 3])
    layers = [images]
    for level in range(depth):
        x = keras.layers.Conv2D(_channels(width, level), 4, 2, "same", use_bias=False)(layers[-1])
        layers.append(keras.layers.LeakyReLU(0.2)(keras.layers.BatchNormalization(epsilon=1e-5)(x)))
    return keras.Model(images, layers[1:], name="encoder")


def build_decoder(width: int, depth: int, attributes: int, attention: bool = False) -> keras.Model:
    """Features as build_encoder's, and the difference [B, attributes] → pictures [B, S, S, 3] in [−1, 1].

    With attention a mask in [0, 1] is the fourth channel, and features are enlarged before they are convolved: the
    paper's transposed convolutions leave checkerboards, which a critic takes long to drive out.
    """
    encoded = [keras.Input([None, None, _channels(width, level)]) for level in range(depth)]
    difference = keras.Input([attributes])
    x = append_vector(encoded[-1], difference)
    for level, skip in reversed(list(enumerate(_selective_skips(encoded, difference)))):
        x = _enlarge(x, _channels(width, level + 1), attention, use_bias=False)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(epsilon=1e-5)(x))
        x = append_vector(tf.concat([x, skip], -1), difference)
    made = _enlarge(x, 3, attention, activation="tanh")
    if attention:
        shut = keras.initializers.Constant(-1.0)
        mask = _enlarge(x, 1, attention, bias_initializer=shut, name="attention")
        made = tf.concat([made, keras.activations.sigmoid(mask)], -1)
    return keras.Model([*encoded, difference], made, name="decoder")


def _enlarge(x, channels: int, smoothly: bool, **settings):
    if not smoothly:
        return keras.layers.Conv2DTranspose(channels, 4, 2, "same", **settings)(x)
    x = keras.layers.UpSampling2D(interpolation="bilinear")(x)
    return keras.layers.Conv2D(channels, 3, padding="same", **settings)(x)


def _selective_skips(encoded: Sequence[tf.Tensor], difference: tf.Tensor) -> list[tf.Tensor]:
    """What each encoder layer but the innermost hands to the decoder, from the outermost on."""
    skips, state = [], encoded[-1]
    for features in reversed(encoded[:-1]):
        skip, state = SelectiveTransferUnit(features.shape[-1])([features, state, difference])
        skips.append(skip)
    return skips[::-1]


def _channels(width: int, level: int) -> int:
    return min(2**level, _MAX_MULTIPLE) * width
