"""How visible a tag is, by CIEDE2000."""

import numpy as np
import pytest

from faketagger.components.evaluator.measure.visibility import ciede2000, visibility

# Sharma, Wu and Dalal 2005, table 1: two colours and their difference.
_PAIRS = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, 2.8361, -74.0200), (50.0, 0.0, -82.7485), 3.4412),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize("first, second, expected", _PAIRS)
def test_the_colour_difference_is_that_of_the_published_pairs_either_way_round(first, second, expected):
    assert ciede2000(np.array(first), np.array(second)) == pytest.approx(expected, abs=1e-4)
    assert ciede2000(np.array(second), np.array(first)) == pytest.approx(expected, abs=1e-4)


def _pictures(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 215, (2, 64, 64, 3)).astype(np.uint8)


def test_equal_pictures_show_nothing_and_each_picture_has_its_own_figure():
    pictures = _pictures()
    changed = pictures.copy()
    changed[1] += 20
    seen = visibility(pictures, changed)
    assert seen.shape == (2,) and seen.dtype == np.float64
    assert seen[0] == 0.0 and seen[1] > 2.0


def test_an_even_change_is_seen_better_than_one_that_flickers_from_pixel_to_pixel():
    pictures = np.full([1, 256, 256, 3], 128, np.uint8)
    flicker = np.int16(np.indices((256, 256)).sum(0) % 2 * 2 - 1)[None, :, :, None]
    assert visibility(pictures, np.uint8(pictures + 6))[0] > 2.0
    assert visibility(pictures, np.uint8(pictures + 6 * flicker))[0] < 0.2


def test_a_change_of_one_place_in_twenty_counts_and_one_of_a_thousand_does_not():
    pictures = np.full([1, 256, 256, 3], 128, np.uint8)
    blot, spot = pictures.copy(), pictures.copy()
    blot[:, :64, :52] += 20
    spot[:, :6, :10] += 20
    assert visibility(pictures, blot)[0] > 3.0
    assert visibility(pictures, spot)[0] < 0.5
