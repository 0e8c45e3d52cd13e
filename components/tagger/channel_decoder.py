"""Soft decoding of the channel code in TensorFlow, in batch, and the significance of what was read (docs/design.md)."""

import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Soft bits weigh whole numbers in the p-value: this in the mean, and at most _MOST_WEIGHT.
_MEAN_WEIGHT, _MOST_WEIGHT = 7, 32
_ROUNDING = 1e-3  # The share by which float32 may be off.
_TILTS = np.geomspace(0.001, 10.0, 60).astype(np.float32)

# Up to so many message bits four of the basis are flipped at once, three over it: the candidates of one picture take
# 3 MB then. Of 30 bits in a code of 121 that arrive with 24% of the code bits wrong by Gaussian noise, order 2 finds
# the message in 0.68 of the cases, 3 in 0.81, 4 in 0.89.
_ORDER_4_BITS = 40


class Decoded(NamedTuple):
    """Attributes:
    message: int32 [B, k].
    score: float32 [B], normalised correlation of soft bits and codeword, at most 1.
    p_value: float32 [B], the largest probability that an untagged picture scores as high.
    """

    message: tf.Tensor
    score: tf.Tensor
    p_value: tf.Tensor


def decode(logits: tf.Tensor, code_matrix: np.ndarray) -> Decoded:
    """Finds the message of a systematic linear code from soft bits.

    Ordered statistics decoding (Fossorier & Lin 1995): the k most reliable independent bits are taken for a basis, and
    of all codewords that differ from them in at most four bits (three, where k is over _ORDER_4_BITS) the one that
    correlates best with the logits wins.

    Args:
      logits: float32 [B, n], after the key mask was taken off; positive for 1.
      code_matrix: uint8 [k, n], systematic.
    """
    bits, length = code_matrix.shape
    # The message stands in the first k columns, so a code without redundancy needs no search.
    signs = _ordered_statistics(logits, code_matrix) if length > bits else tf.where(logits > 0, 1.0, -1.0)
    message = tf.cast(signs[:, :bits] > 0, tf.int32)
    score, p_value = significance(logits, signs, bits)
    return Decoded(message, score, p_value)


