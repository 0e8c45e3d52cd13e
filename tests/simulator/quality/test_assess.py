"""What a manifest says a simulator does is what it does; one that does nothing is refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import features, images, manifest, signatures
from faketagger.components.simulator.generators.base import Faces
from faketagger.components.simulator.generators.face_mask import soft_face_mask
from faketagger.components.simulator.library import Simulator
from faketagger.components.simulator.quality import assess
from faketagger.components.simulator.quality.judge import Judge, kernel_distance

pytestmark = pytest.mark.slow

SIZE = 32


class _Model:
    """Called as a loaded SavedModel is."""

    def __init__(self, simulate):
        self.signatures = {signatures.SIMULATE: lambda images, condition: {"images": simulate(images, condition)}}


class _Judge(Judge):
    """Sees `Smiling` in bright pictures, and `Male` too; a picture's features are its mean colours."""

    def __init__(self, attributes=("Smiling",)):
        super().__init__(None, list(attributes))

    def look(self, pictures):
        return np.tile(np.mean(pictures, (1, 2, 3))[:, None], len(self.attributes)), np.mean(pictures, (1, 2))


def _faces(count=8):
    """Noise; half of them are bright and smile. No other attribute is labelled."""
    random = np.random.default_rng(3)
    smiling = np.arange(count) // 2 % 2
    pictures = (
        np.float32(random.integers(0, 40, (count, SIZE, SIZE, 3)) + 60 + 100 * smiling[:, None, None, None]) / 255
    )
    attributes = [features.attributes_from({"Smiling": int(each)}) for each in smiling]
    return Faces(images.to_uint8(pictures), np.array(attributes))


def _simulator(simulate, family="identity_swap", conditions=("one",)):
    described = manifest.SimulatorManifest("made", family, list(conditions), SIZE, "none", "ours")
    return Simulator(described, _Model(simulate))


def _invert(pictures, condition):
    return 1.0 - pictures


def _flip(pictures, condition):
    """Another picture of the same colours."""
    return tf.reverse(pictures, [2])


def test_change_in_the_face_counts_the_face_alone():
    outside = tf.constant(1.0 - soft_face_mask(SIZE))
    found = assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures + 0.2 * outside)).change["one"]
    inside = assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures + 0.2 * (1.0 - outside)))
    assert found.face_psnr > found.psnr + 3
    assert inside.change["one"].face_psnr < inside.change["one"].psnr - 1
    assert inside.change["one"].face_ssim < found.face_ssim


def test_change_over_the_whole_picture_is_psnr_of_rounded_pictures():
    # 10.4 levels are 10 once the picture is saved.
    found = assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures + 10.4 / 255)).change["one"]
    assert found.psnr == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    assert found.face_psnr == pytest.approx(found.psnr, abs=1e-3)


def test_batches_make_no_difference():
    whole = assess.Assessor(_faces(5)).assess(_simulator(_invert))
    assert assess.Assessor(_faces(5), batch_size=2).assess(_simulator(_invert)).change == whole.change


def test_the_success_of_edits_is_set_beside_what_the_judge_sees_unedited():
    assessor = assess.Assessor(_faces(), _Judge())
    described = assessor.assess(_simulator(_invert, "attribute_editing", ["happy", "bald"]))
    assert described.success == {"happy": {"seen": 1.0, "unedited": 0.0}}  # The judge knows nothing of baldness.
    assert described.realism == {}


def test_an_attribute_that_no_picture_is_labelled_with_leaves_no_success_and_is_no_reason_to_refuse(tmp_path):
    assessor = assess.Assessor(_faces(), _Judge(["Smiling", "Male"]))
    described = assessor.assess(_simulator(_invert, "attribute_editing", ["gender", "happy"]))
    assert described.success == {"happy": {"seen": 1.0, "unedited": 0.0}}
    described = assessor.assess(_simulator(_invert, "attribute_editing", ["gender"]))
    assert described.success == {}
    manifest.write(described, str(tmp_path))  # Refuses NaN.


def test_what_cannot_be_measured_does_not_stand_for_edits_that_are_seen():
    assessor = assess.Assessor(_faces(), _Judge(["Smiling", "Male"]))
    with pytest.raises(assess.IdleSimulator, match="seen in 0% more pictures"):
        assessor.assess(_simulator(_flip, "attribute_editing", ["gender", "happy"]))


def test_realism_is_a_distance_to_photographs_beside_that_of_photographs_among_themselves():
    described = assess.Assessor(_faces(), _Judge()).assess(_simulator(lambda pictures, _: tf.zeros_like(pictures)))
    assert described.success == {}
    assert set(described.realism) == {assess.PHOTOGRAPHS, "one"}
    of_photographs = _Judge().look(_faces().pictures)[1]
    black = np.zeros_like(of_photographs)
    assert described.realism["one"]["kid"] == pytest.approx(kernel_distance(of_photographs, black, paired=True))
    assert described.realism["one"]["kid"] > described.realism[assess.PHOTOGRAPHS]["kid"] + 0.01


def test_pictures_that_look_as_photographs_do_are_at_no_distance():
    realism = assess.Assessor(_faces(), _Judge()).assess(_simulator(_flip)).realism
    assert realism["one"]["kid"] == pytest.approx(0.0, abs=1e-6)
    _, found = _Judge().look(_faces().pictures)
    assert realism[assess.PHOTOGRAPHS]["kid"] == pytest.approx(kernel_distance(found[::2], found[1::2]), abs=1e-6)


def test_too_few_pictures_for_two_halves_leave_realism_out(tmp_path):
    described = assess.Assessor(_faces(3), _Judge()).assess(_simulator(_invert))
    assert described.realism == {} and set(described.change) == {"one"}
    manifest.write(described, str(tmp_path))  # Refuses NaN.
    assert set(assess.Assessor(_faces(4), _Judge()).assess(_simulator(_invert)).realism) == {assess.PHOTOGRAPHS, "one"}


def test_without_a_judge_what_was_measured_before_stays():
    simulator = _simulator(_invert, "attribute_editing", ["happy"])
    earlier = {"happy": {"seen": 0.9, "unedited": 0.1}}
    simulator = dataclasses.replace(simulator, manifest=simulator.manifest.replace(success=earlier))
    assert assess.Assessor(_faces()).assess(simulator).success == earlier


def test_one_that_hardly_changes_anything_is_refused_with_its_change():
    with pytest.raises(assess.IdleSimulator, match="made: .* 42.1 dB of its input; over 32 dB"):
        assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures + 2.0 / 255))


def test_one_that_edits_nothing_is_refused_with_the_share():
    with pytest.raises(assess.IdleSimulator, match="seen in 0% more pictures .* 10% are the least"):
        assess.Assessor(_faces(), _Judge()).assess(_simulator(_flip, "attribute_editing", ["happy"]))


def test_perturbations_may_be_as_weak_as_they_are():
    described = assess.Assessor(_faces()).assess(_simulator(lambda pictures, _: pictures, "perturbation"))
    assert described.change["one"].psnr == 100.0
