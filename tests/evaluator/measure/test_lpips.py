"""LPIPS against a reference in NumPy, with random weights under the official names and shapes."""

import functools

import numpy as np
import pytest
from safetensors.numpy import save_file

from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.measure import lpips
from faketagger.components.evaluator.measure.batch import Quality
from faketagger.components.evaluator.measure.lpips import Lpips

# torchvision's VGG16: its convolutions' numbers and channels; "P" is a pooling, a colon the end of a stage.
CONVOLUTIONS = {
    0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256),
    17: (256, 512), 19: (512, 512), 21: (512, 512), 24: (512, 512), 26: (512, 512), 28: (512, 512),
}  # fmt: skip
LAST_OF_STAGE = {2: 0, 7: 1, 14: 2, 21: 3, 28: 4}


@functools.cache
def _vgg():
    random, tensors = np.random.default_rng(0), {}
    for number, (before, channels) in CONVOLUTIONS.items():
        shape = (channels, before, 3, 3)
        tensors[f"features.{number}.weight"] = random.normal(0, np.sqrt(2 / (9 * before)), shape).astype(np.float32)
        tensors[f"features.{number}.bias"] = random.normal(0, 0.05, channels).astype(np.float32)
    return tensors


def _linear():
    random = np.random.default_rng(1)
    return {
        f"lin{stage}.model.1.weight": random.uniform(0, 1, (1, channels, 1, 1)).astype(np.float32)
        for stage, channels in enumerate((64, 128, 256, 512, 512))
    }


def _pictures(seed, count=2, height=24, width=17):
    """Smooth noise; sides that are not divisible by 16 show how poolings round."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, height // 4 + 1, width // 4 + 1, 3))
    return np.uint8(np.kron(coarse, np.ones([1, 4, 4, 1]))[:, :height, :width])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The paths of VGG16's and the linear weights."""
    root = tmp_path_factory.mktemp("weights")
    np.savez(root / "vgg.npz", **_vgg())
    np.savez(root / "linear.npz", **_linear())
    return str(root / "vgg.npz"), str(root / "linear.npz")


@pytest.fixture(scope="module")
def measure(weights):
    return Lpips(*weights)


def _convolved(x, kernel, bias):
    """PyTorch's conv2d with padding 1 of float64 [C, H, W], as nine shifted products."""
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    made = np.zeros([len(bias), height, width]) + bias[:, None, None]
    for row in range(3):
        for column in range(3):
            shifted = padded[:, row : row + height, column : column + width]
            made += np.tensordot(kernel[:, :, row, column], shifted, axes=1)
    return made


def _halved(x):
    channels, height, width = x.shape
    whole = x[:, : height // 2 * 2, : width // 2 * 2]
    return whole.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))


