"""The networks of the official STGAN and AttGAN, as their TF1 checkpoints' variables say they were built.

Each is made in two steps: the constructor takes its variables, so that all missing ones can be told of at once; then
`connect` finds in the shapes what is appended where, or raises ValueError.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from faketagger.components.simulator.generators.stgan import append_vector

# The defaults of tf.contrib.slim's layers.
_BATCH_NORM_EPSILON = 1e-3
_INSTANCE_NORM_EPSILON = 1e-6


class Tensors(Protocol):
    """A checkpoint's variables, under the names that tf.contrib.slim gives them."""

    def has(self, start: str) -> bool:
        """Whether there is one whose name begins so."""

    def count(self, layer: str) -> int:
        """How many layers there are of a name."""

    def take(self, name: str, rank: int) -> tf.Variable:
        """One of them."""

    def set_aside(self, start: str) -> None:
        """Those whose names begin so are of no use."""


class Convolution(tf.Module):
    """A slim convolution, "same" padding; then batch or instance normalisation or a bias, then the activation.

    `stride` is a number, or a function of the kernel's side.
    """

    def __init__(
        self,
        tensors: Tensors,
        name: str,
        activation: Callable,
        stride: int | Callable[[int], int] = 1,
        transposed: bool = False,
    ):
        super().__init__()
        self._activation, self._transposed = activation, transposed
        self.kernel = tensors.take(f"{name}/weights", 4)
        self.stride = stride(self.kernel.shape[0]) if callable(stride) else stride
        self._norm = next((each for each in ("BatchNorm", "InstanceNorm") if tensors.has(f"{name}/{each}/")), None)
        if not self._norm:
            self._bias = tensors.take(f"{name}/biases", 1)
            return
        self._beta, self._gamma = (tensors.take(f"{name}/{self._norm}/{each}", 1) for each in ("beta", "gamma"))
        if self._norm == "BatchNorm":
            self._moments = [tensors.take(f"{name}/BatchNorm/moving_{each}", 1) for each in ("mean", "variance")]

    @property
    def into(self) -> int:
        """Channels it takes."""
        return self.kernel.shape[3 if self._transposed else 2]

    @property
    def out(self) -> int:
        """Channels it makes."""
        return self.kernel.shape[2 if self._transposed else 3]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        if self._transposed:
            shape = [tf.shape(x)[0], *(self.stride * side for side in x.shape[1:3]), self.out]
            x = tf.nn.conv2d_transpose(x, self.kernel, shape, self.stride, "SAME")
        else:
            x = tf.nn.conv2d(x, self.kernel, self.stride, "SAME")
        return self._activation(self._normalise(x))

    def _normalise(self, x: tf.Tensor) -> tf.Tensor:
        if not self._norm:
            return x + self._bias
        if self._norm == "BatchNorm":
            moments, epsilon = self._moments, _BATCH_NORM_EPSILON
        else:
            moments, epsilon = tf.nn.moments(x, [1, 2], keepdims=True), _INSTANCE_NORM_EPSILON
        return tf.nn.batch_normalization(x, *moments, self._beta, self._gamma, epsilon)


class Encoder(tf.Module):
    """Pictures in [−1, 1] → features of each of its `depth` layers, from the first (half the side) to the innermost."""

    def __init__(self, tensors: Tensors):
        super().__init__()
        self.depth = tensors.count("Genc/Conv")
        self._layers = [_layer(tensors, "Genc/Conv", i, tf.nn.leaky_relu, stride=2) for i in range(self.depth)]

    def channels(self) -> list[int]:
        """Of each layer's features; ValueError where one does not take those of the layer before."""
        channels = [3]
        for index, layer in enumerate(self._layers):
            if layer.into != channels[-1]:
                raise ValueError(
                    f"layer {index} of Genc takes {layer.into} channels, expected {channels[-1]}: networks trained "
                    "with --multi_inputs over 1 are not handled"
                )
            channels.append(layer.out)
        return channels[1:]

    def __call__(self, x: tf.Tensor) -> list[tf.Tensor]:
        features = [x]
        for layer in self._layers:
            features.append(layer(features[-1]))
        return features[1:]


class Decoder(tf.Module):
    """Features as the encoder's and an attribute vector [B, A] → pictures in [−1, 1].

    As many layers as the encoder has, or one more that keeps the size (AttGAN at 64, STGAN's `--one_more_conv`).
    """

    def __init__(self, tensors: Tensors, depth: int):
        super().__init__()
        count = max(depth, tensors.count("Gdec/Conv2d_transpose"))
        self._layers = [
            _layer(
                tensors,
                "Gdec/Conv2d_transpose",
                index,
                tf.nn.relu if index < count - 1 else tf.nn.tanh,
                stride=2 if index < depth else 1,
                transposed=True,
            )
            for index in range(count)
        ]

    def attributes(self, encoder: Encoder) -> int:
        """A; ValueError when there are none."""
        attributes = self._layers[0].into - encoder.channels()[-1]
        if attributes < 1:
            raise ValueError("the first layer of Gdec takes no attributes beside Genc's features")
        return attributes

    def connect(self, channels: Sequence[int], attributes: int) -> None:
        """Finds which layers' outputs get the encoder's features of their size, and the attributes, appended."""
        if len(self._layers) > len(channels) + 1:
            raise ValueError(f"{len(self._layers)} layers of Gdec do not fit {len(channels)} of Genc")
        self._appended = [
            _appended(following.into - layer.out, skip, attributes)
            for layer, following, skip in zip(self._layers, self._layers[1:], channels[-2::-1])
        ]
        # The layer that keeps the size has no encoder layer beside it.
        self._appended += [(False, False)] * (len(self._layers) - len(self._appended))

    def __call__(self, features: Sequence[tf.Tensor], vector: tf.Tensor) -> tf.Tensor:
        x = append_vector(features[-1], vector)
        for index, (layer, (shortcut, injected)) in enumerate(zip(self._layers, self._appended)):
            x = layer(x)
            if shortcut:
                x = tf.concat([x, features[-2 - index]], -1)
            if injected:
                x = append_vector(x, vector)
        return x


