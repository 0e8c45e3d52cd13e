"""A photograph becomes an Example with its face's landmarks, cut around it where that is asked for."""

import numpy as np
import pytest
from PIL import Image

from faketagger.components.contract import features, images
from faketagger.components.example_gen import face_drawing, preprocess, sources
from faketagger.tests import helpers

_NUMBER = 3


def _photograph(width: int, height: int, *, left: int | None = None, top: int = 0, size: int = 256) -> sources.Picture:
    photograph = Image.new("RGB", (width, height), (120, 130, 140))
    if left is not None:
        drawn = face_drawing.draw(face_drawing.sample_traits(1, _NUMBER), size)
        photograph.paste(Image.fromarray(np.asarray(drawn)), (left, top))
    return sources.Picture("photo", "folder", helpers.file_of(photograph), {})


def _parsed(picture: sources.Picture, **options):
    example = preprocess.to_example(picture, 128, **options)
    return features.parse_example(example.SerializeToString(), 128)


def test_landmarks_are_shares_of_the_centred_square():
    alone = _parsed(_photograph(256, 256, left=0))[features.LANDMARKS].numpy()
    inside = _parsed(_photograph(700, 400, left=200, top=80))[features.LANDMARKS].numpy()
    np.testing.assert_allclose(inside * 400, alone * 256 + [200 - 150, 80], atol=4.0)


def test_an_aligned_photograph_shows_its_face_upright_in_its_place():
    parsed = _parsed(_photograph(700, 400, left=360, top=100), align=True)
    (left_x, left_y), (right_x, right_y) = parsed[features.LANDMARKS].numpy()[:2]
    assert (left_x + right_x) / 2 == pytest.approx(0.5, abs=0.03)
    assert (left_y + right_y) / 2 == pytest.approx(0.48, abs=0.03)
    assert left_y == pytest.approx(right_y, abs=0.03)


def test_a_photograph_without_a_face_has_no_landmarks_and_cannot_be_aligned():
    picture = _photograph(300, 300)
    assert np.isnan(_parsed(picture)[features.LANDMARKS]).all()
    with pytest.raises(images.ImageError, match="photo: no face is found in it"):
        preprocess.to_example(picture, 128, align=True)
