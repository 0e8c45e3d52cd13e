"""The figures of one picture and the intervals around their means. Pure functions on arrays."""

import numpy as np
import tensorflow as tf
from scipy import stats

# Equal pictures have an infinite PSNR, of which there is no mean.
MAX_PSNR = 100.0
BOOTSTRAP_SAMPLES = 2000
# From the finest scale to the coarsest (Wang et al. 2003, section 3), and the side of SSIM's window.
_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SSIM_WINDOW = 11
# Bounds the memory of one bootstrap to about 16 MB whatever the number of pictures.
_BOOTSTRAP_VALUES = 1_000_000

Interval = tuple[float, float]


def psnr(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio, dB, of each pair: uint8 [B, H, W, 3] twice → float64 [B], at most MAX_PSNR."""
    return np.minimum(tf.image.psnr(first, second, max_val=255).numpy().astype(np.float64), MAX_PSNR)


def ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004, 11×11 Gaussian window) of each pair: as psnr, −1…1; at least 11×11."""
    return tf.image.ssim(first, second, max_val=255).numpy().astype(np.float64)


def ms_ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003, section 3) of each pair: as psnr, 0…1.

    Each further scale halves the picture, and all must have a side of 11 pixels: from 176 on there are five, from 88
    four, from 44 three, from 22 two, from 11 one. The weights of fewer are divided by their sum; with one scale it is
    SSIM, but at least 0. Figures of different numbers of scales do not compare.

    Raises:
      ValueError: a side below 11.
    """
    side = min(first.shape[1:3])
    weights = [weight for scale, weight in enumerate(_MS_SSIM_WEIGHTS) if side >= _SSIM_WINDOW * 2**scale]
    if not weights:
        smallest = f"{_SSIM_WINDOW}×{_SSIM_WINDOW}"
        raise ValueError(f"MS-SSIM takes pictures of at least {smallest} pixels, got a side of {side}")
    if len(weights) < len(_MS_SSIM_WEIGHTS):
        weights = [weight / sum(weights) for weight in weights]
    found = tf.image.ssim_multiscale(first, second, 255, power_factors=weights, filter_size=_SSIM_WINDOW)
    return found.numpy().astype(np.float64)


def bit_accuracy(logits: np.ndarray, codewords: np.ndarray) -> np.ndarray:
    """Share of codeword bits read right, before channel decoding.

    Args:
      logits: [B, n].
      codewords: [B, n] of 0 and 1, masked as the logits are.

    Returns:
      float64 [B]; NaN where a logit is not finite.
    """
    right = np.mean((logits > 0) == (codewords > 0.5), axis=1)
    return np.where(np.isfinite(logits).all(axis=1), right, np.nan)


def binomial_interval(successes: int, trials: int, confidence: float) -> Interval:
    """The exact two-sided interval of a share (Clopper and Pearson 1934); ValueError without trials."""
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def bootstrap_interval(values: np.ndarray, confidence: float, seed: int) -> Interval:
    """The percentile bootstrap interval of the mean (Efron 1979), the same for the same values in the same order.

    NaN twice for fewer than two values, of which nothing can be said, and for values that are not finite.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan"), float("nan")
    result = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=BOOTSTRAP_SAMPLES,
        batch=max(1, _BOOTSTRAP_VALUES // len(values)),
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def mean_share_interval(shares: np.ndarray, confidence: float, seed: int) -> Interval:
    """The interval of the mean of what is for each picture a share over several conditions.

    Shares of one picture differ little from another's, so the mean is known better than a binomial one. It is the
    bootstrap's, widened by what so many pictures may have missed: as many as the exact binomial interval allows where
    none was seen, whose share is 0 at the lower end and 1 at the upper. Where all shares of several are 1, or 0, it is
    that exact one, so that no better tagger has a lower bound.

    Args:
      shares: [pictures], 0…1.
    """
    if not len(shares) or not np.isfinite(shares).all():
        return float("nan"), float("nan")
    seen = binomial_interval(len(shares), len(shares), confidence)[0]
    low, high = bootstrap_interval(shares, confidence, seed) if len(shares) > 1 else (0.0, 1.0)
    return seen * low, 1.0 - seen * (1.0 - high)


def share_interval(shares: np.ndarray, confidence: float, seed: int) -> Interval:
    """The interval of a mean share over pictures, each tried once or several times.

    Tries with one picture resemble each other, so pictures are the sample, not tries. Where every picture's share is 0
    or 1 the interval is the exact binomial one over pictures. Else it is the wider of the bootstrap over pictures and
    that exact interval, with the broken number of successes rounded down at its lower end and up at its upper.

    Args:
      shares: [pictures], 0…1: for each picture the share of its tries that succeeded.
    """
    if not len(shares) or not np.isfinite(shares).all():
        return float("nan"), float("nan")
    # Rounded first: thirds that add up to 3 must count as 3, not as 2.9999….
    successes = np.round(np.sum(shares), 6)
    low = binomial_interval(int(np.floor(successes)), len(shares), confidence)[0]
    high = binomial_interval(int(np.ceil(successes)), len(shares), confidence)[1]
    if np.isin(shares, (0.0, 1.0)).all():
        return low, high
    sampled_low, sampled_high = bootstrap_interval(shares, confidence, seed)
    # fmin and fmax: a single picture has no bootstrap, its exact interval stands alone.
    return float(np.fmin(low, sampled_low)), float(np.fmax(high, sampled_high))
