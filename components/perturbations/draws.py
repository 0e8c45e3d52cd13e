"""Random numbers for pictures: new ones at each call, or a function of each picture alone.

Where replicas share a training's step (tf.distribute), every replica draws the whole batch's numbers and takes its own
pictures', so that several do what one would.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

import tensorflow as tf

_trace = threading.local()  # Replicas of one process are built by threads of their own.


@contextlib.contextmanager
def numbered() -> Iterator[None]:
    """Seeds what is drawn within it by its number: the same for each replica, whatever else their graphs hold."""
    _trace.number = 0
    try:
        yield
    finally:
        _trace.number = None


def _seed() -> int | None:
    number = getattr(_trace, "number", None)
    if number is not None:
        _trace.number = number + 1
    return number


def uniform(
    shape: tf.types.experimental.TensorLike,
    low: float = 0.0,
    high: float = 1.0,
    dtype: tf.DType = tf.float32,
    batches: int = 1,
) -> tf.Tensor:
    """As tf.random.uniform. `shape` begins with a batch's size, or is [] for what a whole batch has in common.

    Args:
      shape, low, high, dtype: as there.
      batches: how many batches of a step are in it, one after the other.
    """
    return _own(lambda whole: tf.random.uniform(whole, low, high, dtype, seed=_seed()), shape, batches)


def normal(shape: tf.types.experimental.TensorLike) -> tf.Tensor:
    """As tf.random.normal, its shape as uniform's."""
    return _own(lambda whole: tf.random.normal(whole, seed=_seed()), shape, 1)


def one_of(weights: tf.Tensor, count: tf.types.experimental.TensorLike | None = None) -> tf.Tensor:
    """Numbers drawn in proportion to weights float32 [N]: int32 [count], one a picture; [] for all in common."""
    logits = tf.math.log(weights)[None]
    if count is None:
        return tf.random.categorical(logits, 1, tf.int32, seed=_seed())[0, 0]
    return _own(lambda whole: tf.random.categorical(logits, whole[0], tf.int32, seed=_seed())[0], [count], 1)


def _own(draw: Callable, shape: tf.types.experimental.TensorLike, batches: int) -> tf.Tensor:
    """What is drawn for this replica's pictures of all that is drawn for a step."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync if context else 1
    if replicas == 1 or isinstance(shape, list) and not shape:
        return draw(shape)
    shape = tf.convert_to_tensor(shape, tf.int32)
    of_one = shape[0] // batches
    whole = draw(tf.concat([[shape[0] * replicas], shape[1:]], 0))
    parted = tf.reshape(whole, tf.concat([[batches, replicas, of_one], shape[1:]], 0))
    return tf.reshape(parted[:, context.replica_id_in_sync_group], shape)


class New:
    """Random numbers for each picture of a batch, other ones at each call.

    Args:
      images: float32 [B, H, W, 3] in [0, 1].
    """

    def __init__(self, images: tf.Tensor):
        self._count = tf.shape(images)[0]

    def uniform(self, shape: tf.types.experimental.TensorLike, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """Uniform in [low, high), float32 [B, *shape]."""
        return uniform(tf.concat([[self._count], shape], 0), low, high)

    def normal(self, shape: tf.types.experimental.TensorLike) -> tf.Tensor:
        """Of mean 0 and deviation 1, float32 [B, *shape]."""
        return normal(tf.concat([[self._count], shape], 0))


class OfThePicture:
    """As New, but a function of each picture's 8-bit values alone: of neither call, batch, worker nor machine.

    Args:
      images: float32 [B, H, W, 3] in [0, 1].
    """

    def __init__(self, images: tf.Tensor):
        levels = tf.saturate_cast(tf.round(images * 255.0), tf.uint8)
        self._seeds = tf.bitcast(tf.reshape(tf.fingerprint(levels), [-1, 2, 4]), tf.int32)

    def uniform(self, shape: tf.types.experimental.TensorLike, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """As New.uniform."""
        return self._each(lambda seed: tf.random.stateless_uniform(shape, seed, low, high, alg="philox"))

    def normal(self, shape: tf.types.experimental.TensorLike) -> tf.Tensor:
        """As New.normal."""
        return self._each(lambda seed: tf.random.stateless_normal(shape, seed, alg="philox"))

    def _each(self, draw) -> tf.Tensor:
        self._seeds += [0, 1]  # What is drawn next is independent of what was drawn before.
        return tf.map_fn(draw, self._seeds, fn_output_signature=tf.float32)
