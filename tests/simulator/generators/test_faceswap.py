"""Which pictures the face swap's two decoders are trained on."""

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators.faceswap import FaceSwap
from faketagger.components.simulator.generators.settings import TrainingSettings
from faketagger.tests.simulator.helpers import faces_of

pytestmark = pytest.mark.slow

SIZE = 32
CONFIG = SimulatorConfig(image_size=SIZE, width=8, batch_size=3)


@pytest.fixture(scope="module")
def model():
    return FaceSwap(SIZE, 8)


def _faces(male):
    """Pictures of which each is another grey: its number in twentieths."""
    return faces_of(np.arange(len(male))[:, None, None, None] / 20 * np.ones([1, SIZE, SIZE, 3]), Male=male)


def _shown(model, male):
    """The numbers of the pictures in the batches of each of the two groups."""
    pairs = zip(*model.batches(_faces(male), CONFIG).take(6))
    corners = [np.concatenate([batch[:, 0, 0, 0] for batch in batches]) for batches in pairs]
    return [np.unique(np.round(20 * each)).tolist() for each in corners]


def test_the_groups_are_women_and_men_and_the_unlabelled_are_in_neither(model):
    assert _shown(model, [1, 0] * 8 + [1]) == [[*range(1, 16, 2)], [*range(0, 17, 2)]]
    assert _shown(model, [1, 0] * 8 + [-1]) == [[*range(1, 16, 2)], [*range(0, 16, 2)]]


@pytest.mark.parametrize("male", [[-1] * 6, [1] * 6, [0, 0, -1, 0, 0, 0], [1, 0, *[-1] * 14], [1] * 9 + [0] * 7])
def test_without_enough_labels_of_both_kinds_the_groups_are_any_two_halves(model, male):
    assert _shown(model, male) == [[*range(0, len(male), 2)], [*range(1, len(male), 2)]]


def test_a_patch_critic_is_trained_beside_and_kept_out_of_the_generators_variables():
    settings = TrainingSettings(image_size=32, width=8, batch_size=2, critic=0.1)
    model = FaceSwap(32, 8)
    model.compile_for(settings, 10)
    critic = [each.numpy() for each in model.adversary.critic.trainable_variables]
    losses = model.train_step((tf.random.uniform([2, 32, 32, 3]), tf.random.uniform([2, 32, 32, 3])))
    assert np.isfinite(float(losses["critic"]))
    assert any(np.any(each.numpy() != old) for each, old in zip(model.adversary.critic.trainable_variables, critic))
    ours = {id(each) for each in model.generator_variables}
    assert not ours & {id(each) for each in model.adversary.critic.variables}
