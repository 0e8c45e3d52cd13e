"""What is drawn for a training step: the badly read more often, the well read still."""

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.tagger.config import HardDrawing
from faketagger.components.tagger.hard_draws import HardDraws


def _shares(draws: HardDraws, times: int = 400):
    simulators, conditions = zip(*(draws.draw(tf.constant(8)) for _ in range(times)))
    first = np.mean(np.array(simulators) == 0)
    of_first = np.concatenate([each for each, simulator in zip(conditions, simulators) if simulator == 0])
    return first, np.bincount(of_first, minlength=3) / len(of_first)


def test_before_anything_is_read_simulators_and_conditions_are_drawn_alike():
    tf.random.set_seed(1)
    first, of_first = _shares(HardDraws([2, 3], HardDrawing()))
    assert first == pytest.approx(0.5, abs=0.08)
    assert of_first == pytest.approx([0.5, 0.5, 0.0], abs=0.05)


def test_what_is_read_badly_comes_in_proportion_to_its_bit_errors():
    tf.random.set_seed(1)
    draws = HardDraws([2, 3], HardDrawing())
    draws.bit_errors.assign([[0.27, 0.07, 0.0], [0.03, 0.12, 0.0]])
    first, of_first = _shares(draws)
    # 0.30 against 0.15 with the floor; inside the first simulator 0.30 against 0.10.
    assert first == pytest.approx(2 / 3, abs=0.08)
    assert of_first == pytest.approx([0.75, 0.25, 0.0], abs=0.05)


def test_floor_and_smoothing_are_as_they_are_told():
    tf.random.set_seed(1)
    draws = HardDraws([2, 2], HardDrawing(floor=0.5, smoothing=0.0))
    draws.take_up(*draws.counted(tf.constant(1), tf.constant([1, 1]), tf.constant([0.1, 0.3])))
    assert draws.bit_errors.numpy() == pytest.approx(np.array([[0.5, 0.5], [0.5, 0.2]]))
    draws.bit_errors.assign([[0.0, 0.0], [0.5, 0.5]])
    first, of_first = _shares(draws)
    assert first == pytest.approx(1 / 3, abs=0.08) and of_first[:2] == pytest.approx([0.5, 0.5], abs=0.08)


def test_what_is_read_at_chance_may_be_drawn_as_seldom_as_what_is_read_well():
    tf.random.set_seed(1)
    draws = HardDraws([2, 3], HardDrawing(floor=0.05, spares_hopeless=True))
    draws.bit_errors.assign([[0.5, 0.0, 0.0], [0.25, 0.6, 0.5]])
    first, of_first = _shares(draws)
    # The floor alone, 0.05, against 0.25 · (1 − 0.25 / 0.5) more.
    assert first == pytest.approx(0.05 / 0.225, abs=0.08)
    assert of_first == pytest.approx([0.5, 0.5, 0.0], abs=0.05)


def test_running_bit_errors_move_a_tenth_of_the_way_where_something_was_drawn():
    draws = HardDraws([2, 2], HardDrawing())
    draws.take_up(*draws.counted(tf.constant(1), tf.constant([1, 1]), tf.constant([0.1, 0.3])))
    assert draws.bit_errors.numpy() == pytest.approx(np.array([[0.5, 0.5], [0.5, 0.47]]))


def test_draws_and_notes_work_inside_a_graph():
    draws = HardDraws([1, 4], HardDrawing())

    @tf.function
    def step():
        simulator, condition = draws.draw(tf.constant(6))
        draws.take_up(*draws.counted(simulator, condition, tf.zeros([6])))
        return simulator, condition

    for _ in range(300):
        simulator, condition = step()
        assert condition.shape == [6] and (simulator == 1 or not np.any(condition))
    assert np.max(draws.bit_errors) < 0.1
