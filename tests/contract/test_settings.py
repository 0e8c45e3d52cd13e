"""Typed settings: one strictness, one form of error, one line of JSON."""

import json
import subprocess
import sys
from typing import Any, Literal

import pytest

from faketagger.components.contract import files
from faketagger.components.contract.settings import (
    Field,
    Settings,
    SettingsError,
    Unexpected,
    root_validator,
    validator,
)


class Inner(Settings):
    share: float = Field(0.5, ge=0, le=1)
    names: tuple[str, ...] = ()


class Outer(Settings):
    steps: int = Field(..., ge=1)
    level: Literal["raw", "late"] = "raw"
    rate: float = Field(1.0, gt=0)
    side: int = Field(32, ge=32, multiple_of=16)
    on: bool = False
    limit: int | None = Field(None, ge=2)
    range_: tuple[float, float] = (0.0, 1.0)
    inner: Inner = Inner()
    shares: dict[str, float] = Field({}, ge=0, le=1)
    curves: dict[str, tuple[float, ...]] = {}
    nested: dict[str, dict[str, float]] = {}
    many: tuple[Inner, ...] = ()
    mixed: dict[str, int | str | None] = {}
    anything: Any = None
    name: str = Field("a", description="lower-case letters")

    @validator("name")
    def _is_lower(cls, value):
        if not value.islower():
            raise Unexpected("lower-case letters", value)
        return value

    @root_validator(skip_on_failure=True)
    def _agree(cls, values):
        if values["steps"] == 13:
            raise ValueError("13 steps bring bad luck")
        if values["steps"] == 14:
            raise Unexpected("more than the steps", values["inner"].share, "inner.share")
        return values


FULL = Outer(
    steps=3,
    level="late",
    limit=5,
    inner=Inner(share=0.25, names=("a", "b")),
    shares={"x/y": 0.5},
    curves={"c": (1, 2.5)},
    nested={"a": {"b": 1.5}},
    many=(Inner(), Inner(share=1)),
    mixed={"i": 1, "s": "1", "n": None},
    anything=[1, {"a": None}],
)


@pytest.mark.parametrize("written", [FULL, Outer(steps=1)])
def test_one_line_of_json_makes_the_round_trip(written):
    text = written.to_json()
    assert "\n" not in text and Outer.from_json(text) == written and Outer.from_json(text).to_json() == text


def test_json_is_the_same_for_the_same_values():
    said = [Outer(steps=1, rate=2, shares={"a": 1, "b": 0}), Outer(shares={"b": 0.0, "a": 1.0}, rate=2.0, steps=1)]
    assert said[0].to_json() == said[1].to_json()
    assert said[0].replace(rate=2.5).to_json() != said[0].to_json()
    assert list(json.loads(said[0].to_json())) == sorted(Outer.__fields__)


def test_lists_become_tuples_and_whole_numbers_floats():
    read = Outer.from_json('{"steps": 1, "rate": 3, "range_": [0, 1], "inner": {"names": ["a"]}, "curves": {"c": [1]}}')
    assert isinstance(read.rate, float) and read.range_ == (0.0, 1.0) and isinstance(read.range_, tuple)
    assert read.inner == Inner(names=("a",)) and isinstance(read.curves["c"], tuple)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"steps": "8"}, "steps: expected a whole number at least 1, found '8'"),
        ({"steps": True}, "steps: expected a whole number at least 1, found True"),
        ({"steps": 8.0}, "steps: expected a whole number at least 1, found 8.0"),
        ({"steps": 0}, "steps: expected a whole number at least 1, found 0"),
        ({"steps": None}, "steps: expected a whole number at least 1, found None"),
        ({"side": 40}, "side: expected a whole number at least 32, a multiple of 16, found 40"),
        ({"rate": 0.0}, "rate: expected a number over 0, found 0.0"),
        ({"rate": float("nan")}, "rate: expected a number over 0, found nan"),
        ({"rate": float("inf")}, "rate: expected a number over 0, found inf"),
        ({"rate": False}, "rate: expected a number over 0, found False"),
        ({"rate": 10**400}, f"rate: expected a number over 0, found 1{58 * '0'}…"),
        ({"range_": 5}, "range_: expected a list of 2, found 5"),
        ({"on": 1}, "on: expected true or false, found 1"),
        ({"level": "early"}, "level: expected one of raw, late, found 'early'"),
        ({"level": ["raw"]}, "level: expected one of raw, late, found ['raw']"),
        ({"limit": 1}, "limit: expected a whole number at least 2 or null, found 1"),
        ({"range_": [1.0]}, "range_: expected a list of 2, found [1.0]"),
        ({"range_": [0.0, "1"]}, "range_[1]: expected a number, found '1'"),
        ({"inner": []}, "inner: expected an object, found []"),
        ({"inner": {"share": 2}}, "inner.share: expected a number from 0 to 1, found 2"),
        ({"inner": {"names": "ab"}}, "inner.names: expected a list, found 'ab'"),
        ({"inner": {"names": [1]}}, "inner.names[0]: expected a text, found 1"),
        ({"inner": {"shear": 1}}, "inner.shear: expected one of the fields share, names, found 'shear'"),
        ({"shares": {"x/y": -1}}, "shares['x/y']: expected a number from 0 to 1, found -1"),
        ({"shares": [["a", 1]]}, "shares: expected an object, found [['a', 1]]"),
        ({"curves": {"c": [1, None]}}, "curves.c[1]: expected a number, found None"),
        ({"nested": {"a": [["b", 1]]}}, "nested.a: expected an object, found [['b', 1]]"),
        ({"many": [{}, {"share": -1}]}, "many[1].share: expected a number from 0 to 1, found -1"),
        ({"mixed": {"i": 1.5}}, "mixed.i: expected a whole number or a text or null, found 1.5"),
        ({"name": 3}, "name: expected lower-case letters, found 3"),
        ({"name": "A"}, "name: expected lower-case letters, found 'A'"),
        ({"name": "X" * 100}, f"name: expected lower-case letters, found '{'X' * 58}…"),
        ({"steps": 13}, "13 steps bring bad luck"),
        ({"steps": 14}, "inner.share: expected more than the steps, found 0.5"),
    ],
)
def test_what_a_field_cannot_take_is_refused_with_its_path(changes, said):
    with pytest.raises(SettingsError) as caught:
        Outer(**{"steps": 1, **changes})
    assert str(caught.value) == said
    with pytest.raises(ValueError) as caught:
        Outer.from_values({"steps": 1, **changes}, "--config")
    assert str(caught.value) == f"--config: {said}"


