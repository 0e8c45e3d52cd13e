"""Taggers that are given pictures as files, because these are of another size than its networks'."""

import types

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import signatures
from faketagger.components.evaluator.measure import models
from faketagger.tests import stubs

pytestmark = pytest.mark.slow

PICTURES = np.random.default_rng(0).integers(0, 256, [signatures.MAX_FILES + 6, 8, 8, 3], np.uint8)


class FileTagger(tf.Module):
    """Returns files as they are, at most MAX_FILES a call; with `said`, refuses the first and says so."""

    def __init__(self, said=None):
        self._said = said

    @tf.function(input_signature=[stubs.spec(dtype=tf.string), stubs.spec(64), stubs.spec()])
    def tag(self, image, codeword, strength):
        return {"image": image, **self._status(image)}

    @tf.function(input_signature=[stubs.spec(dtype=tf.string), stubs.spec(64)])
    def read(self, image, key_mask):
        count = tf.shape(image)[0]
        found = {"message": tf.zeros([count, 8], tf.int32), "p_value": tf.ones([count]), "logits": key_mask}
        return {**found, "tagged": tf.zeros([count], tf.bool), **self._status(image)}

    def _status(self, image):
        tf.debugging.assert_less_equal(tf.shape(image)[0], signatures.MAX_FILES)
        if self._said is None:
            return {}
        return {"status": tf.where(tf.range(tf.shape(image)[0]) == 0, self._said, "")}


def _load(path, said):
    tagger = FileTagger(said)
    tf.saved_model.save(tagger, path, signatures={"tag": tagger.tag, "read": tagger.read})
    inputs = types.SimpleNamespace(tagger=stubs.pattern_manifest(), model_dir=path, image_size=8)
    return models.Tagger(inputs)


@pytest.mark.parametrize("said", [None, ""])
def test_batches_go_in_calls_that_a_tagger_takes_whether_or_not_it_says_a_status(tmp_path, said):
    tagger = _load(str(tmp_path), said)
    rows = np.random.default_rng(1).random([len(PICTURES), 64], np.float32)
    np.testing.assert_array_equal(tagger.encode(PICTURES, rows)[0], PICTURES)
    np.testing.assert_array_equal(tagger.decode(PICTURES, rows)["logits"], rows)


def test_a_tagger_that_refuses_a_picture_is_told(tmp_path):
    tagger, rows = _load(str(tmp_path), "image is broken"), np.zeros([2, 64], np.float32)
    for call in (tagger.encode, tagger.decode):
        with pytest.raises(signatures.ContractError, match="to take every picture, found image is broken"):
            call(PICTURES[:2], rows)
