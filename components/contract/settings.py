"""The base of every config, manifest and record: typed, frozen, checked when made, one line of JSON (docs/design.md).

One strictness for all: no unknown fields, "8" and True are no 8, NaN and infinity are no numbers; a list is taken for a
tuple, as JSON has none, and a whole number for a float. One form of error for all:
`<file or flag>: <field>: expected <what>, found <value>`, several of them joined by "; ".
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import pydantic
from pydantic import Field, error_wrappers, errors, fields, root_validator, typing, validator

# What a class of settings is written with.
__all__ = ["Field", "Settings", "SettingsError", "Unexpected", "parse_json", "root_validator", "shown", "validator"]

_S = TypeVar("_S", bound="Settings")
_SHOWN_CHARACTERS = 60
_TUPLES = {fields.SHAPE_TUPLE, fields.SHAPE_TUPLE_ELLIPSIS, fields.SHAPE_LIST, fields.SHAPE_SEQUENCE}
_KEY = "__key__"  # In pydantic's locations: a mapping's key, not its value.
_BOUNDS = (("ge", "at least"), ("gt", "over"), ("le", "at most"), ("lt", "under"))


class Unexpected(ValueError):
    """A value that a field cannot take; for validators: `raise Unexpected("a power of two", value)`.

    Root validators, which look at several fields, say which `field` it is.
    """

    def __init__(self, expected: str, found: Any, field: str = ""):
        self.expected, self.found, self.field = expected, found, field
        super().__init__(_said(field, f"expected {expected}, found {shown(found)}"))


class SettingsError(pydantic.ValidationError):
    """Values that settings cannot take; a ValueError. The message names every field, what was expected and found.

    Attributes:
      where: the file or flag that the values come from; "" where they come from Python.
    """

    def __init__(self, raw_errors: Sequence[Any], model: Any, where: str = ""):
        super().__init__(raw_errors, model)
        self.where = where

    def __str__(self) -> str:
        before = f"{self.where}: " if self.where else ""
        found = []
        for each in self.errors():
            path = _path(each["loc"])
            found.append(f"{path}: {each['msg']}" if path else each["msg"])
        return before + "; ".join(found)

    def at(self, where: str) -> "SettingsError":
        """The same of a file or flag."""
        return SettingsError(self.raw_errors, self.model, where)


class Settings(pydantic.BaseModel):
    """Base of typed settings: declare fields with Field(ge=…, le=…) for bounds; a bound on a tuple or mapping is its
    values'. Field(description=…) says what is expected where the type and the bounds do not.

    Arguments may be given by place, in the fields' order.

    Raises:
      SettingsError: a field missing, unknown, of another type or out of its bounds, or a validator's ValueError.
    """

    class Config:
        frozen = True
        extra = pydantic.Extra.forbid
        smart_union = True
        copy_on_model_validation = "none"

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for field in cls.__fields__.values():
            _make_strict(field)

    def __init__(self, /, *values: Any, **named: Any):
        if len(values) > len(self.__fields__):
            raise TypeError(f"{type(self).__name__} has {len(self.__fields__)} fields, got {len(values)} values")
        by_place = dict(zip(self.__fields__, values))
        if set(by_place) & set(named):
            raise TypeError(f"{type(self).__name__}: given twice: {', '.join(sorted(set(by_place) & set(named)))}")
        try:
            super().__init__(**by_place, **named)
        except pydantic.ValidationError as error:
            raise SettingsError([self._explained(each) for each in error.raw_errors], type(self)) from None

    @classmethod
    def _explained(cls, error: Any) -> Any:
        """pydantic's error of a missing or unknown field as ours, and a root validator's as that of its field."""
        if not isinstance(error, error_wrappers.ErrorWrapper):
            return error
        name = str(error.loc_tuple()[0])
        path = [name]
        if isinstance(error.exc, errors.MissingError):
            unexpected = ValueError(f"expected {_expected(cls.__fields__[name])}, found nothing")
        elif isinstance(error.exc, errors.ExtraError):
            unexpected = Unexpected(f"one of the fields {', '.join(cls.__fields__)}", name)
        elif isinstance(error.exc, Unexpected) and error.exc.field:
            path, unexpected = error.exc.field.split("."), Unexpected(error.exc.expected, error.exc.found)
        else:
            return error
        return error_wrappers.ErrorWrapper(unexpected, loc=tuple(path))

    def replace(self: _S, **changes: Any) -> _S:
        """The same settings with some fields changed; checked as on construction."""
        return type(self)(**{**self.__dict__, **changes})

    def to_json(self) -> str:
        """One line, the same for the same values, so that TFX's cache knows it again."""
        return json.dumps(self.dict(), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls: type[_S], text: str, where: str = "") -> _S:
        """The reverse of to_json; fields left out take their defaults.

        Args:
          text: a JSON object.
          where: what to call it in errors: a file or a flag.

        Raises:
          SettingsError: as on construction. ValueError, in the same form: not JSON, or no object.
        """
        return cls.from_values(parse_json(text, where), where)

    @classmethod
    def from_values(cls: type[_S], values: Any, where: str = "") -> _S:
        """As from_json, of parsed JSON."""
        if not isinstance(values, dict):
            raise ValueError(_said(where, f"expected an object, found {shown(values)}"))
        try:
            return cls(**values)
        except SettingsError as error:
            raise error.at(where) from None

    @classmethod
    def read(cls: type[_S], path: str, what: str) -> _S:
        """As from_json, of a file; errors name it, and `what` it should have been where it is missing or too large."""
        from faketagger.components.contract import files  # Imports TensorFlow, which most users of settings do without.

        return cls.from_values(files.read_json(path, what), path)

    def write(self, path: str) -> None:
        """Writes the settings as indented JSON, replacing what is there in one step."""
        from faketagger.components.contract import files

        files.write_json(path, self.dict())


