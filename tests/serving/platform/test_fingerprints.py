"""Pictures are compared with the registered one: what is the same, what of it was changed, what is another picture."""

import cv2
import numpy as np
import pytest

from faketagger.serving.platform import fingerprints
from faketagger.serving.platform.fingerprints import Change
from faketagger.tests.serving.platform.stubs import jpeg, pixels_of, scene

FACE = [0.3, 0.3, 0.7, 0.7]


def _pasted(onto, from_, box):
    made = onto.copy()
    left, top, right, bottom = (round(it * 256) for it in box)
    made[top:bottom, left:right] = from_[top:bottom, left:right]
    return made


def _turned(pixels, degrees):
    return cv2.warpAffine(pixels, cv2.getRotationMatrix2D((128, 128), degrees, 1), (256, 256))


PICTURE, OTHER = (scene(seed, 256) for seed in (1, 2))


@pytest.mark.parametrize(
    "change",
    [
        lambda it: pixels_of(jpeg(it, 40)),
        lambda it: cv2.resize(it, (90, 90), interpolation=cv2.INTER_AREA),
        lambda it: it[:, ::-1],
        lambda it: np.rot90(it, 3),
        lambda it: 255 - it,
        lambda it: np.uint8(it * 0.8),
    ],
    ids=["JPEG", "shrunk", "mirrored", "turned", "inverted", "darker"],
)
def test_what_saving_and_turning_do_is_no_change(change):
    found = fingerprints.compare(change(PICTURE), PICTURE, [FACE])
    assert found.change is Change.NONE and max(found.whole, found.outside, found.face) < 0.11


@pytest.mark.parametrize(
    "change", [lambda it: it[20:240, 30:250], lambda it: _turned(it, 8)], ids=["cropped", "turned"]
)
def test_a_part_is_found_in_the_whole(change):
    found = fingerprints.compare(change(PICTURE), PICTURE, [FACE])
    assert (found.change, found.part) == (Change.NONE, True)


@pytest.mark.parametrize("change", [lambda it: it, lambda it: it[:, ::-1]], ids=["as it is", "mirrored"])
def test_another_face_in_the_same_picture_is_told(change):
    found = fingerprints.compare(change(_pasted(PICTURE, OTHER, FACE)), PICTURE, [FACE])
    assert found.change is Change.FACE and found.outside < 0.11 and found.face > 0.3


def test_another_picture_around_the_same_face_is_told():
    found = fingerprints.compare(_pasted(OTHER, PICTURE, [0.2, 0.2, 0.8, 0.8]), PICTURE, [FACE])
    assert found.change is Change.SURROUNDINGS and found.face < 0.11


def test_another_picture_is_told_with_faces_and_without():
    for boxes in ([FACE], []):
        assert fingerprints.compare(OTHER, PICTURE, boxes).change is Change.OTHER


def test_a_face_that_fills_the_picture_leaves_nothing_outside():
    assert fingerprints.hash_outside(PICTURE, [[0.0, 0.0, 1.0, 1.0]]) is None
    assert fingerprints.hash_outside(PICTURE, []) is None
    assert fingerprints.compare(PICTURE, PICTURE, [[0.0, 0.0, 1.0, 1.0]]).change is Change.NONE


def test_the_hash_outside_the_face_does_not_see_the_face():
    swapped = _pasted(PICTURE, OTHER, FACE)
    of_both = [fingerprints.hash_outside(each, [FACE]) for each in (PICTURE, swapped)]
    assert of_both[0] == of_both[1] and fingerprints.hash_whole(PICTURE) != fingerprints.hash_whole(swapped)
    assert len(fingerprints.hash_whole(PICTURE)) == 16


def test_bits_apart_are_counted():
    assert fingerprints.bits_apart("00000000000000ff", "f0000000000000f0") == 8


@pytest.mark.parametrize("shape", [(64, 64), (65, 2000), (3000, 70)])
def test_pictures_of_any_shape_are_compared(shape):
    pixels = cv2.resize(PICTURE, shape[::-1])
    assert (
        fingerprints.compare(pixels, fingerprints.of_preview(fingerprints.preview(pixels)), [FACE]).change
        is Change.NONE
    )


def test_previews_are_small_and_show_the_residual_on_grey():
    large = cv2.resize(PICTURE, (1500, 900))
    assert fingerprints.of_preview(fingerprints.preview(large)).shape == (307, 512, 3)
    after = large.copy()
    after[:450] += 10
    shown = fingerprints.of_preview(fingerprints.residual(large, after))
    assert abs(int(shown[100, 100, 0]) - 168) < 4 and abs(int(shown[250, 100, 0]) - 128) < 4