def test_several_errors_are_one_message_which_names_the_file(tmp_path):
    path = tmp_path / "outer.json"
    path.write_text('{"rate": "1", "inner": {"share": 3, "names": [1]}}')
    with pytest.raises(ValueError) as caught:
        Outer.read(str(path), "the settings")
    assert str(caught.value) == (
        f"{path}: steps: expected a whole number at least 1, found nothing; rate: expected a number over 0, found '1'; "
        "inner.share: expected a number from 0 to 1, found 3; inner.names[0]: expected a text, found 1"
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("[]", "--set: expected an object, found []"),
        ("null", "--set: expected an object, found None"),
        ("{", "--set: expected JSON, found '{'"),
        ("[" * 100_000, "--set: expected JSON, found '[[["),
        ('{"steps": ' + "9" * 5000 + "}", "--set: expected JSON, found '{"),
        ('{"self": 1}', "--set: steps: expected a whole number at least 1, found nothing; self: expected one"),
        ('{"steps": 1, "rate": NaN}', "--set: expected JSON, found NaN"),
        ('{"steps": 1, "rate": -Infinity}', "--set: expected JSON, found -Infinity"),
    ],
)
def test_what_is_no_json_object_is_refused(text, said):
    with pytest.raises(ValueError) as caught:
        Outer.from_json(text, "--set")
    assert str(caught.value).startswith(said)


def test_a_file_makes_the_round_trip_and_may_be_missing_or_too_large(tmp_path, monkeypatch):
    path = str(tmp_path / "outer.json")
    with pytest.raises(ValueError, match="outer.json: the settings is missing"):
        Outer.read(path, "the settings")
    FULL.write(path)
    assert Outer.read(path, "the settings") == FULL
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 100)
    with pytest.raises(ValueError, match="outer.json: the settings is over 100 bytes"):
        Outer.read(path, "the settings")


def test_settings_are_frozen_and_replaced_with_the_same_checks():
    with pytest.raises(TypeError, match="immutable"):
        FULL.steps = 4
    changed = FULL.replace(steps=4, inner=FULL.inner.replace(share=0))
    assert (changed.steps, changed.inner.share, changed.inner.names) == (4, 0.0, ("a", "b")) and FULL.steps == 3
    assert changed.level == FULL.level
    with pytest.raises(SettingsError, match="^steps: expected a whole number at least 1, found 0$"):
        FULL.replace(steps=0)
    with pytest.raises(SettingsError, match="^step: expected one of the fields steps, "):
        FULL.replace(step=1)


def test_values_may_be_given_by_place_but_once():
    assert Inner(0.25, ("a",)) == Inner(share=0.25, names=("a",))
    with pytest.raises(TypeError, match="given twice: share"):
        Inner(0.25, share=0.5)
    with pytest.raises(TypeError, match="2 fields, got 3"):
        Inner(0.25, (), 3)


def test_settings_need_no_tensorflow():
    program = "import sys; from faketagger.components.contract import settings; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"False\n"
