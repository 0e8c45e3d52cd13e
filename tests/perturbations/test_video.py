"""H.264 by its real encoder: eagerly, in graphs, by quality and size."""

import numpy as np
import pytest
import tensorflow as tf

av = pytest.importorskip("av", reason="PyAV is not installed")

from faketagger.components.perturbations import video  # noqa: E402
from faketagger.tests import helpers  # noqa: E402


def _pictures(count=2, height=64, width=64):
    """Shading, an edge and some grain; float32 [count, height, width, 3] of 8-bit values."""
    random = np.random.default_rng(4)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    shading = 0.3 + 0.4 * rows + 0.1 * np.sin(8 * columns) + 0.1 * (np.hypot(rows - 0.5, columns - 0.5) < 0.3)
    pictures = shading[..., None] * np.array([0.9, 0.8, 0.7]) + random.normal(0, 0.02, (count, height, width, 1))
    return np.float32(np.round(np.clip(pictures, 0, 1) * 255) / 255)


def _coded(pictures, factor):
    return video.H264((factor, factor))(tf.constant(pictures)).numpy()


@pytest.mark.parametrize("height, width", [(32, 32), (33, 47), (64, 96), (48, 1024)])
def test_shape_range_and_8_bits_are_kept_in_any_size(height, width):
    pictures = _pictures(1, height, width)
    made = _coded(pictures, 23.0)
    assert made.shape == pictures.shape and made.dtype == np.float32
    assert -1e-6 <= made.min() and made.max() <= 1 + 1e-6
    np.testing.assert_allclose(made * 255, np.round(made * 255), atol=1e-3)


def test_a_larger_factor_loses_more_and_the_smallest_hardly_anything_but_colour():
    pictures = _pictures()
    losses = [helpers.psnr(_coded(pictures, factor), pictures) for factor in (0.0, 18.0, 28.0, 45.0)]
    assert losses[0] > 38 and losses[0] > losses[1] + 1 > losses[2] + 2 > losses[3] + 3


def test_each_picture_of_a_batch_is_coded_alone_with_its_own_factor():
    same = tf.constant(np.repeat(_pictures(1), 6, 0))
    made = video.H264((15.0, 45.0))(same).numpy()
    assert len({picture.tobytes() for picture in made}) > 1
    pictures = _pictures(3)
    np.testing.assert_array_equal(_coded(pictures[[2, 0]], 28.0), _coded(pictures, 28.0)[[2, 0]])


def test_graphs_and_tf_data_make_what_is_made_eagerly():
    pictures = _pictures()
    perturb = video.H264((28.0, 28.0))
    dynamic = tf.function(perturb, input_signature=[tf.TensorSpec([None, None, None, 3])])
    in_tf_data = next(tf.data.Dataset.from_tensors(pictures).map(perturb).as_numpy_iterator())
    for made in (dynamic(tf.constant(pictures)), in_tf_data):
        np.testing.assert_array_equal(made, perturb(tf.constant(pictures)))


def test_the_gradient_passes_straight_through():
    pictures = tf.constant(_pictures())
    weights = tf.constant(np.float32(np.random.default_rng(1).normal(size=pictures.shape)))
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        value = tf.reduce_sum(weights * video.H264((28.0, 28.0))(pictures))
    np.testing.assert_allclose(tape.gradient(value, pictures), weights)


def test_the_frame_that_is_read_is_predicted_from_others():
    picture = np.uint8(np.round(_pictures(1)[0] * 255))
    packets = video._encode(picture, 23.0)
    frames = video._decode(packets)
    assert len(frames) == len(packets) == 9
    assert [frame.key_frame for frame in frames] == [True] + 8 * [False]
    np.testing.assert_array_equal(video.code_clip(picture, 23.0), frames[4].to_ndarray(format="rgb24"))


def test_the_evaluations_conditions_grow_stronger():
    pictures = tf.constant(_pictures())
    conditions = (video.H264((23.0, 23.0)), video.H264((28.0, 28.0)))
    losses = [helpers.psnr(perturb(pictures), pictures) for perturb in conditions]
    assert 25 < losses[1] < losses[0] - 1 < 45


@pytest.mark.parametrize("strength", [(-1.0, 20.0), (20.0, 52.0)])
def test_factors_that_x264_does_not_know_are_refused(strength):
    with pytest.raises(ValueError, match="H264: strengths go from 0 to 51"):
        video.H264(strength)


def test_a_build_without_x264_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(RuntimeError, match="no libx264 encoder: install"):
        video.H264((23.0, 23.0))
