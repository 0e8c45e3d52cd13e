"""What a manifest says a simulator does is what it does; one that does nothing is refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import features, manifest, signatures
from faketagger.components.simulator import assess
from faketagger.components.simulator.face_mask import soft_face_mask
from faketagger.components.simulator.generator import Faces
from faketagger.components.simulator.library import Simulator

SIZE = 32


class _Model:
    """Called as a loaded SavedModel is."""

    def __init__(self, simulate):
        self.signatures = {signatures.SIMULATE: lambda images, condition: {"images": simulate(images, condition)}}


class _Judge:
    """Sees `Smiling` in bright pictures; a picture's features are its mean colours."""

    attributes = ["Smiling"]

    def look(self, pictures):
        return np.mean(pictures, (1, 2, 3))[:, None], np.mean(pictures, (1, 2))

    def edit_success(self, edited, faces, attribute):
        return float(np.mean((self.look(edited)[0][:, 0] > 0.5) != faces.labels(attribute)))


def _faces(count=8):
    """Noise; half of them are bright and smile."""
    random = np.random.default_rng(3)
    smiling = np.arange(count) // 2 % 2
    pictures = np.float32(random.integers(0, 40, (count, SIZE, SIZE, 3)) + 60 + 100 * smiling[:, None, None, None]) / 255
    return Faces(pictures, np.array([features.attributes_from({"Smiling": int(each)}) for each in smiling]))


def _simulator(simulate, family="identity_swap", conditions=("one",)):
    described = manifest.SimulatorManifest("made", family, list(conditions), SIZE, "none", "ours")
    return Simulator(described, _Model(simulate))


def _invert(pictures, condition):
    return 1.0 - pictures


def test_strength_in_the_face_counts_the_face_alone():
    outside = tf.constant(1.0 - soft_face_mask(SIZE))
    found = assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures + 0.2 * outside)).strength["one"]
    inside = assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures + 0.2 * (1.0 - outside)))
    assert found["face_psnr"] > found["psnr"] + 3
    assert inside.strength["one"]["face_psnr"] < inside.strength["one"]["psnr"] - 1
    assert inside.strength["one"]["face_ssim"] < found["face_ssim"]


def test_strength_over_the_whole_picture_is_psnr_of_rounded_pictures():
    # 10.4 levels are 10 once the picture is saved.
    found = assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures + 10.4 / 255)).strength["one"]
    assert found["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    assert found["face_psnr"] == pytest.approx(found["psnr"], abs=1e-3)


def test_batches_make_no_difference():
    whole = assess.Assessor(_faces(5)).assess(_simulator(_invert))
    assert assess.Assessor(_faces(5), batch_size=2).assess(_simulator(_invert)).strength == whole.strength


def test_the_success_of_edits_is_set_beside_what_the_judge_sees_unedited():
    assessor = assess.Assessor(_faces(), _Judge())
    described = assessor.assess(_simulator(_invert, "attribute_editing", ["happy", "bald"]))
    assert described.success == {"happy": {"seen": 1.0, "unedited": 0.0}}  # The judge knows nothing of baldness.
    assert described.realism == {}


def test_realism_is_a_distance_to_photographs_beside_that_of_photographs_among_themselves():
    described = assess.Assessor(_faces(), _Judge()).assess(_simulator(lambda pictures, _: tf.zeros_like(pictures)))
    assert described.success == {}
    assert set(described.realism) == {assess.PHOTOGRAPHS, "one"}
    assert described.realism["one"]["kid"] > described.realism[assess.PHOTOGRAPHS]["kid"] + 0.01


def test_without_a_judge_what_was_measured_before_stays():
    simulator = _simulator(_invert, "attribute_editing", ["happy"])
    earlier = {"happy": {"seen": 0.9, "unedited": 0.1}}
    simulator = dataclasses.replace(simulator, manifest=dataclasses.replace(simulator.manifest, success=earlier))
    assert assess.Assessor(_faces()).assess(simulator).success == earlier


def test_one_that_hardly_changes_anything_is_refused_with_its_strength():
    with pytest.raises(assess.IdleSimulator, match="made: .* 42.1 dB of its input; over 32 dB"):
        assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures + 2.0 / 255))


def test_one_that_edits_nothing_is_refused_with_the_share():
    def same_brightness(pictures, _):
        return tf.reverse(pictures, [2])

    with pytest.raises(assess.IdleSimulator, match="seen in 0% more pictures .* 10% are the least"):
        assess.Assessor(_faces(), _Judge()).assess(_simulator(same_brightness, "attribute_editing", ["happy"]))


def test_perturbations_may_be_as_weak_as_they_are():
    described = assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures, "perturbation"))
    assert described.strength["one"]["psnr"] == 100.0
