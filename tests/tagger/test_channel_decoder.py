"""Soft decoding against brute force and simulated channels; the p-value against every mask there is."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import payload
from faketagger.components.tagger import channel_decoder


def _decode(logits, bits, length):
    logits = np.asarray(logits, np.float32)
    found = channel_decoder.decode(tf.constant(logits), payload.code_matrix(bits, length))
    return channel_decoder.Decoded(*(each.numpy() for each in found))


def _channel(bits, length, raw_error, count, seed=0):
    """Random messages, and the logits of their codewords after white noise that gives a raw bit error rate."""
    random = np.random.default_rng(seed)
    messages = random.integers(0, 2, (count, bits), np.uint8)
    codewords = payload.encode_messages(messages, payload.code_matrix(bits, length))
    # The normal distribution's quantiles.
    deviation = {0.1: 1 / 1.2816, 0.2: 1 / 0.8416, 0.16: 1 / 0.9945, 0.24: 1 / 0.7063}[raw_error]
    received = 2.0 * codewords - 1 + random.normal(0, deviation, codewords.shape)
    assert np.mean((received > 0) != codewords) == pytest.approx(raw_error, rel=0.05)
    return messages, 2 * received / deviation**2


def _score(logits, message, bits, length):
    """What the score must be of a message's codeword."""
    soft = np.tanh(np.clip(logits, -30, 30) / 2)
    signs = 2.0 * payload.encode_messages(np.uint8(message), payload.code_matrix(bits, length)) - 1
    return (soft * signs).sum(1) / np.maximum(np.abs(soft).sum(1), 1e-30)


def _most_likely(logits, bits, length):
    messages = np.array(list(itertools.product([0, 1], repeat=bits)), np.uint8)
    signs = 2.0 * payload.encode_messages(messages, payload.code_matrix(bits, length)) - 1
    return messages[np.argmax(logits @ signs.T, 1)]


@pytest.mark.parametrize("bits, length", [(1, 15), (5, 15), (7, 15), (11, 15), (6, 31), (5, 0)])
@pytest.mark.parametrize("signal", [0.0, 1.0])
def test_decoding_is_maximum_likelihood_for_small_codes(bits, length, signal):
    random = np.random.default_rng(bits)
    code_bits = payload.code_matrix(bits, length).shape[1]
    logits = random.normal(size=(500, code_bits)) + signal
    agrees = (_decode(logits, bits, length).message == _most_likely(logits, bits, length)).all(1)
    assert agrees.mean() > (0.97 if signal == 0 else 0.997)


@pytest.mark.parametrize(
    "bits, length, raw_error, least, most",
    [
        (30, 63, 0.1, 0.97, 1.0),
        (30, 63, 0.2, 0.29, 0.44),
        (30, 127, 0.1, 0.999, 1.0),
        (30, 127, 0.2, 0.96, 1.0),
        (30, 127, 0.24, 0.80, 0.94),
        (50, 127, 0.1, 0.97, 1.0),
    ],
)
def test_messages_come_back_at_the_rate_that_was_measured_for_white_noise(bits, length, raw_error, least, most):
    messages, logits = _channel(bits, length, raw_error, 400)
    found = _decode(logits, bits, length).message
    assert least <= (found == messages).all(1).mean() <= most


@pytest.mark.parametrize("errors", [0, 1, 2])
def test_two_errors_are_corrected_wherever_they_are_and_however_sure(errors):
    places = list(itertools.combinations(range(15), errors))
    messages = np.random.default_rng(1).integers(0, 2, (len(places), 5), np.uint8)
    received = payload.encode_messages(messages, payload.code_matrix(5, 15))
    for row, flipped in zip(received, places):
        row[list(flipped)] ^= 1
    assert (_decode(4.0 * received - 2, 5, 15).message == messages).all()


@pytest.mark.parametrize("bits, length", [(30, 0), (5, 15), (30, 63), (30, 127)])
@pytest.mark.parametrize("kind", ["noise", "one value", "ties", "mostly dead", "huge", "tiny"])
def test_whatever_comes_in_the_score_is_that_of_a_real_codeword(bits, length, kind):
    random = np.random.default_rng(7)
    shape = (50, payload.code_matrix(bits, length).shape[1])
    logits = {
        "noise": random.normal(size=shape),
        "one value": np.ones(shape),
        "ties": random.choice([-1.0, 1.0], shape),
        "mostly dead": random.normal(size=shape) * (random.uniform(size=shape) < 0.1),
        "huge": random.normal(size=shape) * 1e30,
        "tiny": random.normal(size=shape) * 1e-3,
    }[kind].astype(np.float32)
    found = _decode(logits, bits, length)
    assert found.message.dtype == np.int32 and set(np.unique(found.message)) <= {0, 1}
    np.testing.assert_allclose(found.score, _score(logits, found.message, bits, length), atol=1e-4)
    assert (0 <= found.p_value).all() and (found.p_value <= 1).all()


def test_no_signal_at_all_says_nothing():
    found = _decode(np.zeros((3, 63)), 30, 63)
    assert (found.p_value == 1).all() and (found.score == 0).all()


def test_pictures_of_a_batch_are_decoded_apart_and_as_in_a_graph():
    messages, logits = _channel(30, 63, 0.1, 8)
    alone = np.concatenate([_decode(row[None], 30, 63).message for row in logits])
    np.testing.assert_array_equal(_decode(logits, 30, 63).message, alone)
    traced = tf.function(lambda given: channel_decoder.decode(given, payload.code_matrix(30, 63)))
    np.testing.assert_array_equal(traced(tf.constant(logits, tf.float32)).message, alone)
    assert (alone == messages).all(1).mean() > 0.8