def _ordered_statistics(logits: tf.Tensor, code_matrix: np.ndarray) -> tf.Tensor:
    """The best codewords as signs, float32 [B, n] of ±1 (+1 for bit 1)."""
    order = tf.argsort(tf.abs(logits), axis=1, direction="DESCENDING", stable=True)
    sorted_logits = tf.gather(logits, order, batch_dims=1)
    sorted_matrix = tf.gather(tf.constant(code_matrix.T, tf.int32), order)  # [B, n, k]: columns as rows.
    reduced, basis = _most_reliable_basis(tf.transpose(sorted_matrix, [0, 2, 1]))

    # From here bits are signs, so that XOR is a product: row i as −1 where it flips the codeword.
    flips = 1.0 - 2.0 * tf.cast(reduced, tf.float32)  # [B, k, n]
    hard = tf.cast(tf.gather(sorted_logits, basis, batch_dims=1) > 0, tf.float32)  # [B, k]
    ones = tf.reduce_sum(hard[:, :, None] * tf.cast(reduced, tf.float32), 1)
    base = 1.0 - 2.0 * tf.math.floormod(tf.round(ones), 2.0)  # [B, n], −1 for bit 1.

    # The row of ones at the end stands for no flip: `pairs` flip two rows, one or none.
    flips = tf.concat([flips, tf.ones_like(flips[:, :1])], 1)
    count = flips.shape[1]
    first, second = zip(*itertools.combinations(range(count), 2), (count - 1, count - 1))
    pairs = tf.gather(flips, first, axis=1) * tf.gather(flips, second, axis=1)
    others = pairs if code_matrix.shape[0] <= _ORDER_4_BITS else flips
    # Candidate (i, j) flips what pair i and other j do; a row that is in both is not flipped, which is a candidate too.
    correlation = tf.matmul(pairs * (base * -sorted_logits)[:, None], others, transpose_b=True)
    best = tf.argmax(tf.reshape(correlation, [-1, pairs.shape[1] * others.shape[1]]), 1, tf.int32)
    chosen = tf.gather(pairs, best // others.shape[1], batch_dims=1)
    codeword = -base * chosen * tf.gather(others, best % others.shape[1], batch_dims=1)
    return tf.gather(codeword, tf.argsort(order, axis=1), batch_dims=1)


def _most_reliable_basis(code_matrix: tf.Tensor):
    """Gauss–Jordan elimination over GF(2), taking columns from the left while they are independent.

    Args:
      code_matrix: int32 [B, k, n] of full rank.

    Returns:
      The reduced matrix, int32 [B, k, n], whose row i has the only 1 in its basis column; those columns, int32
      [B, k].
    """
    batch, bits, length = tf.shape(code_matrix)[0], code_matrix.shape[1], code_matrix.shape[2]

    def step(column, matrix, used, basis):
        candidates = matrix[:, :, column] * (1 - used)  # [B, k]
        found = tf.reduce_max(candidates, 1)  # [B], 1 where the column is independent of those taken.
        pivot = tf.one_hot(tf.argmax(candidates, 1), bits, dtype=tf.int32) * found[:, None]
        pivot_row = tf.reduce_sum(matrix * pivot[:, :, None], 1)  # [B, n]
        clear = matrix[:, :, column] * (1 - pivot) * found[:, None]
        matrix = tf.bitwise.bitwise_xor(matrix, clear[:, :, None] * pivot_row[:, None])
        return column + 1, matrix, used + pivot, basis + pivot * column

    start = (0, code_matrix, tf.zeros([batch, bits], tf.int32), tf.zeros([batch, bits], tf.int32))
    invariants = (
        tf.TensorShape([]),
        tf.TensorShape([None, bits, length]),
        tf.TensorShape([None, bits]),
        tf.TensorShape([None, bits]),
    )
    _, reduced, _, basis = tf.while_loop(lambda column, *_: column < length, step, start, invariants)
    return reduced, basis


def significance(logits: tf.Tensor, signs: tf.Tensor, message_bits: int):
    """How unlikely the agreement of soft bits with the best codeword is in an untagged picture.

    The key mask is random and independent of the picture, so every masked codeword agrees with a picture's soft bits w
    as independent fair signs ε do: S = Σ wᵢ εᵢ, whose distribution is computed, the weights being rounded to whole
    numbers first; and there are 2^k codewords to have chosen from. No assumption about the network or the picture is
    made.

    Args:
      logits: float32 [B, n].
      signs: the codeword found, float32 [B, n] of ±1.
      message_bits: k.

    Returns:
      score float32 [B] and p_value float32 [B] as in Decoded.
    """
    soft = tf.tanh(logits / 2.0)
    # Dead bits (all zero) say nothing.
    score = tf.math.divide_no_nan(tf.reduce_sum(soft * signs, 1), tf.reduce_sum(tf.abs(soft), 1))
    size = tf.abs(tf.clip_by_value(logits, -30.0, 30.0))
    share = tf.math.divide_no_nan(_MEAN_WEIGHT * size, tf.reduce_mean(size, 1, keepdims=True))
    weights = tf.minimum(tf.round(share), _MOST_WEIGHT)
    agrees = tf.reduce_sum(weights * tf.cast(logits * signs > 0, tf.float32), 1)
    log_p = tf.minimum(0.0, _log_tail(weights, agrees) + message_bits * np.log(2.0))
    return score, tf.exp(log_p)


def _log_tail(weights: tf.Tensor, least: tf.Tensor) -> tf.Tensor:
    """log P(A ≥ `least` [B]), where A adds up those `weights` (whole numbers, [B, n]) whose fair coins show heads.

    By the characteristic function, of the distribution tilted by exp(t A) so that its middle lies near `least`: where
    A itself is a quadrillionth as likely, rounding errors would be all that is seen.
    """
    length = 2 ** int(np.ceil(np.log2((_MEAN_WEIGHT + 0.5) * weights.shape[1] + 1)))  # Of all values of A.
    tilt, log_scale = _best_tilt(weights, least)
    heads = tf.sigmoid(tilt[:, None] * weights)
    circle = tf.constant(np.exp(2j * np.pi * np.arange(length) / length), tf.complex64)
    turns = tf.range(length // 2 + 1)[:, None] * tf.cast(weights, tf.int32)[:, None]  # [B, length / 2 + 1, n]
    heads = tf.cast(heads, tf.complex64)[:, None]
    characteristic = tf.reduce_prod(
        1.0 - heads + heads * tf.gather(circle, tf.bitwise.bitwise_and(turns, length - 1)), 2
    )
    tilted = tf.nn.relu(tf.signal.irfft(tf.math.conj(characteristic), [length]))
    beyond = tf.range(length, dtype=tf.float32) - least[:, None]
    there = tf.where(beyond >= 0, tilted * tf.exp(-tilt[:, None] * tf.nn.relu(beyond)), 0.0)
    return log_scale + tf.math.log(tf.reduce_sum(there, 1) * (1.0 + _ROUNDING))


def _best_tilt(weights: tf.Tensor, least: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The t at which Chernoff's bound on P(A ≥ `least`), E exp(t (A − least)), is least, and the bound's logarithm."""
    scaled = weights[:, :, None] * _TILTS  # [B, n, T]
    log_bounds = tf.reduce_sum(tf.math.softplus(scaled) - np.log(2.0), 1) - least[:, None] * _TILTS
    best = tf.argmin(log_bounds, 1, tf.int32)
    return tf.gather(_TILTS, best), tf.gather(log_bounds, best, batch_dims=1)
