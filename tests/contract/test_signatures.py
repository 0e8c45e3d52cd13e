"""The check that a foreign simulator keeps the contract: it names what was expected and what was found."""

import pytest
import tensorflow as tf

from faketagger.components.contract import signatures

SIZE = 16


def _loaded(
    tmp_path, simulate=lambda images, condition: images, name="simulate", size=SIZE, batch=None, dtype=tf.float32,
    condition=tf.int32, output="images", **others,
):  # fmt: skip
    """A SavedModel with a signature that keeps the contract, but for what the arguments change; saved and loaded."""
    module = tf.Module()
    inputs = {
        "images": tf.TensorSpec([batch, size, size, 3], dtype, "images"),
        "condition": tf.TensorSpec([batch], condition, "condition"),
        **{other: tf.TensorSpec([], tf.float32, other) for other in others.get("extra", ())},
    }
    module.function = tf.function(lambda *given: {output: simulate(*given)}, list(inputs.values()))
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={name: module.function})
    return tf.saved_model.load(str(tmp_path / "model"))


def _refusal(model, conditions=2):
    with pytest.raises(signatures.ContractError) as caught:
        signatures.check_simulator(model, SIZE, conditions, "swaps/one")
    message = str(caught.value)
    assert message.startswith("swaps/one: expected ")
    return message


def test_a_simulator_that_keeps_the_contract_passes(tmp_path):
    dimmed = lambda images, condition: images * tf.cast(condition, tf.float32)[:, None, None, None]  # noqa: E731
    signatures.check_simulator(_loaded(tmp_path, dimmed), SIZE, 2, "fine")


def test_pictures_of_any_size_are_fine_too(tmp_path):
    signatures.check_simulator(_loaded(tmp_path, size=None), SIZE, 1, "fine")


def test_a_missing_signature_is_named_with_those_that_are_there(tmp_path):
    message = _refusal(_loaded(tmp_path, name="serving_default"))
    assert "a signature 'simulate', found serving_default" in message


def test_a_model_without_signatures_is_refused():
    assert "a signature 'simulate', found none" in _refusal(tf.Module())


@pytest.mark.parametrize(
    "changed, expected, found",
    [
        ({"size": 24}, "images: float32 (None, 16, 16, 3)", "images: float32 (None, 24, 24, 3)"),
        ({"dtype": tf.float64}, "images: float32", "images: float64"),
        ({"condition": tf.int64}, "condition: int32", "condition: int64"),
        ({"batch": 1}, "images: float32 (None, 16, 16, 3)", "images: float32 (1, 16, 16, 3)"),
        ({"extra": ["noise"], "simulate": lambda images, condition, noise: images}, "condition", "noise: float32"),
    ],
)
def test_other_inputs_are_refused(tmp_path, changed, expected, found):
    said, was = _refusal(_loaded(tmp_path, **changed)).split("; found ")
    assert "expected inputs" in said and expected in said and found in was


@pytest.mark.parametrize(
    "changed, found",
    [
        ({"output": "output_0"}, "output_0: float32"),
        ({"simulate": lambda images, condition: images[:, :8]}, "images: float32 (None, 8, 16, 3)"),
        ({"simulate": lambda images, condition: tf.cast(images, tf.float64)}, "images: float64"),
    ],
)
def test_other_outputs_are_refused(tmp_path, changed, found):
    said, was = _refusal(_loaded(tmp_path, **changed)).split("; found ")
    assert "expected output images: float32 (None, 16, 16, 3)" in said and found in was


def test_an_output_of_another_size_than_its_input_is_refused_where_the_shape_does_not_say_so(tmp_path):
    message = _refusal(_loaded(tmp_path, lambda images, condition: images[:, ::2], size=None))
    assert "(2, 16, 16, 3); found (2, 8, 16, 3)" in message


@pytest.mark.parametrize(
    "simulate, found",
    [
        (lambda images, condition: images * 255.0, "found [128, 128]"),
        (lambda images, condition: images * 2.0 - 1.5, "found [-0.5, -0.5]"),
        (lambda images, condition: images + tf.eye(SIZE)[None, :, :, None], "found [0.5, 1.5]"),
        (lambda images, condition: images * float("nan"), "nan"),
        # One condition is enough.
        (lambda images, condition: images / tf.cast(1 - condition, tf.float32)[:, None, None, None], "inf"),
    ],
)
def test_outputs_out_of_range_or_not_finite_are_refused_with_their_range(tmp_path, simulate, found):
    message = _refusal(_loaded(tmp_path, simulate))
    assert "output in [0, 1]" in message and found in message


def test_a_simulator_that_fails_on_a_picture_is_refused_with_its_reason(tmp_path):
    def fail(images, condition):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(condition < 1), ["one identity only"])]):
            return tf.identity(images)

    assert "one identity only" in _refusal(_loaded(tmp_path, fail))
