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
    """Trained by the paper's losses (§3.1): adversarial, attributes, cycle reconstruction; weights 1, 1, 10.

    Besides, a quarter of the training pictures is edited to their own labels and must come back unchanged: the cycle
    alone, of two passes, teaches that more slowly (Zhu et al. 2017, "CycleGAN", §5.2, identity loss).

    Args:
      image_size: the side of the pictures; the paper's is 128.
      width: channels of the first layer; the paper's is 64, 16 to 24 suit two cores.
      attributes: the names of the attributes it edits.
      blocks: residual blocks; the paper has 6.
      attention: whether the generator also makes a mask of what it changes, and the rest is the picture itself
        (Pumarola et al. 2018, "GANimation", eq. 1). The paper's paints the whole picture anew.
      intensities: of the simulated edits (attribute_editing.AttributeEditor).
    """

    DEPTH = Depth("residual blocks", 1, 9)  # CycleGAN, of the same kind, has up to 9.
    TOOLS = ("stargan",)
    ATTRIBUTE_WEIGHT = None  # The paper sums over attributes.
    RECONSTRUCTION_WEIGHT = 10.0
    UNCHANGED_SHARE = 0.25

    def __init__(
        self,
        image_size: int,
        width: int,
        attributes: Sequence[str],
        blocks: int = _BLOCKS,
        attention: bool = False,
        intensities: Sequence[float] | None = None,
    ):
        super().__init__(image_size, width, attributes, intensities)
        self.blocks, self.attention = blocks, attention
        self.generator = build_generator(width, len(attributes), blocks, attention)

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "blocks": self.blocks, "attention": self.attention}

    @classmethod
    def build_for(cls, settings: TrainingSettings, faces: Faces) -> "StarGAN":
        return cls(
            settings.image_size,
            settings.width,
            editable_attributes(faces),
            settings.depth or _BLOCKS,
            settings.attention,
        )

    def edit(self, images: tf.Tensor, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Paints pictures float32 [B, S, S, 3] in [0, 1] with the attributes of `labels` float32 [B, A], 0 or 1."""
        planes = labels[:, None, None, :] * tf.ones_like(images[..., :1])
        made = self.generator(tf.concat([images * 2.0 - 1.0, planes], -1), training=training)
        if not self.attention:
            return (made + 1.0) / 2.0
        colours, changed = (made[..., :3] + 1.0) / 2.0, made[..., 3:]
        return images + changed * (colours - images)

    def edit_and_reconstruct(
        self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        made = self.edit(images, _as_input(targets), training=True)
        restored = self.edit(made, _as_input(labels), training=True)
        unchanged = tf.cast(tf.reduce_all(tf.equal(labels, targets), 1), tf.float32)
        changes = unchanged * tf.reduce_mean(tf.abs(images - made), [1, 2, 3])
        identity = tf.math.divide_no_nan(tf.reduce_sum(changes), tf.reduce_sum(unchanged))
        # Twice: the paper's weight is for pictures in [−1, 1].
        return made, 2.0 * (tf.reduce_mean(tf.abs(images - restored)) + identity)

    def simulate(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Edits float32 [B, S, S, 3] in [0, 1] as `condition` [B], an index of `conditions`, says."""
        return self.edit(images, self.emphasise(self.estimate_labels(images), condition))


def _as_input(labels: tf.Tensor) -> tf.Tensor:
    """Unknown labels between no and yes."""
    return tf.where(labels < 0, 0.5, labels)


def build_generator(width: int, attributes: int, blocks: int, attention: bool = False) -> keras.Model:
    """Pictures in [−1, 1] with the target labels as planes → pictures [B, S, S, 3] in [−1, 1].

    The input is [B, S, S, 3 + attributes], S any multiple of 4.
    """
    planes = keras.Input([None, None, 3 + attributes])
    x = _conv(planes, width, 7, 1, "main.0")
    x = keras.layers.ReLU()(_norm(x, "main.1"))
    for place, multiple in ((3, 2), (6, 4)):
        x = _conv(x, multiple * width, 4, 2, f"main.{place}")
        x = keras.layers.ReLU()(_norm(x, f"main.{place + 1}"))
    for place in range(9, 9 + blocks):
        x = _residual_block(x, f"main.{place}.main")
    for place, multiple in ((9 + blocks, 2), (12 + blocks, 1)):
        x = _transposed_conv(x, multiple * width, f"main.{place}")
        x = keras.layers.ReLU()(_norm(x, f"main.{place + 1}"))
    made = keras.activations.tanh(_conv(x, 3, 7, 1, f"main.{15 + blocks}"))
    if attention:
        changed = keras.layers.Conv2D(1, 7, padding="same", activation="sigmoid", name="attention")(x)
        made = tf.concat([made, changed], -1)
    return keras.Model(planes, made, name="generator")


def _residual_block(x, name: str):
    channels = x.shape[-1]
    y = _conv(x, channels, 3, 1, f"{name}.0")
    y = keras.layers.ReLU()(_norm(y, f"{name}.1"))
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


def _initial() -> keras.initializers.Initializer:
    # PyTorch's default, with which the authors' training begins.
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def _norm(x, name: str):
    return GroupNormalization(x.shape[-1], epsilon=1e-5, name=name)(x)  # Instance normalisation.
