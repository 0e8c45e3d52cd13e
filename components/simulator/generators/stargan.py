"""`stargan` (attribute_editing): one generator paints the whole picture anew, told which attributes to show.

Choi et al. 2018, "StarGAN", CVPR. The generator's layers are those of the appendix' table 4 and of the authors' PyTorch
code, in the same order, shapes and names (`main.0`, `main.1`, …), so that weights trained there fit.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras

from faketagger.components.layers.normalisation import GroupNormalization
from faketagger.components.simulator.generators.attribute_editing import AttributeEditor, editable_attributes
from faketagger.components.simulator.generators.base import Depth, Faces
from faketagger.components.simulator.generators.settings import TrainingSettings

_BLOCKS = 4  # What two cores can train; the paper has 6.


class StarGAN(AttributeEditor):
    """Trained by the paper's losses (§3.1): adversarial, attributes, cycle reconstruction.

    Besides, an eighth of the training pictures is edited to their own labels and must come back unchanged: the cycle
    alone, of two passes, teaches that more slowly (Zhu et al. 2017, "CycleGAN", §5.2, identity loss).

    Args:
      image_size: the side of the pictures; the paper's is 128.
      width: channels of the first layer; the paper's is 64, 16 to 24 suit two cores.
      attributes: the names of the attributes it edits.
      blocks: residual blocks; the paper has 6.
      attention, intensities, offered, guided: as attribute_editing.AttributeEditor's; the paper's has no mask.
    """

    DEPTH = Depth("residual blocks", 1, 9)  # CycleGAN, of the same kind, has up to 9.
    TOOLS = ("stargan",)
    ATTRIBUTE_WEIGHT = 6.0
    RECONSTRUCTION_WEIGHT = 2.0
    CHANGE_WEIGHT = 8.0
    UNCHANGED_SHARE = 0.125

    def __init__(
        self,
        image_size: int,
        width: int,
        attributes: Sequence[str],
        blocks: int = _BLOCKS,
        attention: bool = False,
        intensities: Sequence[float] | None = None,
        offered: Sequence[str] | None = None,
        guided: bool = False,
    ):
        super().__init__(image_size, width, attributes, attention, intensities, offered, guided)
        self.blocks = blocks
        self.generator = build_generator(width, len(attributes), blocks, attention)

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "blocks": self.blocks}

    @classmethod
    def build_for(cls, settings: TrainingSettings, faces: Faces) -> "StarGAN":
        return cls(
            settings.image_size,
            settings.width,
            editable_attributes(faces),
            settings.depth or _BLOCKS,
            settings.attention,
            guided=True,
        )

    def edit(self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor, training: bool = False) -> tf.Tensor:
        source = self.as_input(images)
        planes = targets[:, None, None, :] * tf.ones_like(source[..., :1])
        return self.compose(images, self.generator(tf.concat([source, planes], -1), training=training))

    def edit_and_reconstruct(
        self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        made = self.edit(images, labels, _as_input(targets), training=True)
        # Of a quarter, as a second pass costs as much as the first.
        some = slice(None, -(-images.shape[0] // 4) if images.shape[0] else None)
        restored = self.edit(made[some], targets[some], _as_input(labels[some]), training=True)
        unchanged = tf.cast(tf.reduce_all(tf.equal(labels, targets), 1), tf.float32)
        changes = unchanged * tf.reduce_mean(tf.abs(images - made), [1, 2, 3])
        identity = tf.math.divide_no_nan(tf.reduce_sum(changes), tf.reduce_sum(unchanged))
        # Twice: the paper's weight is for pictures in [−1, 1].
        return made, 2.0 * (tf.reduce_mean(tf.abs(images[some] - restored)) + identity)


def _as_input(labels: tf.Tensor) -> tf.Tensor:
    """Unknown labels between no and yes."""
    return tf.where(labels < 0, 0.5, labels)


def build_generator(width: int, attributes: int, blocks: int, attention: bool = False) -> keras.Model:
    """Pictures in [−1, 1] with the target labels as planes → pictures [B, S, S, 3] in [−1, 1].

    The input is [B, S, S, 3 + attributes], S any multiple of 4. With attention a mask in [0, 1] is the fourth channel;
    the outer kernels are 3 wide instead of 7, which cost most and see as much of a picture at half its side; nothing is
    transposed, which leaves checkerboards; and the labels also modulate what is normalised (Choi et al. 2020, "StarGAN
    v2", §2.1): of constant planes instance normalisation leaves little but what the rim tells.
    """
    outer = 3 if attention else 7
    planes = keras.Input([None, None, 3 + attributes])
    labels = planes[:, 0, 0, 3:] if attention else None
    x = _conv(planes, width, outer, 1, "main.0")
    x = keras.layers.ReLU()(_norm(x, "main.1", labels))
    for place, multiple in ((3, 2), (6, 4)):
        x = _conv(x, multiple * width, 4, 2, f"main.{place}")
        x = keras.layers.ReLU()(_norm(x, f"main.{place + 1}", labels))
    for place in range(9, 9 + blocks):
        x = _residual_block(x, f"main.{place}.main", labels)
    enlarge = _smooth_conv if attention else _transposed_conv
    for place, multiple in ((9 + blocks, 2), (12 + blocks, 1)):
        x = enlarge(x, multiple * width, f"main.{place}")
        x = keras.layers.ReLU()(_norm(x, f"main.{place + 1}", labels))
    made = keras.activations.tanh(_conv(x, 3, outer, 1, f"main.{15 + blocks}"))
    if attention:
        shut = keras.initializers.Constant(-1.0)
        mask = keras.layers.Conv2D(1, outer, padding="same", bias_initializer=shut, name="attention")
        made = tf.concat([made, keras.activations.sigmoid(mask(x))], -1)
    return keras.Model(planes, made, name="generator")


def _residual_block(x, name: str, labels=None):
    channels = x.shape[-1]
    y = _conv(x, channels, 3, 1, f"{name}.0")
    y = keras.layers.ReLU()(_norm(y, f"{name}.1", labels))
    y = _conv(y, channels, 3, 1, f"{name}.3")
    return x + _norm(y, f"{name}.4")


def _conv(x, channels: int, kernel: int, stride: int, name: str):
    # The same zeros on all sides, as PyTorch pads; Keras' "same" depends on the picture's side.
    x = keras.layers.ZeroPadding2D((kernel - 1) // 2)(x)
    return keras.layers.Conv2D(channels, kernel, stride, use_bias=False, kernel_initializer=_initial(), name=name)(x)


def _transposed_conv(x, channels: int, name: str):
    # "same" cuts one row off each side of what kernel 4 and stride 2 give, which is PyTorch's padding of 1.
    return keras.layers.Conv2DTranspose(
        channels, 4, 2, "same", use_bias=False, kernel_initializer=_initial(), name=name
    )(x)


def _smooth_conv(x, channels: int, name: str):
    # Without the checkerboards of transposed convolutions.
    return _conv(keras.layers.UpSampling2D(interpolation="bilinear")(x), channels, 3, 1, name)


def _initial() -> keras.initializers.Initializer:
    # PyTorch's default, with which the authors' training begins.
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def _norm(x, name: str, labels=None):
    """Instance normalisation; labels [B, A], where they are given, scale and shift what comes of it."""
    y = GroupNormalization(x.shape[-1], epsilon=1e-5, name=name)(x)
    if labels is None:
        return y
    scale, shift = tf.split(keras.layers.Dense(2 * x.shape[-1], name=f"{name}.labels")(labels), 2, -1)
    return y * (1.0 + scale[:, None, None]) + shift[:, None, None]
