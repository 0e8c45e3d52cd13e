"""`reenactment` (reenactment): another expression or pose on the same face, Face2Face's job (Thies et al. 2016).

The scheme of the First Order Motion Model (FOMM; Siarohin et al. 2019) without its Jacobians, as in Monkey-Net before
it (Siarohin et al. 2019, "Animating arbitrary objects via deep motion transfer"): keypoints found without labels; a
dense motion mixed from how far they move (FOMM §3.1); and a generator that carries its features along that motion,
hides what cannot be carried with an occlusion map, and paints the picture anew (§3.2). A photograph and a deformed copy
of it take the place of two frames of a video; fixed motions of the keypoints (a turned head, a smile, an open mouth)
that of a driving video.

Places and motions are (row, column) as shares of the picture's side; cell centres of a grid are (i + 0.5) / side.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.layers.addons import dense_image_warp
from faketagger.components.layers.normalisation import GroupNormalization
from faketagger.components.simulator.generators.base import Faces, Generator, endless
from faketagger.components.simulator.generators.face_mask import soft_face_mask
from faketagger.components.simulator.generators.faceswap import reconstruction_loss, warp
from faketagger.components.simulator.generators.settings import TrainingSettings

# Where the keypoints are on average, in the alignment of CelebA-HQ: found without labels, each stays near its place,
# so that a motion of "the mouth's corners" means something.
PLACES = {
    "forehead": (0.27, 0.5),
    "eye_left": (0.475, 0.375),
    "eye_right": (0.475, 0.625),
    "nose": (0.61, 0.5),
    "mouth_left": (0.735, 0.395),
    "mouth_right": (0.735, 0.605),
    "lip_upper": (0.705, 0.5),
    "lip_lower": (0.785, 0.5),
    "chin": (0.905, 0.5),
    "jaw_left": (0.66, 0.26),
    "jaw_right": (0.66, 0.74),
}
_PLACES = np.float32(list(PLACES.values()))
_NEAR = 0.08  # Standard deviation of a keypoint around its place.
_TEMPERATURE = 0.1  # Of the heat maps' softmax; FOMM's.

_REACH = 0.09  # Standard deviation of the Gaussian in which a keypoint moves the picture with it.
_BACKGROUND_LOGIT = -2.0  # The background's motion, none, wins beyond two such deviations from every keypoint.

_TURN_DEGREES = 18.0
_HEAD_RADIUS = 0.3
_NOSE_LENGTH = 0.08
_OPEN_MOUTH = {
    "lip_lower": (0.075, 0.0),
    "chin": (0.06, 0.0),
    "jaw_left": (0.03, 0.01),
    "jaw_right": (0.03, -0.01),
    "mouth_left": (0.025, 0.015),
    "mouth_right": (0.025, -0.015),
    "lip_upper": (-0.012, 0.0),
    "nose": (-0.005, 0.0),
}
_SMILE = {
    "mouth_left": (-0.045, -0.05),
    "mouth_right": (-0.045, 0.05),
    "jaw_left": (-0.02, -0.02),
    "jaw_right": (-0.02, 0.02),
    "lip_upper": (-0.015, 0.0),
    "lip_lower": (-0.01, 0.0),
    "chin": (-0.01, 0.0),
    "nose": (-0.01, 0.0),
    "eye_left": (0.012, 0.0),
    "eye_right": (0.012, 0.0),
}

# Standard deviations of the training deformation.
_ROTATION = 0.12  # Radians.
_SCALING = 0.1  # Of the scale's logarithm.
_SHIFT = 0.04
_EXPRESSION = 0.04

_GEOMETRY_WEIGHT = 5.0
_RESIDUAL_BLOCKS = 2


def turning(degrees: float) -> np.ndarray:
    """The keypoints' motions, float64 [K, 2], of a head turned to the picture's right about the upright axis.

    The head is a cylinder (La Cascia et al. 2000, "Fast, reliable head tracking under varying illumination") with a
    nose: of a keypoint's offset x from the axis and its depth z the turn makes x cos + z sin, so the shift grows
    towards the face's centre.
    """
    angle = np.radians(degrees)
    offsets = np.array([column - 0.5 for _, column in PLACES.values()])
    depths = np.sqrt(_HEAD_RADIUS**2 - offsets**2) + _NOSE_LENGTH * np.array([name == "nose" for name in PLACES])
    shifts = offsets * np.cos(angle) + depths * np.sin(angle) - offsets
    return np.stack([np.zeros_like(shifts), shifts], -1)


def _motions(by_keypoint: dict[str, tuple[float, float]]) -> np.ndarray:
    return np.array([by_keypoint.get(name, (0.0, 0.0)) for name in PLACES])


# The driving motions by condition, each [K, 2].
MOTIONS = {
    "turn_left": turning(-_TURN_DEGREES),
    "turn_right": turning(_TURN_DEGREES),
    "open_mouth": _motions(_OPEN_MOUTH),
    "smile": _motions(_SMILE),
}


# Geometry


def grid(side: int) -> np.ndarray:
    """The places of a grid's cell centres, float32 [side, side, 2]."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    return np.stack(np.meshgrid(centres, centres, indexing="ij"), -1)


