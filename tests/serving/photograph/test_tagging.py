"""Tags over a photograph: each face's own, the rest's, blended without a seam."""

import numpy as np
import pytest

from faketagger.serving.photograph import tagging, views
from faketagger.serving.photograph.tagging import FaceTag, Layer, Overlay
from faketagger.serving.photograph.views import Photograph
from faketagger.tests import stubs
from faketagger.tests.serving.photograph import helpers


def _cut(pixels, transform, margin):
    """The square around a view's middle, `margin` of its side wider at each side."""
    (left, top), (right, bottom) = (transform @ [share, share, 1.0] for share in (-margin, 1 + margin))
    return np.ascontiguousarray(pixels[max(0, round(top)) : round(bottom), max(0, round(left)) : round(right)])


def _patch(value, transform, side=16):
    return Layer(np.full([side, side, 3], value, np.float32), np.float64(transform))


def test_each_face_is_read_when_it_is_cut_out_and_the_rest_without_the_faces():
    faces = [helpers.face(150, 160, 50), helpers.face(420, 150, 40)]
    pixels = helpers.smooth(360, 640)
    tagged = helpers.tagged(pixels, faces)
    for each in faces:
        cut = Photograph(_cut(tagged, views.aligned(each), 0.0), ())
        assert helpers.reader().read(cut, 1).uid == helpers.UID
    found = helpers.reader().read(Photograph(tagged, faces), 1)
    assert [each.uid for each in found.faces] == [helpers.UID, helpers.UID]
    assert found.faces[0].box == faces[0].box
    swapped = tagged.copy()
    for each in faces:
        left, top, right, bottom = map(round, each.box)
        swapped[top:bottom, left:right] = pixels[top:bottom, left:right]
    assert helpers.reader().read(Photograph(swapped, ()), 1).whole.uid == helpers.UID


def test_a_portrait_carries_one_tag_whose_borders_are_the_pictures():
    """So that no swap, which moves the landmarks, moves them."""
    pixels = helpers.smooth(256, 256)
    per_pixel = views.aligned(helpers.face(0, 0, 1))  # The view of a face at the origin, by its eyes' distance.
    eyes = 256 / per_pixel[0, 0]
    place = -eyes * per_pixel[:, 2]
    whole = helpers.tagged(pixels)
    for shift, is_whole in ((0, True), (15, True), (30, False)):
        face = helpers.face(place[0] + shift, place[1], eyes)
        assert np.array_equal(helpers.tagged(pixels, [face]), whole) == is_whole


def test_a_tag_that_covers_the_whole_is_read_where_no_face_is():
    assert helpers.reader().read(Photograph(helpers.tagged(helpers.smooth(200, 300)), ()), 1).uid == helpers.UID


def test_what_is_added_has_no_seam():
    """Between a face's residual and the rest's the step from pixel to pixel is that of the blend, not of the two."""
    square = [[200, 0, 100], [0, 200, 50]]
    overlay = Overlay((400, 300), [_patch(0.1, square), _patch(-0.1, [[400, 0, 0], [0, 300, 0]])])
    added = np.concatenate([strip for _, strip in overlay.strips()])
    assert added.shape == (300, 400, 3)
    assert added[150, 200, 0] == pytest.approx(0.1) and added[20, 20, 0] == pytest.approx(-0.1)
    assert max(np.abs(np.diff(added, axis=axis)).max() for axis in (0, 1)) < 0.03


def test_where_two_faces_overlap_the_nearer_middle_wins_and_nothing_is_added_twice():
    left, right = [[200, 0, 0], [0, 200, 0]], [[200, 0, 120], [0, 200, 0]]
    layers = [_patch(0.1, left), _patch(0.05, right), _patch(0.0, [[320, 0, 0], [0, 200, 0]])]
    added = next(Overlay((320, 200), layers).strips())[1][100, :, 0]
    assert added[140] == pytest.approx(0.1, abs=0.01) and added[180] == pytest.approx(0.05, abs=0.01)
    assert added.max() <= 0.1001


def test_an_overlay_rounds_and_saturates():
    pixels = np.array([[[0, 100, 255]]], np.uint8)
    for value, expected in ((0.006, [2, 102, 255]), (-0.006, [0, 98, 253])):
        assert Overlay((1, 1), [_patch(value, [[1, 0, 0], [0, 1, 0]])]).on(pixels).tolist() == [[expected]]


def test_blending_makes_no_residual_stronger_than_the_model_bounds_it():
    """The face's layer is strong where the blend shows it: together they may not add more than the strongest alone."""
    strong = np.zeros([16, 16, 3], np.float32)
    strong[4:12, 4:12] = 0.2
    layers = [Layer(strong, np.float64([[100, 0, -50], [0, 100, -50]])), _patch(0.01, [[50, 0, 0], [0, 50, 0]])]
    factor = tagging.weakening((50, 50), layers)
    limited = [Layer(factor * each.residual, each.transform) for each in layers]
    together = np.concatenate([strip for _, strip in Overlay((50, 50), limited).strips()])
    assert np.sqrt(np.mean(together**2)) <= 1.02 * np.sqrt(np.mean(strong**2))
    assert tagging.weakening((50, 50), [layers[1]]) == 1.0


def test_faces_too_small_hidden_or_too_many_are_named_and_carry_no_tag_of_their_own():
    large, behind = helpers.face(200, 200, 80), helpers.face(230, 190, 60)
    small = helpers.face(500, 100, tagging.SMALLEST_EYES - 1)
    photograph = Photograph(helpers.smooth(400, 640), [large, behind, small])
    overlay, faces = tagging.tag(photograph, helpers.encode, stubs.SIZE)
    assert [each.tag for each in faces] == [FaceTag.TAGGED, FaceTag.OVERLAPPED, FaceTag.TOO_SMALL]
    assert faces[0].box == large.box
    many = [helpers.face(100 + 110 * x, 100 + 110 * y, 25) for x in range(7) for y in range(5)]
    _, faces = tagging.tag(Photograph(helpers.smooth(700, 900), many), helpers.encode, stubs.SIZE)
    assert [each.tag for each in faces] == 32 * [FaceTag.TAGGED] + 3 * [FaceTag.ONE_TOO_MANY]
