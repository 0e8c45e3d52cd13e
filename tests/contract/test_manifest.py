"""What a simulator's manifest may say; test_files.py has its file."""

import json

import pytest

from faketagger.components.contract import manifest

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
        ("conditions", ["happy", 5], "a list of at least one condition"),
        ("conditions", [["happy"]], "a list of at least one condition"),
        *[("image_size", value, "a whole number from 16 to 1024") for value in ("32", 32.0, True, None, 15, 1025, -64)],
        ("licence", 5, "a text"),
        ("training_data", ["faces"], "a text"),
        ("strength", [], "an object"),
        ("success", None, "an object"),
        ("realism", "good", "an object"),
        ("training", 3, "an object"),
    ],
)
def test_values_of_a_wrong_kind_are_refused_by_file_and_field(tmp_path, field, value, expected):
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, **{field: value})
    assert str(caught.value).startswith(f"{tmp_path}/simulator.json: {field}: expected {expected}")
    assert str(caught.value).endswith(f"; found {value!r}")


def test_a_refusal_quotes_no_more_than_the_beginning_of_a_long_value(tmp_path):
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, name="y/" * 10_000)
    assert str(caught.value).endswith("; found '" + "y/" * 29 + "y")


@pytest.mark.parametrize("side", [16, 30, 1024])
def test_pictures_may_be_as_small_and_as_large_as_example_gen_makes_them(tmp_path, side):
    assert _read(tmp_path, image_size=side).image_size == side
