"""What a simulator's manifest may say; test_files.py has its file."""

import json
import os

import pytest

from faketagger.components.contract import manifest, pretrained

SIMULATOR = manifest.SimulatorManifest("swap_2", "identity_swap", ["to_a", "to_b"], 64, "some faces", "ours")


def _read(tmp_path, **changes):
    manifest.write(SIMULATOR, str(tmp_path))
    path = tmp_path / "simulator.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return manifest.read(manifest.SimulatorManifest, str(tmp_path))


@pytest.mark.parametrize(
    "field, value, expected",
    [
        *[("name", value, "lower-case letters") for value in ("../../y", "a/b", "", ".", "..", ".a", "Swap", "a\n", 3)],
        ("conditions", "happy", "a list of at least one condition"),
        ("conditions", 5, "a list of at least one condition"),
        ("conditions", [], "a list of at least one condition"),
        ("conditions", {"happy": 1}, "a list of at least one condition"),
        ("conditions", ["happy", "sad", "happy"], "a list of at least one condition, all different"),
        ("conditions", ["happy", ""], "a list of at least one condition"),
        ("conditions", ["happy/sad"], "names of conditions without / and +"),
        ("tools", ["stargan", "stargan"], "each tool once"),
        *[("image_size", value, "a whole number from 16 to 1024") for value in ("32", 32.0, True, None, 15, 1025, -64)],
        ("licence", 5, "a text"),
        ("training_data", ["faces"], "a text"),
        ("change", [], "an object"),
        ("success", None, "an object"),
        ("realism", "good", "an object"),
        ("training", 3, "an object"),
    ],
)
def test_values_of_a_wrong_kind_are_refused_by_file_and_field(tmp_path, field, value, expected):
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, **{field: value})
    assert str(caught.value).startswith(f"{tmp_path}/simulator.json: {field}: expected {expected}")
    assert str(caught.value).endswith(f", found {value!r}")


@pytest.mark.parametrize("wrong", [5, ["happy"]])
def test_a_condition_that_is_no_text_is_refused_by_its_place(tmp_path, wrong):
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, conditions=["happy", wrong])
    assert str(caught.value) == f"{tmp_path}/simulator.json: conditions[1]: expected a text, found {wrong!r}"


def test_records_and_measurements_are_checked_inside(tmp_path):
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, change={"to_a": {"psnr": "20", "ssim": 0.5}}, training={"generator": "faceswap"})
    assert "change.to_a.psnr: expected a number, found '20'" in str(caught.value)
    assert "training.steps: expected a whole number at least 1, found nothing" in str(caught.value)


def test_a_taggers_manifest_may_say_its_code_matrix_by_the_former_name():
    described = manifest.TaggerManifest(message_bits=5, code_bits=15, code_matrix=("ff",) * 5, image_size=64)
    assert manifest.TaggerManifest.from_json(described.to_json().replace("code_matrix", "generator")) == described


def test_what_the_repository_ships_can_be_read():
    tagger = manifest.read(manifest.TaggerManifest, pretrained.TAGGER)
    assert tagger.training.simulators and len(tagger.code_matrix) == tagger.message_bits
    for name in os.listdir(pretrained.SIMULATORS):
        simulator = manifest.read(manifest.SimulatorManifest, os.path.join(pretrained.SIMULATORS, name))
        assert set(simulator.conditions) <= set(simulator.change) <= set(simulator.ways)
        assert simulator.training.steps > 0


def test_a_refusal_quotes_no_more_than_the_beginning_of_a_long_value(tmp_path):
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, name="y/" * 10_000)
    assert str(caught.value).endswith(", found '" + "y/" * 29 + "…")


@pytest.mark.parametrize("side", [16, 30, 1024])
def test_pictures_may_be_as_small_and_as_large_as_example_gen_makes_them(tmp_path, side):
    assert _read(tmp_path, image_size=side).image_size == side
