"""The evaluator's figures against formulas and published values."""

import numpy as np
import pytest
from scipy import signal

from faketagger.components.evaluator.measure import metrics


def _pictures(levels, size=16):
    return np.stack([np.full([size, size, 3], level, np.uint8) for level in levels])


def test_psnr_is_ten_log_ten_of_peak_over_mean_square_error():
    before, after = _pictures([100, 100]), _pictures([105, 110])
    expected = [10 * np.log10(255**2 / 25), 10 * np.log10(255**2 / 100)]
    np.testing.assert_allclose(metrics.psnr(before, after), expected, atol=1e-4)


def test_psnr_of_equal_pictures_is_the_greatest_there_is():
    assert metrics.psnr(_pictures([7]), _pictures([7])).tolist() == [metrics.MAX_PSNR]


def test_ssim_of_flat_pictures_is_its_luminance_term():
    # Without variance the contrast and structure terms are 1: SSIM = (2ab + c1) / (a² + b² + c1), c1 = (0.01 · 255)².
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    np.testing.assert_allclose(metrics.ssim(_pictures([100]), _pictures([150])), [expected], atol=1e-4)


def _ms_ssim(first, second, weights):
    """The paper's formula on grey float64 pictures [H, W]: contrast, structure at each scale, luminance at the last."""
    window = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2

    def mean(values):
        return signal.convolve2d(values, window, "valid")

    product, c1, c2 = 1.0, (0.01 * 255) ** 2, (0.03 * 255) ** 2
    for scale, weight in enumerate(weights):
        if scale:
            first, second = (each.reshape(len(each) // 2, 2, -1, 2).mean(axis=(1, 3)) for each in (first, second))
        mean_one, mean_two = mean(first), mean(second)
        covariance = mean(first * second) - mean_one * mean_two
        variances = mean(first**2) - mean_one**2 + mean(second**2) - mean_two**2
        term = (2 * covariance + c2) / (variances + c2)
        if scale == len(weights) - 1:
            term = term * (2 * mean_one * mean_two + c1) / (mean_one**2 + mean_two**2 + c1)
        product *= np.mean(term) ** weight
    return product


MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@pytest.mark.parametrize("size, scales", [(176, 5), (168, 4), (88, 4), (64, 3), (30, 2), (16, 1)])
def test_ms_ssim_is_the_papers_with_as_many_scales_as_the_picture_has(size, scales):
    random = np.random.default_rng(size)
    first = np.kron(random.uniform(40, 200, [size // 2, size // 2]), np.ones([2, 2])).astype(np.uint8)
    second = np.uint8(np.clip(first + random.normal(0, 20, first.shape), 0, 255))
    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    weights = weights if scales == 5 else weights / weights.sum()
    expected = _ms_ssim(first.astype(np.float64), second.astype(np.float64), weights)
    colour = [np.repeat(each[None, :, :, None], 3, axis=3) for each in (first, second)]
    found = metrics.ms_ssim(*colour)
    assert found.dtype == np.float64 and 0.2 < expected < 0.99
    np.testing.assert_allclose(found, [expected], atol=1e-4)


def test_ms_ssim_of_a_picture_of_one_scale_is_its_ssim_and_never_negative():
    first = np.random.default_rng(0).integers(0, 256, [2, 21, 12, 3]).astype(np.uint8)
    second = np.stack([first[0] // 2 + 50, 255 - first[1]])
    ssim = metrics.ssim(first, second)
    assert ssim[0] > 0.3 and ssim[1] < 0
    np.testing.assert_allclose(metrics.ms_ssim(first, second), [ssim[0], 0.0], atol=1e-5)


def test_ms_ssim_of_equal_pictures_is_one_and_of_too_small_ones_an_error():
    np.testing.assert_allclose(metrics.ms_ssim(_pictures([7, 200]), _pictures([7, 200])), [1.0, 1.0], atol=1e-6)
    with pytest.raises(ValueError, match="at least 11×11 pixels, got a side of 10"):
        metrics.ms_ssim(_pictures([7], 10), _pictures([7], 10))


def test_bit_accuracy_counts_the_signs_that_agree():
    logits = np.array([[2.0, -0.1, 3.0, -4.0], [0.0, 0.1, np.nan, 1.0]])
    found = metrics.bit_accuracy(logits, np.array([[1, 0, 0, 0], [1, 1, 1, 1]]))
    assert found[0] == 0.75 and np.isnan(found[1])


@pytest.mark.parametrize(
    "successes, trials, low, high",
    [
        # No success and only successes have closed forms: 1 − (α/2)^(1/n) and its mirror image.
        (0, 10, 0.0, 1 - 0.025**0.1),
        (10, 10, 0.025**0.1, 1.0),
        # Tabulated, e.g. in Altman et al., "Statistics with Confidence".
        (5, 10, 0.1871, 0.8129),
        (8, 10, 0.4439, 0.9748),
        (1, 20, 0.0013, 0.2487),
    ],
)
def test_binomial_interval_is_clopper_pearsons(successes, trials, low, high):
    np.testing.assert_allclose(metrics.binomial_interval(successes, trials, 0.95), (low, high), atol=6e-5)


def test_bootstrap_interval_nears_the_normal_one_and_repeats_itself():
    values = np.random.default_rng(1).normal(30.0, 2.0, 400)
    low, high = metrics.bootstrap_interval(values, 0.95, seed=3)
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose((low, high), (values.mean() - half, values.mean() + half), atol=0.03)
    assert metrics.bootstrap_interval(values, 0.95, seed=3) == (low, high)
    assert metrics.bootstrap_interval(values, 0.95, seed=4) != (low, high)


@pytest.mark.parametrize("values", [[], [30.0], [30.0, np.nan], [30.0, np.inf]])
def test_bootstrap_interval_says_nothing_of_too_few_values_or_of_what_is_no_number(values):
    assert np.isnan(metrics.bootstrap_interval(np.array(values), 0.95, seed=0)).all()


def test_share_interval_of_one_try_a_picture_is_clopper_pearsons():
    shares = np.array([1.0] * 45 + [0.0] * 5)
    assert metrics.share_interval(shares, 0.95, seed=0) == metrics.binomial_interval(45, 50, 0.95)


def test_share_interval_does_not_narrow_because_the_same_pictures_are_tried_more_often():
    # 20 pictures, tried 10 times each, of which 18 always succeed: 200 independent tries would claim 0.85.
    low, high = metrics.share_interval(np.array([1.0] * 18 + [0.0] * 2), 0.95, seed=0)
    assert low == pytest.approx(0.6830, abs=1e-4) and high == pytest.approx(0.9877, abs=1e-4)


def test_share_interval_rounds_broken_successes_to_the_unfavourable_side():
    # 10 pictures with 8.5 successes: as low as with 8, as high as with 9.
    low, high = metrics.share_interval(np.array([1.0] * 8 + [0.5, 0.0]), 0.95, seed=0)
    assert low <= metrics.binomial_interval(8, 10, 0.95)[0]
    assert high >= metrics.binomial_interval(9, 10, 0.95)[1]


def test_no_tagger_has_a_lower_bound_above_the_perfect_ones():
    perfect = metrics.mean_share_interval(np.ones(48), 0.95, 0)
    assert perfect == pytest.approx((0.025 ** (1 / 48), 1.0))
    nearly = metrics.mean_share_interval(np.array([0.95] + [1.0] * 47), 0.95, 0)
    assert perfect[0] - 0.005 < nearly[0] <= perfect[0] and nearly[1] == 1.0
    assert metrics.mean_share_interval(np.zeros(48), 0.95, 0) == pytest.approx((0.0, 1 - 0.025 ** (1 / 48)))
    assert metrics.mean_share_interval(np.array([0.5]), 0.95, 0) == pytest.approx((0.0, 1.0))
    assert np.isnan(metrics.mean_share_interval(np.array([]), 0.95, 0)).all()
