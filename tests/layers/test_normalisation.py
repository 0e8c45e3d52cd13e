"""Group normalisation in fewer passes makes what Keras' does."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.layers.normalisation import GroupNormalization


@pytest.mark.parametrize("groups", [1, 8, 24])
@pytest.mark.parametrize("affine", [True, False])
def test_it_makes_what_keras_layer_makes_with_the_same_weights(groups, affine):
    features = 5.0 * tf.random.stateless_normal([3, 16, 12, 24], [groups, affine]) + 2.0
    layers = [
        kind(groups, center=affine, scale=affine) for kind in (keras.layers.GroupNormalization, GroupNormalization)
    ]
    for layer in layers:
        layer.build(features.shape)
        layer.set_weights([np.linspace(0.5, 2.0, 24), np.linspace(-1.0, 1.0, 24)][: 2 * affine])
    theirs, ours = (layer(features) for layer in layers)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_weights_are_named_and_ordered_as_keras():
    ours, theirs = GroupNormalization(8), keras.layers.GroupNormalization(8)
    for layer in (ours, theirs):
        layer.build([None, 4, 4, 16])
    assert [each.name for each in ours.weights] == [each.name for each in theirs.weights]
