"""Drawn faces: deterministic, varied, and the labels show in the pixels."""

import dataclasses

import numpy as np
import pytest

from faketagger.components.contract import features
from faketagger.components.example_gen import face_drawing, procedural_faces


def _traits(**changes):
    return dataclasses.replace(face_drawing.sample_traits(0, 1), tilt=0.0, yaw=0.0, shift=(0.0, 0.0), **changes)


def test_the_same_seed_and_index_draw_the_same_pixels_and_others_do_not():
    first = face_drawing.draw(face_drawing.sample_traits(3, 5), 32)
    assert first.shape == (32, 32, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, face_drawing.draw(face_drawing.sample_traits(3, 5), 32))
    for other in (face_drawing.sample_traits(3, 6), face_drawing.sample_traits(4, 5)):
        assert np.abs(first.astype(int) - face_drawing.draw(other, 32)).mean() > 5


def test_every_label_is_an_attribute_of_celeba_and_takes_both_values():
    labels = [face_drawing.sample_traits(0, index).labels() for index in range(300)]
    assert {"Eyeglasses", "Smiling", "Male", "Young", "Bald", "Mustache", "No_Beard", "Pale_Skin"} < set(labels[0])
    assert set(face_drawing.LABEL_NAMES) <= set(features.ATTRIBUTE_NAMES)
    for name in face_drawing.LABEL_NAMES:
        assert {sample[name] for sample in labels} == {0, 1}, name
    assert all(
        sum(sample[f"{colour}_Hair"] for colour in ("Black", "Brown", "Blond", "Gray")) <= 1 for sample in labels
    )


@pytest.mark.parametrize(
    "plain, changed, rows, columns",
    [
        ({"hair_name": "Black_Hair"}, {"hair_name": "Blond_Hair"}, slice(4, 14), slice(20, 44)),
        ({"glasses": False}, {"glasses": True}, slice(26, 42), slice(14, 50)),
        ({"mouth_open": 0.0}, {"mouth_open": 1.0}, slice(44, 56), slice(22, 42)),
        ({"moustache": False}, {"moustache": True}, slice(42, 52), slice(22, 42)),
    ],
)
def test_a_trait_changes_the_face_where_it_belongs(plain, changed, rows, columns):
    common = {"bald": False, "smile": 0.0, "lipstick": False, "beard": 0.0, "zoom": 1.0}
    before = face_drawing.draw(_traits(**{**common, "glasses": False, "moustache": False, **plain}), 64).astype(float)
    after = face_drawing.draw(_traits(**{**common, "glasses": False, "moustache": False, **changed}), 64).astype(float)
    difference = np.abs(before - after).mean(axis=2)
    assert difference[rows, columns].mean() > 3


def test_black_hair_is_darker_than_blond_hair():
    bright = {
        name: face_drawing.draw(_traits(bald=False, hair_name=name), 64)[4:12, 24:40].mean()
        for name in ("Black_Hair", "Blond_Hair")
    }
    assert bright["Black_Hair"] < 80 < bright["Blond_Hair"]


@pytest.mark.parametrize(
    "dataset, image_size, name, size, count",
    [
        ("procedural_faces", 64, "64", 64, 1200),
        ("procedural_faces", 65, "128", 128, 1200),
        ("procedural_faces", 512, "256", 256, 1200),
        ("procedural_faces/256", 64, "256", 256, 1200),
        ("procedural_faces/64-30", 64, "64-30", 64, 30),
    ],
)
def test_the_data_set_name_chooses_size_and_count(dataset, image_size, name, size, count):
    config = procedural_faces.config_for(dataset, image_size)
    assert (config.name, config.size, config.count) == (name, size, count)


@pytest.mark.parametrize(
    "dataset", ["procedural_faces/65", "procedural_faces/64-0", "procedural_faces/", "procedural_faces/64-x"]
)
def test_an_unknown_size_or_count_is_refused(dataset):
    with pytest.raises(ValueError, match="procedural_faces/64, procedural_faces/128"):
        procedural_faces.config_for(dataset, 64)
