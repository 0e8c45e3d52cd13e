"""What the client promises of untagged pictures when it tries the masks of two payload versions."""

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import manifest, payload
from faketagger.components.tagger import channel_decoder
from faketagger.serving import client
from faketagger.tests import helpers

CODE_MATRIX = payload.code_matrix(5, 15)
RATE = 0.05
PICTURE = helpers.file_of(np.zeros([16, 16, 3], np.uint8))
PREFIX = b"faketagger-key-2-"


class Reader(client.Backend):
    """Reads what a function of the mask, uint8 [n], says: message, score, p-value."""

    def __init__(self, read):
        rows = payload.code_matrix_to_hex(CODE_MATRIX)
        self._manifest = manifest.TaggerManifest(5, 15, rows, 32, 1.0, RATE).to_json()
        self._read = read

    def predict(self, signature, inputs, outputs, version=None):
        if signature == "describe":
            return {"manifest": np.array([self._manifest.encode()], object)}, 1
        message, score, p_value = self._read(np.uint8(inputs["key_mask"][0]))
        found = {"message": [message], "score": [score], "p_value": [p_value], "tagged": [p_value <= RATE]}
        return {name: np.array(value) for name, value in found.items()}, 1

    def status(self):
        return []


def _readings(read, keys):
    return [client.TaggerClient(Reader(read), key).read(PICTURE) for key in keys]


def _keys(prefix, count):
    return [prefix + b"a key with the number %d" % number for number in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("prefix", [b"", PREFIX], ids=["two masks", "one mask"])
def test_p_values_that_are_uniform_over_masks_stay_so_over_keys(prefix):
    """A picture is claimed as often as it may be: if each mask had the whole rate, nearly twice as often."""
    random = np.random.default_rng(3)
    drawn = {}

    def read(mask):
        p_value = drawn.setdefault(mask.tobytes(), random.uniform())
        return np.zeros(5, np.int32), 1 - p_value, p_value

    readings = _readings(read, _keys(prefix, 4000))
    p_values = np.array([reading.p_value for reading in readings])
    for level in (RATE, 0.2, 0.5):
        expected = level - level**2 / 4 if not prefix else level
        assert np.mean(p_values <= level) == pytest.approx(expected, abs=4 * np.sqrt(level / 4000))
    assert [reading.tagged for reading in readings] == list(p_values <= RATE)


@pytest.mark.slow
def test_an_untagged_picture_is_claimed_by_no_more_keys_than_promised():
    """With the real decoder, on bits as correlated as a network's: the masks alone make the promise."""
    logits = tf.constant([[6.0, 6, 6, 5, 5, 5, 3, 3, 3, -1, -1, -1, -0.2, -0.2, 0.1]])

    @tf.function(input_signature=[tf.TensorSpec([1, 15])])
    def decode(mask):
        return channel_decoder.decode(logits * (1.0 - 2.0 * mask), CODE_MATRIX)

    def read(mask):
        return tuple(value.numpy()[0] for value in decode(tf.constant(np.float32(mask)[np.newaxis])))

    p_values = np.array([reading.p_value for reading in _readings(read, _keys(b"", 1500))])
    for level in (RATE, 0.2, 0.5):
        assert np.mean(p_values <= level) <= level


def test_the_better_of_two_readings_is_the_candidate_even_where_both_p_values_are_1():
    key = b"a key of this test"
    better = payload.key_mask(key, 15, 1)

    def read(mask):
        return np.ones(5, np.int32), 0.4 if (mask == better).all() else 0.3, 1.0

    assert _readings(read, [key]) == [client.Reading(31, False, 1.0, 0.4, 1)]
