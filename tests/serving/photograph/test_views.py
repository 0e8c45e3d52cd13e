"""Views of a photograph: what they show, and in which shape a photograph may be."""

import numpy as np
import pytest

from faketagger.components.example_gen import face_drawing
from faketagger.serving.photograph import views
from faketagger.serving.photograph.views import Photograph
from faketagger.tests.serving.photograph import helpers


def _mean_difference(one, other):
    return float(np.mean(np.abs(one - other)))


def test_the_view_of_the_whole_is_the_photograph_squeezed():
    pixels = helpers.smooth(96, 160)
    seen = Photograph(pixels).view(views.whole(Photograph(pixels)), 32)
    expected = pixels.reshape(32, 3, 32, 5, 3).mean((1, 3)) / 255
    assert seen.shape == (32, 32, 3) and _mean_difference(seen, expected) < 0.004


def test_a_view_that_shrinks_averages_what_lies_between_its_pixels():
    stripes = np.zeros([512, 512, 3], np.uint8)
    stripes[:, ::2] = 200
    seen = Photograph(stripes).view(np.array([[500.0, 0.0, 5.0], [0.0, 500.0, 5.0]]), 32)
    assert np.abs(seen * 255 - 100).max() < 4


def test_an_aligned_view_is_the_same_however_the_photograph_was_turned():
    pixels, face = helpers.smooth(240, 320), helpers.face(150, 110, 40, degrees=20)
    upright = Photograph(pixels).view(views.aligned(face), 32)
    for turns in (1, 2, 3):
        turned = Photograph(np.ascontiguousarray(np.rot90(pixels, -turns)))
        # What turns the photograph back also takes the turned one's places to its own.
        there = views.invert(views.turn(turns, turned.size))
        seen = turned.view(views.compose(views.aligned(face), views.invert(there)), 32)
        assert _mean_difference(seen, upright) < 0.01


def test_the_mirrored_view_is_the_mirror_image():
    photograph = Photograph(helpers.smooth(100, 100))
    seen = photograph.view(views.compose(views.MIRROR, views.whole(photograph)), 32)
    assert _mean_difference(seen, photograph.view(views.whole(photograph), 32)[:, ::-1]) < 0.003


def test_beyond_the_photograph_its_rim_is_drawn_out():
    pixels = np.full([50, 50, 3], 30, np.uint8)
    pixels[:, -4:] = 220
    seen = Photograph(pixels).view(np.array([[50.0, 0.0, 60.0], [0.0, 50.0, 0.0]]), 16)
    assert np.abs(seen * 255 - 220).max() < 1


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3000), (1, 40_000), (40_000, 1), (40_000, 3), (7, 5), (3, 40_000), (1, 33_000), (40, 90_000)]
)
def test_a_photograph_may_be_of_any_shape(shape):
    pixels = np.full([*shape, 3], 77, np.uint8)
    photograph = Photograph(pixels, ())
    assert np.allclose(photograph.view(views.whole(photograph), 32), 77 / 255, atol=1e-3)
    assert helpers.tagged(pixels).shape == pixels.shape


@pytest.mark.parametrize("pixels", [np.zeros([4, 4], np.uint8), np.zeros([4, 4, 3]), np.zeros([0, 4, 3], np.uint8)])
def test_what_is_no_photograph_is_refused(pixels):
    with pytest.raises(ValueError, match="a photograph is uint8"):
        Photograph(pixels)


def test_a_face_is_found_where_it_is_in_a_picture_and_in_a_turned_or_negative_one():
    pixels = face_drawing.draw(face_drawing.sample_traits(1, 3), 256)
    (transform,) = Photograph(pixels).aligned
    turned = Photograph(np.ascontiguousarray(np.rot90(pixels, -1)))
    (there,) = turned.turned_faces(1, inverted=False)
    back = views.compose(there, views.invert(views.turn(1, turned.size)))
    assert np.abs(back - transform).max() < 6
    (negative,) = Photograph(255 - pixels).turned_faces(0, inverted=True)
    assert np.abs(negative - transform).max() < 6


@pytest.mark.parametrize("margin", [0.0, 0.2, 0.5])
def test_a_face_is_supposed_where_it_was_cut_out_though_it_is_not_found(monkeypatch, margin):
    drawn = face_drawing.draw(face_drawing.sample_traits(1, 0), 384)
    (face,) = Photograph(drawn).faces
    left, top, right, bottom = face.box
    room = margin * (right - left)
    corner = np.maximum(0, np.floor([left - room, top - room])).astype(int)
    cut = np.ascontiguousarray(drawn[corner[1] : int(bottom + room), corner[0] : int(right + room)])
    monkeypatch.setattr(views, "find_faces", lambda pixels, smallest=0.0: [])
    supposed = Photograph(cut).supposed
    wanted = views.aligned(face) - [[0, 0, corner[0]], [0, 0, corner[1]]]
    off = [np.abs(views.compose(each, views.invert(wanted)) - np.eye(2, 3)).max() for each in supposed]
    assert min(off) < 0.1
    assert Photograph(cut, ()).supposed == []


def test_what_is_found_is_not_supposed_once_more():
    portrait = face_drawing.draw(face_drawing.sample_traits(1, 3), 256)
    photograph = Photograph(np.ascontiguousarray(portrait))
    (found,) = photograph.aligned
    for each in photograph.supposed:
        assert np.abs(views.compose(each, views.invert(found)) - np.eye(2, 3)).max() > 0.02


def test_nothing_is_supposed_in_a_large_photograph(monkeypatch):
    monkeypatch.setattr(views, "find_faces", lambda pixels, smallest=0.0: [])
    assert Photograph(helpers.smooth(800, 1100)).supposed == []
