"""`--set section.field=value`: changes fields of a preset from the command line."""

import dataclasses
import json
import types
import typing
from collections.abc import Sequence
from typing import Any


def apply(config: Any, settings: Sequence[str]) -> Any:
    """A copy of a (nested) dataclass with fields replaced: all at once, for fields that must agree with each other.

    Args:
      config: the dataclass.
      settings: each `field=value` or `section.field=value`; the value is JSON, or else taken as text.

    Raises:
      ValueError: no such field, a value of another type than the field's, or one that the dataclass refuses.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        path, separator, text = setting.partition("=")
        if not separator:
            raise ValueError(f"--set {setting}: expected section.field=value")
        *sections, name = path.split(".")
        section, section_changes = config, changes
        for each in sections:
            section = _field(section, each, setting)
            if not dataclasses.is_dataclass(section):
                raise ValueError(f"--set {setting}: '{each}' has no fields of its own")
            section_changes = section_changes.setdefault(each, {})
        _field(section, name, setting)
        section_changes[name] = _typed(_value(text), typing.get_type_hints(type(section))[name], setting)
    try:
        return _replace(config, changes)
    except ValueError as error:
        raise ValueError(f"--set {' '.join(settings)}: {error}") from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _field(section: Any, name: str, setting: str) -> Any:
    known = [field.name for field in dataclasses.fields(section)]
    if name not in known:
        raise ValueError(f"--set {setting}: no field '{name}'; there are {', '.join(known)}")
    return getattr(section, name)


def _typed(value: Any, hint: Any, setting: str) -> Any:
    """The value as the field's type has it: JSON knows neither tuples nor that 1 may be a float."""
    choices = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [typing.get_origin(choice) or choice for choice in choices]
    if type(value) in kinds:
        return value
    if float in kinds and type(value) is int:
        return float(value)
    if tuple in kinds and isinstance(value, list):
        return tuple(value)
    expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
    raise ValueError(f"--set {setting}: expected {expected}, got {type(value).__name__}")


def _replace(config: Any, changes: dict[str, Any]) -> Any:
    replaced = {
        name: _replace(getattr(config, name), change) if dataclasses.is_dataclass(getattr(config, name)) else change
        for name, change in changes.items()
    }
    return dataclasses.replace(config, **replaced)