class _Constant(ValueError):
    """NaN or infinity, already said."""


def parse_json(text: str, where: str = "") -> Any:
    """JSON's value; ValueError, in the form of SettingsError, for what is none: NaN and infinity are none."""

    def refuse(constant: str) -> None:
        raise _Constant(_said(where, f"expected JSON, found {constant}"))

    try:
        return json.loads(text, parse_constant=refuse)
    except _Constant:
        raise
    except (ValueError, RecursionError) as error:  # Also numbers of thousands of digits, and lists deep in one another.
        raise ValueError(_said(where, f"expected JSON, found {shown(text)} ({error})")) from None


def shown(value: Any) -> str:
    """A value as errors show it: its repr, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _said(where: str, message: str) -> str:
    return f"{where}: {message}" if where else message


def _path(location: Any) -> str:
    """pydantic's location of a field as Python would write it: gate.fmrr_overrides['a/b'], sweeps.jpeg[0]."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in (pydantic.utils.ROOT_KEY, _KEY):
            path += f".{part}" if str(part).isidentifier() else f"[{part!r}]"
    return path.removeprefix(".")


def _make_strict(field: fields.ModelField) -> None:
    """Puts _check before pydantic's own, lenient, validators of a field and of all that is inside it."""
    if _check not in (field.pre_validators or []):
        field.pre_validators = [_check, *(field.pre_validators or [])]
    for inner in (field.key_field, *(field.sub_fields or [])):
        if inner is not None:
            _make_strict(inner)


def _check(_cls: Any, value: Any, _values: dict[str, Any], field: fields.ModelField, _config: Any) -> Any:
    if not _takes(field, value):
        raise Unexpected(_expected(field), value)
    return value


def _takes(field: fields.ModelField, value: Any) -> bool:
    """Whether a value is of the field's type and in its bounds; what a collection holds is checked by its own field."""
    if value is None:
        return field.allow_none
    if field.shape in _TUPLES:
        if not isinstance(value, (list, tuple)):
            return False
        return field.shape != fields.SHAPE_TUPLE or len(field.sub_fields or ()) == len(value)
    if field.shape in fields.MAPPING_LIKE_SHAPES:
        return isinstance(value, dict)
    if field.sub_fields:
        return any(_takes(each, value) for each in field.sub_fields)
    kind = field.type_
    if typing.is_literal_type(kind):
        return any(value == each and type(value) is type(each) for each in typing.all_literal_values(kind))
    if not isinstance(kind, type):  # Any.
        return True
    if issubclass(kind, Settings):
        return isinstance(value, (dict, kind))
    if issubclass(kind, bool):
        return isinstance(value, bool)
    if issubclass(kind, int):
        return type(value) is int and _is_in_bounds(kind, value)
    if issubclass(kind, float):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and _is_finite(value) and _is_in_bounds(kind, value)
    if issubclass(kind, str):
        form = getattr(kind, "regex", None)
        return isinstance(value, str) and (form is None or re.fullmatch(form, value) is not None)
    return True


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # A whole number that is larger than any float.
        return False


def _is_in_bounds(kind: Any, value: float) -> bool:
    low, over, high, under, step = (getattr(kind, name, None) for name in ("ge", "gt", "le", "lt", "multiple_of"))
    return not (
        (low is not None and value < low)
        or (over is not None and value <= over)
        or (high is not None and value > high)
        or (under is not None and value >= under)
        or (step is not None and value % step)
    )


def _expected(field: fields.ModelField) -> str:
    """What a field takes, in words."""
    described = field.field_info.description
    if described is None:
        described = _type_in_words(field)
    return f"{described} or null" if field.allow_none else described


def _type_in_words(field: fields.ModelField) -> str:
    if field.shape == fields.SHAPE_TUPLE:
        return f"a list of {len(field.sub_fields or ())}"
    if field.shape in _TUPLES:
        return "a list"
    if field.shape in fields.MAPPING_LIKE_SHAPES:
        return "an object"
    if field.sub_fields:
        return " or ".join(_expected(each) for each in field.sub_fields)
    kind = field.type_
    if typing.is_literal_type(kind):
        return f"one of {', '.join(map(str, typing.all_literal_values(kind)))}"
    if not isinstance(kind, type) or kind is object:
        return "a value"
    for base, words in ((Settings, "an object"), (bool, "true or false"), (str, "a text")):
        if issubclass(kind, base):
            return words
    if issubclass(kind, (int, float)):
        return ("a whole number" if issubclass(kind, int) else "a number") + _bounds_in_words(kind)
    return f"a {kind.__name__}"


def _bounds_in_words(kind: Any) -> str:
    low, high = getattr(kind, "ge", None), getattr(kind, "le", None)
    if low is not None and high is not None:
        bounds = [f"from {low:g} to {high:g}"]
    else:
        bounds = [
            f"{words} {getattr(kind, name):g}" for name, words in _BOUNDS if getattr(kind, name, None) is not None
        ]
    if getattr(kind, "multiple_of", None) is not None:
        bounds.append(f"a multiple of {kind.multiple_of:g}")
    return " " + ", ".join(bounds) if bounds else ""
