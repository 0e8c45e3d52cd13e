"""How far attribute editors go at simulation."""

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import features
from faketagger.components.simulator.generators.base import Faces
from faketagger.components.simulator.generators.stargan import StarGAN
from faketagger.components.simulator.generators.stgan import STGAN
from faketagger.components.simulator.quality import intensity
from faketagger.components.simulator.quality.intensity import Tried

SIZE = 16


@pytest.mark.parametrize(
    "tried, chosen",
    [
        ({1.0: Tried(0.5, 25.0), 1.5: Tried(0.91, 22.0), 2.0: Tried(0.99, 18.1)}, 1.5),  # The mildest that is seen.
        ({1.0: Tried(0.5, 25.0), 1.5: Tried(0.7, 20.0), 2.0: Tried(0.6, 18.5)}, 1.5),  # None is: what is seen most.
        ({1.0: Tried(0.5, 20.0), 1.5: Tried(0.95, 17.9)}, 1.0),  # That which is seen is too strong.
        ({1.0: Tried(0.5, 15.0), 1.5: Tried(0.95, 14.0)}, 1.0),  # All are too strong.
    ],
)
def test_the_mildest_intensity_that_is_seen_is_chosen_and_none_that_is_too_strong(tried, chosen):
    assert intensity.choose(tried) == chosen


class StubEditor:
    """Darkens by a tenth (Male), a twentieth (Young) or not at all (Smiling) of the intensity; knows Bald too."""

    attributes = ("Male", "Bald", "Young", "Smiling")
    intensities = (1.0, 1.0, 1.0, 1.0)
    image_size = SIZE

    def offer(self, attributes):
        self.offered = tuple(attributes)

    def simulate(self, images, condition):
        by_intensity = tf.constant(self.intensities) * tf.constant([0.1, 0.0, 0.05, 0.0])
        return images - tf.gather(by_intensity, condition)[:, None, None, None]


class StubJudge:
    """Sees the edit of Male where a picture got darker by 0.09, that of Young where by 0.06; does not know Bald."""

    attributes = ["Male", "Young", "Smiling"]

    def edit_success(self, edited, faces, attribute):
        darker = (faces.pictures - edited).mean(axis=(1, 2, 3))
        return float(np.mean(darker > {"Male": 0.09, "Young": 0.06, "Smiling": 0.01}[attribute]))


def _faces(attributes):
    return Faces(np.full([len(attributes), SIZE, SIZE, 3], 204, np.uint8), attributes)


def test_each_condition_gets_its_own_intensity_and_what_the_judge_does_not_know_stays():
    editor = StubEditor()
    intensity.calibrate(editor, _faces(np.full([40, len(features.ATTRIBUTE_NAMES)], 1)), StubJudge())
    assert editor.intensities[:3] == (1.0, 1.0, 1.3)


def test_edits_that_are_never_seen_are_left_out_and_all_stay_where_none_is_seen(monkeypatch):
    faces = _faces(np.full([40, len(features.ATTRIBUTE_NAMES)], 1))
    editor = StubEditor()
    intensity.calibrate(editor, faces, StubJudge())
    assert editor.offered == ("Male", "Bald", "Young")
    editor.attributes, editor.intensities = ("Smiling",), (1.0,)
    monkeypatch.setattr(editor, "simulate", lambda images, condition: images)
    intensity.calibrate(editor, faces, StubJudge())
    assert editor.offered == ("Smiling",)


def test_an_attribute_that_none_of_the_pictures_is_labelled_with_keeps_its_intensity():
    attributes = np.full([40, len(features.ATTRIBUTE_NAMES)], 1)
    attributes[:, features.ATTRIBUTE_NAMES.index("Young")] = features.UNKNOWN
    editor = StubEditor()
    intensity.calibrate(editor, _faces(attributes), StubJudge())
    assert editor.intensities[:3] == (1.0, 1.0, 1.0) and "Young" in editor.offered


def test_only_labelled_pictures_say_how_intense_edits_must_be():
    attributes = np.full([3, len(features.ATTRIBUTE_NAMES)], features.UNKNOWN)
    assert len(intensity.labelled(_faces(attributes), ["Male"]).pixels) == 3
    attributes[1, features.ATTRIBUTE_NAMES.index("Male")] = 0
    np.testing.assert_array_equal(intensity.labelled(_faces(attributes), ["Male"]).attributes, attributes[1:2])


@pytest.mark.parametrize("editor_class", [StarGAN, STGAN])
def test_an_editor_is_rebuilt_with_its_intensities(editor_class):
    editor = editor_class(32, 8, ["Male", "Young"], 2, intensities=[1.0, 0.7])
    assert editor_class(**editor.settings).intensities == (1.0, 0.7)
