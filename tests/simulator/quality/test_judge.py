"""The judge learns attributes from real pictures, counts the edits it sees, and tells kinds of pictures apart."""

import io

import numpy as np
import pytest
from PIL import Image

from faketagger.components.contract import features, images
from faketagger.components.simulator.generators.base import Faces
from faketagger.components.simulator.packing import samples
from faketagger.components.simulator.quality import judge

pytestmark = pytest.mark.slow


def _faces(count=64, seed=0, unknown=()):
    """Noise; those with `Smiling` are bright, the others dark. `Bald` is too rare to be learned."""
    random = np.random.default_rng(seed)
    smiling = np.arange(count) % 2
    pictures = np.float32(random.uniform(0.0, 0.4, (count, 64, 64, 3)) + 0.5 * smiling[:, None, None, None])
    labels = [{"Smiling": int(value), "Bald": int(index < 3)} for index, value in enumerate(smiling)]
    attributes = np.array([features.attributes_from(each) for each in labels])
    attributes[list(unknown)] = features.UNKNOWN
    return Faces(images.to_uint8(pictures), attributes)


@pytest.fixture(scope="module")
def trained():
    return judge.train_judge(_faces(), steps=60, seed=1)


def test_only_attributes_that_are_labelled_often_enough_are_learned(trained):
    assert trained.attributes == ["Smiling"]
    assert judge.learnable(_faces(unknown=range(0, 64, 2))) == []  # No picture without it is left.
    with pytest.raises(ValueError, match="no attribute has 8 pictures with and without it"):
        judge.train_judge(_faces(unknown=range(64)), steps=1, seed=1)


def test_the_judge_names_attributes_of_pictures_it_has_not_seen(trained):
    assert trained.accuracy(_faces(seed=5)) == {"Smiling": 1.0}


def test_an_edit_succeeds_where_the_opposite_of_the_label_is_seen(trained):
    faces = _faces(count=8, seed=6, unknown=[7])
    assert trained.edit_success(faces.pictures, faces, "Smiling") == 0.0
    inverted = _faces(count=9, seed=6).pictures[1:]  # Dark for bright and bright for dark.
    assert trained.edit_success(inverted, faces, "Smiling") == 1.0
    half = np.where(np.arange(8)[:, None, None, None] < 4, inverted, faces.pictures)
    assert trained.edit_success(half, faces, "Smiling") == pytest.approx(4 / 7)
    assert np.isnan(trained.edit_success(half, _faces(count=8, unknown=range(8)), "Smiling"))


def test_the_kernel_distance_is_the_unbiased_discrepancy():
    real, made = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 1.0], [3.0, 0.0], [0.0, 0.0]])
    kernel = lambda a, b: (float(a @ b) / 2 + 1) ** 3  # noqa: E731
    within_real = kernel(real[0], real[1])
    within_made = np.mean([kernel(made[i], made[j]) for i in range(3) for j in range(3) if i != j])
    across = np.mean([kernel(a, b) for a in real for b in made])
    assert judge.kernel_distance(real, made) == pytest.approx(within_real + within_made - 2 * across)


def test_the_kernel_distance_is_about_zero_for_one_kind_and_large_for_another():
    random = np.random.default_rng(3)
    first, second = random.normal(size=(2, 400, 8))
    assert abs(judge.kernel_distance(first, second)) < 0.02
    assert judge.kernel_distance(first, second + 0.5) > 0.2


def test_pairs_do_not_make_the_kernel_distance_too_small():
    random = np.random.default_rng(3)
    photographs = random.normal(size=(200, 20, 8))  # Two hundred samples of twenty pictures each.
    made = photographs + 0.1 * random.normal(size=photographs.shape)
    paired = np.mean([judge.kernel_distance(*each, paired=True) for each in zip(photographs, made)])
    taken_for_independent = np.mean([judge.kernel_distance(*each) for each in zip(photographs, made)])
    assert abs(paired) < 0.02 and taken_for_independent < -0.5


def test_the_sheet_has_the_inputs_above_and_a_row_for_each_condition():
    pictures = np.stack([np.full([8, 8, 3], value, np.float32) for value in (0.2, 0.6)])
    sheet = np.asarray(
        Image.open(io.BytesIO(samples.draw_samples(pictures, {"bald": 1 - pictures, "happy": pictures})))
    )
    cell = 128
    assert sheet.shape[0] == 3 * cell
    centres = sheet[cell // 2 :: cell, -3 * cell // 2 :: cell, 0][:, :2]
    np.testing.assert_array_equal(centres, np.round(255 * np.float32([[0.2, 0.6], [0.8, 0.4], [0.2, 0.6]])))
