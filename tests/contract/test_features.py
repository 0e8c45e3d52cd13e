"""The Example that photographs travel in."""

import numpy as np
import pytest

from faketagger.components.contract import features, images
from faketagger.tests import helpers

PIXELS = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def test_a_photograph_makes_the_round_trip_without_loss():
    parsed = features.parse_example(helpers.record(PIXELS, Male=1, Young=0), 8)
    image = parsed[features.IMAGE].numpy()
    assert image.dtype == np.float32
    np.testing.assert_array_equal(images.to_uint8(image), PIXELS)
    assert parsed[features.IMAGE_ID] == b"face-1"
    assert parsed[features.ATTRIBUTES][features.ATTRIBUTE_NAMES.index("Male")] == 1
    assert parsed[features.ATTRIBUTES][features.ATTRIBUTE_NAMES.index("Young")] == 0


def test_attributes_stand_in_celebas_order_and_are_unknown_where_not_given():
    values = features.attributes_from({"Young": 1, "5_o_Clock_Shadow": 0})
    assert values == [0] + [-1] * 38 + [1]


@pytest.mark.parametrize("labels, said", [({"Happy": 1}, "Happy"), ({"Male": 2}, "−1, 0 or 1")])
def test_attributes_that_celeba_does_not_have_are_refused(labels, said):
    with pytest.raises(ValueError, match=said):
        features.attributes_from(labels)


def test_an_incomplete_attribute_list_is_refused_by_picture():
    with pytest.raises(ValueError, match="face-9: expected 40 attributes, got 3"):
        features.make_example(b"", "face-9", "drawn", [0, 1, 0], 8, 8)


def test_a_picture_of_another_size_is_resized_to_8_bit_values():
    stripes = np.zeros([8, 8, 3], np.uint8)
    stripes[:, ::2] = 255
    small = features.parse_example(helpers.record(stripes), 4)[features.IMAGE].numpy()
    assert small.shape == (4, 4, 3)
    assert np.abs(small - 0.5).max() < 0.2  # Antialiased: the stripes are gone.
    np.testing.assert_allclose(small * 255.0, np.round(small * 255.0), atol=1e-4)


def test_a_split_is_read_in_order_and_up_to_the_limit(tmp_path):
    helpers.write_records(tmp_path, "train", [helpers.record(PIXELS, image_id=f"face-{number}") for number in range(3)])

    def read(**limit):
        dataset = features.read_dataset(str(tmp_path), "train", 8, **limit)
        return [each[features.IMAGE_ID] for each in dataset.as_numpy_iterator()]

    assert read() == [b"face-0", b"face-1", b"face-2"]
    assert read(limit=2) == [b"face-0", b"face-1"]


def test_a_split_that_is_not_there_is_named(tmp_path):
    helpers.write_records(tmp_path, "train", [])
    with pytest.raises(ValueError, match=f"{tmp_path}: no Examples in its split 'eval'"):
        features.read_dataset(str(tmp_path), "eval", 8)