def _features(picture):
    """The five features of one picture, uint8 [H, W, 3], of unit length in each pixel."""
    tensors, found = _vgg(), []
    x = picture.transpose(2, 0, 1) / 255.0 * 2 - 1
    x = (x - np.reshape([-0.030, -0.088, -0.188], [3, 1, 1])) / np.reshape([0.458, 0.448, 0.450], [3, 1, 1])
    for number in CONVOLUTIONS:
        kernel, bias = (tensors[f"features.{number}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
        x = np.maximum(_convolved(x, kernel, bias), 0)
        if number in LAST_OF_STAGE:
            found.append(x / (np.sqrt(np.sum(x**2, axis=0, keepdims=True)) + 1e-10))
            x = _halved(x)
    return found


def _reference(first, second):
    linear = [values.ravel() for values in _linear().values()]
    pairs = zip(_features(first), _features(second))
    return sum(
        np.mean(np.tensordot(linear[stage], (one - other) ** 2, axes=1)) for stage, (one, other) in enumerate(pairs)
    )


def test_the_distance_is_the_formulas(measure):
    first, second = _pictures(2), _pictures(3)
    found = measure(first, second)
    expected = [_reference(one, other) for one, other in zip(first, second)]
    assert found.dtype == np.float64 and found.min() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_equal_pictures_have_no_distance_and_order_does_not_matter(measure):
    first, second = _pictures(2), _pictures(3)
    assert np.abs(measure(first, first)).max() < 1e-9
    np.testing.assert_allclose(measure(first, second), measure(second, first), atol=1e-7)


def test_a_little_noise_is_nearer_than_much_and_much_is_nearer_than_another_picture(measure):
    picture = _pictures(2, count=1, height=32, width=32)
    noise = np.random.default_rng(5).normal(0, 1, picture.shape)
    noisy = [np.uint8(np.clip(picture + level * noise, 0, 255)) for level in (4, 40)]
    little, much, another = (measure(picture, each)[0] for each in (*noisy, _pictures(3, 1, 32, 32)))
    assert 0 < little < much < another


def test_a_pictures_distance_does_not_depend_on_the_batch(measure, monkeypatch):
    first, second = _pictures(2, count=5), _pictures(3, count=5)
    together = measure(first, second)
    monkeypatch.setattr(lpips, "_PIXELS_AT_A_TIME", 2 * 24 * 17)
    np.testing.assert_allclose(measure(first, second), together, atol=1e-6)
    assert measure(first[:0], second[:0]).shape == (0,)


def test_the_evaluator_measures_it_where_the_config_names_weights(weights, measure):
    first, second = _pictures(2), _pictures(3)
    quality = Quality(EvaluatorConfig(lpips_vgg=weights[0], lpips_linear=weights[1]))
    found = quality.measure(first, second, np.array([True, False]))
    assert found.lpips[0] == pytest.approx(measure(first, second)[0], abs=1e-6) and np.isnan(found.lpips[1])
    assert Quality(EvaluatorConfig()).measure(first, second, np.array([True, True])).lpips is None


@pytest.mark.parametrize(
    "first, second, message",
    [
        (np.zeros([1, 15, 40, 3], np.uint8), None, "at least 16 .* got 40×15"),
        (np.broadcast_to(np.uint8(0), [1, 1024, 1025, 3]), None, "at most 1,048,576 pixels, got 1025×1024"),
        (np.zeros([1, 16, 16, 3], np.float32), None, "takes uint8"),
        (np.zeros([1, 16, 16, 4], np.uint8), None, "takes uint8"),
        (np.zeros([16, 16, 3], np.uint8), None, "takes uint8"),
        (np.zeros([1, 16, 16, 3], np.uint8), np.zeros([2, 16, 16, 3], np.uint8), "takes uint8"),
    ],
)
def test_pictures_that_cannot_be_measured_are_refused(measure, first, second, message):
    with pytest.raises(ValueError, match=message):
        measure(first, first if second is None else second)


def test_torchvisions_whole_file_and_safetensors_are_read_alike(tmp_path, weights, measure):
    head = {f"classifier.{layer}.{kind}": np.zeros(1, np.float32) for layer in (0, 3, 6) for kind in ("weight", "bias")}
    save_file({**_vgg(), **head}, str(tmp_path / "vgg.safetensors"))
    first, second = _pictures(2), _pictures(3)
    again = Lpips(str(tmp_path / "vgg.safetensors"), weights[1])
    np.testing.assert_array_equal(again(first, second), measure(first, second))


def test_missing_files_say_what_to_fetch(tmp_path, weights):
    with pytest.raises(ValueError, match="absent.pth: no such file.*fetch torchvision's vgg16-397923af.pth"):
        Lpips(str(tmp_path / "absent.pth"), weights[1])
    with pytest.raises(ValueError, match=r"absent.pth: no such file.*fetch lpips/weights/v0\.1/vgg\.pth"):
        Lpips(weights[0], str(tmp_path / "absent.pth"))


def test_all_tensors_that_do_not_fit_are_listed(tmp_path, weights):
    tensors = dict(_vgg())
    del tensors["features.5.bias"], tensors["features.28.weight"]
    tensors |= {"features.0.weight": np.zeros([64, 1, 3, 3], np.float32), "features.30.bias": np.zeros(1, np.float32)}
    np.savez(tmp_path / "vgg.npz", **tensors)
    with pytest.raises(ValueError) as raised:
        Lpips(str(tmp_path / "vgg.npz"), weights[1])
    assert "missing: features.28.weight, features.5.bias" in str(raised.value)
    assert "of another shape: features.0.weight (64, 1, 3, 3) instead of (64, 3, 3, 3)" in str(raised.value)
    assert "unused: features.30.bias" in str(raised.value)


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(ValueError, match="missing: lin0.model.1.weight.*unused: features.0.bias"):
        Lpips(weights[0], weights[0])


def test_weights_that_are_no_finite_numbers_are_refused(tmp_path, weights):
    np.savez(tmp_path / "linear.npz", **{**_linear(), "lin3.model.1.weight": np.full([1, 512, 1, 1], np.nan)})
    with pytest.raises(ValueError, match="not all finite: lin3.model.1.weight"):
        Lpips(weights[0], str(tmp_path / "linear.npz"))