def log_gaussians(keypoints: tf.Tensor, side: int, deviation: float) -> tf.Tensor:
    """Logarithms of Gaussians of height 1 around keypoints [B, K, 2]: [B, side, side, K]."""
    apart = grid(side)[:, :, None] - keypoints[:, None, None]
    return -tf.reduce_sum(tf.square(apart), -1) / (2.0 * deviation**2)


def expectation(heat_maps: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The mean of values [B or 1, s, s, 2] under heat maps [B, s, s, K]: [B, K, 2]; of a grid, the keypoints."""
    return tf.reduce_sum(heat_maps[..., None] * values[:, :, :, None], [1, 2])


def dense_motion(keypoints: tf.Tensor, motions: tf.Tensor, side: int, logits: tf.Tensor) -> tf.Tensor:
    """Mixes the keypoints' motions into one of every cell, [B, side, side, 2] (FOMM §3.1, "Combining local motions").

    Args:
      keypoints: [B, K, 2], where the motions end.
      motions: [B, K, 2].
      side: of the grid.
      logits: [B or 1, side, side, 1 + K], the background's first: what is added to those of the Gaussians.
    """
    near = log_gaussians(keypoints, side, _REACH)
    gaussians = tf.concat([tf.fill(tf.shape(near[..., :1]), _BACKGROUND_LOGIT), near], -1)
    masks = tf.nn.softmax(gaussians + logits)[..., 1:]  # The background's motion is none.
    return tf.einsum("bijk,bkc->bijc", masks, motions)


def move(images: tf.Tensor, motion: tf.Tensor) -> tf.Tensor:
    """Moves pictures or features [B, side, side, C] by a motion [B, s, s, 2], given at any s where it ends."""
    side = images.shape[1]
    return tf.ensure_shape(dense_image_warp(images, tf.image.resize(motion, [side, side]) * side), images.shape)


def deform(photographs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Affine maps, local motions and smooth warps of the face, at random: what a second frame of a video would show.

    Args:
      photographs: float32 [B, S, S, 3].

    Returns:
      The deformed [B, S, S, 3], and for each of its pixels the place in the photograph that it shows, [B, S, S, 2].
    """
    batch, side = tf.shape(photographs)[0], photographs.shape[1]
    angle = tf.random.normal([batch], stddev=_ROTATION)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    turned = tf.stack([tf.stack([cosine, -sine], -1), tf.stack([sine, cosine], -1)], -2)
    linear = tf.exp(tf.random.normal([batch, 1, 1], stddev=_SCALING)) * turned
    shift = tf.random.normal([batch, 1, 1, 2], stddev=_SHIFT)
    places = 0.5 + tf.einsum("brc,ijc->bijr", linear, grid(side) - 0.5) + shift

    keypoints = tf.repeat(_PLACES[None], batch, axis=0)
    motions = tf.random.normal(tf.shape(keypoints), stddev=_EXPRESSION)
    places -= dense_motion(keypoints, motions, side, tf.zeros([1, 1, 1, 1]))
    places = warp(places)  # Warping a field of places composes the two maps.
    # As in a video of a talking head, the background stays: no keypoint could tell of its motion.
    places = grid(side) + soft_face_mask(side) * (places - grid(side))
    return move(photographs, grid(side) - places), places


def jitter_colours(images: tf.Tensor) -> tf.Tensor:
    """Another light and another camera: a random gain and offset for each picture and channel; clipped to [0, 1]."""
    shape = [tf.shape(images)[0], 1, 1, 3]
    gain = tf.exp(tf.random.normal(shape, stddev=0.15))
    return tf.clip_by_value(images * gain + tf.random.normal(shape, stddev=0.05), 0.0, 1.0)


# Networks


def motion_side(image_size: int) -> int:
    """The side of heat maps, dense motion and skip: a quarter of the picture's, as FOMM's; half below 64."""
    return image_size // (4 if image_size >= 64 else 2)


def _block(x, channels: int, stride: int = 1):
    x = keras.layers.Conv2D(channels, 3, stride, "same", use_bias=False)(x)
    # One group: with few channels in each, a picture's own colours would be normalised away.
    return keras.layers.ReLU()(GroupNormalization(groups=1)(x))


def _residual_block(x):
    channels = x.shape[-1]
    return keras.layers.add([x, keras.layers.Conv2D(channels, 3, padding="same")(_block(x, channels))])


def _upsample(x):
    return keras.layers.UpSampling2D(interpolation="bilinear")(x)


def _hourglass(x, width: int):
    whole = _block(x, width)
    half = _block(whole, 2 * width, stride=2)
    quarter = _block(_block(half, 4 * width, stride=2), 4 * width)
    half = _block(keras.layers.concatenate([_upsample(quarter), half]), 2 * width)
    return _block(keras.layers.concatenate([_upsample(half), whole]), width)


def build_detector(image_size: int, width: int) -> keras.Model:
    """Pictures [B, S, S, 3] in [0, 1] → heat maps' logits [B, side, side, K], side = motion_side(S), all 0 at first."""
    side = motion_side(image_size)
    images = keras.Input([image_size, image_size, 3])
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    x = keras.layers.AveragePooling2D(image_size // (2 * side))(x)  # FOMM: keypoints need no full resolution.
    x = _hourglass(_block(x, width, stride=2), width)
    logits = keras.layers.Conv2D(len(PLACES), 3, padding="same", kernel_initializer="zeros")(x)
    return keras.Model(images, logits, name="detector")


def build_motion_network(side: int, width: int) -> keras.Model:
    """What the motions of K keypoints would each make, [B, side, side, 3 + 4K] → logits of the masks and the occlusion.

    The logits, all 0 untrained, are [B, side, side, 1 + K + 1]: background, keypoints, occlusion.
    """
    seen = keras.Input([side, side, 3 + 4 * len(PLACES)])
    logits = keras.layers.Conv2D(len(PLACES) + 2, 3, padding="same", kernel_initializer="zeros")
    return keras.Model(seen, logits(_hourglass(seen, width)), name="motion_network")


def build_encoder(image_size: int, width: int) -> keras.Model:
    """Pictures [B, S, S, 3] in [0, 1] → skip [B, side, side, 2·width], bottleneck [B, side/2, side/2, 4·width]."""
    images = keras.Input([image_size, image_size, 3])
    x = keras.layers.Rescaling(2.0, -1.0)(images)
    if image_size >= 64:
        x = _block(x, width, stride=2)
    skip = _block(x, 2 * width, stride=2)
    return keras.Model(images, [skip, _block(skip, 4 * width, stride=2)], name="encoder")


def build_decoder(image_size: int, width: int) -> keras.Model:
    """Skip and bottleneck as build_encoder's → pictures [B, S, S, 3] in [0, 1]."""
    side = motion_side(image_size)
    skip, bottleneck = keras.Input([side, side, 2 * width]), keras.Input([side // 2, side // 2, 4 * width])
    x = bottleneck
    for _ in range(_RESIDUAL_BLOCKS):
        x = _residual_block(x)
    x = _block(keras.layers.concatenate([_upsample(x), skip]), 2 * width)
    while x.shape[1] < image_size:
        x = _block(_upsample(x), width)
    x = keras.layers.Conv2D(3, 5, padding="same", activation="sigmoid")(x)
    return keras.Model([skip, bottleneck], x, name="decoder")


class Reenactment(Generator):
    """Trains on single photographs: undoes a random deformation, with the motion that keypoints of both pictures tell.

    Args:
      image_size: the side of the pictures.
      width: channels of the first layer; FOMM's generator has 64, two cores train 16 to 24.
    """

    FAMILY = "reenactment"
    TOOLS = ("facefusion",)
    conditions = tuple(MOTIONS)

    def __init__(self, image_size: int, width: int):
        super().__init__()
        self.image_size, self.width = image_size, width
        self.detector = build_detector(image_size, width)
        self.motion_network = build_motion_network(motion_side(image_size), width)
        self.encoder = build_encoder(image_size, width)
        self.decoder = build_decoder(image_size, width)

    @property
    def settings(self) -> dict[str, Any]:
        return {"image_size": self.image_size, "width": self.width}

    @property
    def networks(self) -> list[keras.Model]:
        return [self.detector, self.motion_network, self.encoder, self.decoder]

    @classmethod
    def build_for(cls, settings: TrainingSettings, faces: Faces) -> "Reenactment":
        return cls(settings.image_size, settings.width)

    def batches(self, faces: Faces, settings: TrainingSettings) -> tf.data.Dataset:
        return endless(faces.pixels, settings).batch(settings.batch_size)

    def simulate(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Reenacts float32 [B, S, S, 3] in [0, 1] as `condition` [B], an index of `conditions`, says."""
        keypoints = self.keypoints(images)
        motions = tf.gather(np.float32(list(MOTIONS.values())), condition)
        return self._render(images, *self._motion(images, keypoints, keypoints + motions))

    def heat_maps(self, images: tf.Tensor) -> tf.Tensor:
        """Where each keypoint is in pictures [B, S, S, 3]: [B, side, side, K], each map's sum 1."""
        logits = self.detector(images) / _TEMPERATURE
        side, count = logits.shape[1], logits.shape[3]
        logits += log_gaussians(_PLACES[None], side, _NEAR)
        shares = tf.nn.softmax(tf.reshape(logits, [-1, side * side, count]), axis=1)
        return tf.reshape(shares, [-1, side, side, count])

    def keypoints(self, images: tf.Tensor) -> tf.Tensor:
        """The keypoints of pictures [B, S, S, 3], in PLACES' order: [B, K, 2]."""
        heat_maps = self.heat_maps(images)
        return expectation(heat_maps, grid(heat_maps.shape[1])[None])

    def _motion(self, images: tf.Tensor, source: tf.Tensor, driving: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The dense motion [B, side, side, 2] from keypoints `source` to `driving`, and the share [B, side, side, 1] of
        each cell that it can carry (FOMM's occlusion map).
        """
        side, motions = motion_side(images.shape[1]), driving - source
        small = _shrink(images, side)
        appeared = [tf.exp(log_gaussians(each, side, _REACH)) for each in (driving, source)]
        logits = self.motion_network(tf.concat([small, _moved_copies(small, motions), appeared[0] - appeared[1]], -1))
        # The constant: untrained, nearly everything is carried.
        return dense_motion(driving, motions, side, logits[..., :-1]), tf.sigmoid(logits[..., -1:] + 2.0)

    def _render(self, images: tf.Tensor, motion: tf.Tensor, carried: tf.Tensor) -> tf.Tensor:
        moved = [
            move(features, motion) * tf.image.resize(carried, features.shape[1:3]) for features in self.encoder(images)
        ]
        return self.decoder(moved)

    def train_step(self, data: tf.Tensor) -> dict[str, tf.Tensor]:
        deformed, shown = deform(data)
        with tf.GradientTape() as tape:
            losses, made = self.losses(data, deformed, shown)
            geometry = losses["keypoints"] + losses["places"] + losses["motion"]
            loss = losses["reconstruction"] + _GEOMETRY_WEIGHT * geometry
            if self.adversary:
                loss += self.adversary.fooling_loss(made, self.optimizer.iterations)
        self.optimizer.minimize(loss, self.generator_variables, tape=tape)
        if self.adversary:
            losses["critic"] = self.adversary.train(data, made)
        return {"loss": loss, **losses}

    def losses(
        self, photographs: tf.Tensor, deformed: tf.Tensor, shown: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """How far the photographs are from being restored; `deformed` and `shown` are what `deform` makes of them.

        Returns:
          Scalars: `reconstruction`, faceswap's; `keypoints`, how far those found in the deformed picture are from those
          in the photograph, there (FOMM §3.3, "Imposing equivariance constraint"); `places`, how far the keypoints are
          from PLACES on average over the batch, or they would drift; `motion`, how far from its place the dense motion
          leaves a pixel. And the restored photographs.
        """
        heat_maps = self.heat_maps(tf.concat([deformed, jitter_colours(photographs)], 0))
        side = heat_maps.shape[1]
        source, driving = tf.split(expectation(heat_maps, grid(side)[None]), 2)
        shown = _shrink(shown, side)
        motion, carried = self._motion(deformed, source, driving)
        made = self._render(deformed, motion, carried)
        losses = {
            "reconstruction": reconstruction_loss(photographs, made),
            "keypoints": tf.reduce_mean(tf.abs(expectation(tf.split(heat_maps, 2)[0], shown) - driving)),
            "places": tf.reduce_mean(tf.abs(tf.reduce_mean(driving, 0) - _PLACES)),
            "motion": tf.reduce_mean(tf.abs(move(shown, motion) - grid(side))),
        }
        return losses, made


def _moved_copies(images: tf.Tensor, motions: tf.Tensor) -> tf.Tensor:
    """Pictures [B, side, side, 3] moved as a whole by each of the motions [B, K, 2]: [B, side, side, 3K]."""
    side, count = images.shape[1], motions.shape[1]
    everywhere = tf.tile(tf.reshape(motions, [-1, 1, 1, 2]), [1, side, side, 1])
    copies = tf.reshape(move(tf.repeat(images, count, axis=0), everywhere), [-1, count, side, side, 3])
    return tf.reshape(tf.transpose(copies, [0, 2, 3, 1, 4]), [-1, side, side, 3 * count])


def _shrink(images: tf.Tensor, side: int) -> tf.Tensor:
    return tf.nn.avg_pool2d(images, images.shape[1] // side, images.shape[1] // side, "VALID")