class TransferUnits(tf.Module):
    """STGAN's "Selective Transfer Units": features and the difference [B, A] → features for the decoder."""

    def __init__(self, tensors: Tensors, depth: int):
        super().__init__()
        self._units = []
        for index in range(max(depth - 1, tensors.count("Gstu/Conv2d_transpose"))):
            upsample = _layer(tensors, "Gstu/Conv2d_transpose", index, tf.identity, stride=2, transposed=True)
            reset, update = (_layer(tensors, "Gstu/Conv", 3 * index + gate, tf.nn.sigmoid) for gate in (0, 1))
            self._units.append((upsample, reset, update, _layer(tensors, "Gstu/Conv", 3 * index + 2, tf.nn.tanh)))

    def connect(self, channels: Sequence[int], attributes: int) -> None:
        """Finds which units get the attributes appended to the state of the unit below."""
        if len(self._units) != len(channels) - 1:
            raise ValueError(f"{len(self._units)} units of Gstu do not fit {len(channels)} layers of Genc")
        states = [channels[-1], *(upsample.out for upsample, *_ in self._units)]
        more = [upsample.into - state for (upsample, *_), state in zip(self._units, states)]
        if not set(more) <= {0, attributes}:
            raise ValueError(f"units of Gstu take {more} channels beside the state; expected 0 or {attributes}")
        self._injected = [bool(each) for each in more]

    def __call__(self, features: Sequence[tf.Tensor], difference: tf.Tensor) -> list[tf.Tensor]:
        made, state = [features[-1]], features[-1]
        for encoded, unit, injected in zip(features[-2::-1], self._units, self._injected):
            upsample, reset, update, candidate = unit
            upsampled = upsample(append_vector(state, difference) if injected else state)
            both = tf.concat([encoded, upsampled], -1)
            gate = update(both)
            state = reset(both) * upsampled
            made.append((1.0 - gate) * upsampled + gate * candidate(tf.concat([encoded, state], -1)))
        return made[::-1]


class Classifier(tf.Module):
    """The attribute head of the discriminator: pictures in [−1, 1] [B, side, side, 3] → logits [B, A].

    Attributes:
      side: of the pictures it was trained on; known once it is connected.
    """

    def __init__(self, tensors: Tensors):
        super().__init__()
        self._layers = [
            # AttGAN's network for 64 pixels has layers that keep the size, with kernels of 3; others are of 4 or 5.
            _layer(tensors, "D/Conv", index, tf.nn.leaky_relu, stride=lambda side: 1 if side == 3 else 2)
            for index in range(tensors.count("D/Conv"))
        ]
        flattening = tensors.has("D/flatten_fully_connected")
        name, inner = ("D/flatten_fully_connected", "/fully_connected") if flattening else ("D/fully_connected", "")
        layers = [_numbered(name, index) + inner for index in range(4)]
        for layer in layers[:2]:  # The other head, which says how real a picture is.
            tensors.set_aside(f"{layer}/")
        self._dense = [(tensors.take(f"{each}/weights", 2), tensors.take(f"{each}/biases", 1)) for each in layers[2:]]

    def connect(self, channels: Sequence[int], attributes: int) -> None:
        """Finds `side`; the channels are the generator's."""
        inputs, outputs = self._dense[0][0].shape[0], self._dense[1][0].shape[1]
        innermost = round((inputs / self._layers[-1].out) ** 0.5) if self._layers else 0
        if not self._layers or innermost**2 * self._layers[-1].out != inputs or outputs != attributes:
            raise ValueError(
                f"the attribute head of D takes {inputs} values and makes {outputs}; it does not fit its convolutions "
                f"or the generator's {attributes} attributes"
            )
        self.side = innermost * int(np.prod([layer.stride for layer in self._layers]))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        for layer in self._layers:
            x = layer(x)
        (hidden, hidden_bias), (head, head_bias) = self._dense
        x = tf.nn.leaky_relu(tf.reshape(x, [-1, hidden.shape[0]]) @ hidden + hidden_bias)
        return x @ head + head_bias


def _layer(tensors: Tensors, name: str, index: int, activation: Callable, **options) -> Convolution:
    return Convolution(tensors, _numbered(name, index), activation, **options)


def _numbered(name: str, index: int) -> str:
    return f"{name}_{index}" if index else name


def _appended(channels: int, skip: int, attributes: int) -> tuple[bool, bool]:
    """Which of encoder features with `skip` channels and of the attributes `channels` more channels are."""
    fitting = [
        (shortcut, injected)
        for shortcut in (False, True)
        for injected in (False, True)
        if channels == shortcut * skip + injected * attributes
    ]
    if len(fitting) != 1:
        raise ValueError(
            f"{channels} channels beside those of Gdec's layer before do not show whether they are Genc's {skip}, the "
            f"{attributes} attributes, or both"
        )
    return fitting[0]