def _every_mask(bits):
    return 1.0 - 2.0 * np.array(list(itertools.product([0, 1], repeat=bits)), np.float32)


LOGITS = {
    "all saturated to one value": np.full(15, 40.0),
    "equal and faint": np.full(15, 0.3),
    "a codeword, surely": 40.0 * (2.0 * payload.code_matrix(5, 15)[2] - 1),
    "one bit alone": 9.0 * (np.arange(15) == 4),
    "falling": 6.0 * 0.7 ** np.arange(15),
    "normal": np.random.default_rng(3).normal(0, 3, 15),
}


@pytest.mark.parametrize("name", LOGITS)
def test_a_p_value_is_never_below_the_share_of_all_keys_under_which_an_untagged_picture_reads_as_well(name):
    p_values = _decode(LOGITS[name] * _every_mask(15), 5, 15).p_value
    # By the value of each mask's p: the share of the 2^15 masks whose p is at most that.
    values, counts = np.unique(np.round(p_values, 7), return_counts=True)
    share = np.cumsum(counts) / len(p_values)
    assert (share <= values * 1.001 + 1e-6).all()


@pytest.mark.parametrize("kind", ["independent", "correlated", "biased", "heavy tails"])
def test_false_positives_stay_below_the_promise_for_long_codes_and_random_pictures(kind):
    random = np.random.default_rng(11)
    count, bits = 3000, 63
    common = random.normal(size=(count, 1))
    logits = {
        "independent": random.normal(size=(count, bits)),
        "correlated": 4 * common + 0.5 * random.normal(size=(count, bits)),
        "biased": 6 * random.choice([-1, 1], bits) + random.normal(size=(count, bits)),
        "heavy tails": random.standard_cauchy((count, bits)),
    }[kind]
    masks = 1.0 - 2.0 * random.integers(0, 2, (count, bits))
    p_values = _decode(logits * masks, 7, 63).p_value
    for promised in (0.3, 0.1, 0.01):
        assert np.mean(p_values <= promised) <= promised
    assert p_values.min() > 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_a_p_value_is_that_of_the_distribution_however_far_out(seed):
    random = np.random.default_rng(seed)
    weights = np.minimum(np.round(np.abs(random.normal(0, 9, 121))), 32)
    chances = np.ones(1)  # Of each sum, by adding one coin after the other.
    for weight in weights.astype(int):
        chances = (np.pad(chances, (0, weight)) + np.pad(chances, (weight, 0))) / 2
    least = np.float32(weights.sum() * np.array([0.0, 0.3, 0.5, 0.6, 0.8, 0.9, 0.97]) // 1)
    expected = [np.log(chances[int(each) :].sum()) for each in least]
    found = channel_decoder._log_tail(tf.constant(np.tile(weights, [len(least), 1]), tf.float32), tf.constant(least))
    assert expected[-1] < -50
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_a_sixth_of_the_bits_wrong_are_still_proof_in_nine_cases_of_ten():
    messages, logits = _channel(30, 127, 0.16, 200)
    found = _decode(logits, 30, 127)
    assert np.mean(found.p_value <= 1e-6) > 0.85  # By Chernoff's bound on soft bits 0.71 of them.
    assert (found.message == messages).all(1).mean() > 0.97


def test_a_clear_tag_has_the_p_value_of_a_lucky_guess():
    sure = 60.0 * (payload.encode_messages(np.ones((1, 30), np.uint8), payload.code_matrix(30, 63)) - 0.5)
    # 2^30 codewords among 2^63 words.
    assert np.log2(_decode(sure, 30, 63).p_value[0]) == pytest.approx(-33, abs=0.2)


def test_wrong_bits_raise_the_p_value_and_lower_the_score():
    word = 2.0 * payload.encode_messages(np.ones((1, 30), np.uint8), payload.code_matrix(30, 63))[0] - 1
    wrong = np.arange(63) < np.arange(0, 18, 3)[:, None]  # Row e has 3·e wrong bits, less sure than the right ones.
    found = _decode(word * np.where(wrong, -1.0, 5.0), 30, 63)
    assert (found.message == 1).all()
    assert (np.diff(found.p_value) > 0).all() and (np.diff(found.score) < 0).all()


def test_the_surer_the_right_bits_are_beside_the_wrong_ones_the_lower_the_p_value():
    word = 2.0 * payload.encode_messages(np.ones((1, 30), np.uint8), payload.code_matrix(30, 63)) - 1
    right = np.where(np.arange(63) % 8 == 0, -0.5, 1.0)
    found = _decode(np.where(right < 0, right, right * np.array([[0.6], [1.0], [2.0], [4.0]])) * word, 30, 63)
    assert (found.message == 1).all()
    assert (np.diff(found.p_value) < 0).all()


def test_the_p_value_does_not_depend_on_the_scale_of_faint_bits():
    faint = np.random.default_rng(5).normal(size=(1, 63)) * 1e-3
    once, tenfold = (_decode(faint * scale, 7, 63).p_value[0] for scale in (1.0, 10.0))
    assert once == pytest.approx(tenfold, rel=0.2)


def test_without_redundancy_nothing_can_be_significant():
    assert _decode(np.full((1, 30), 50.0), 30, 0).p_value[0] == pytest.approx(1.0, rel=1e-3)
