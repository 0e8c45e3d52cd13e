"""`--set section.field=value`: changes one field of a preset from the command line."""

import dataclasses
import json
from typing import Any, Sequence


def apply(config: Any, settings: Sequence[str]) -> Any:
    """A copy of a (nested) dataclass with fields replaced.

    Args:
      config: the dataclass.
      settings: each `field=value` or `section.field=value`; the value is JSON, or else taken as text.

    Raises:
      ValueError: no such field, or a value of another type than the field's.
    """
    for setting in settings:
        path, separator, text = setting.partition("=")
        if not separator:
            raise ValueError(f"--set {setting}: expected section.field=value")
        config = _replace(config, path.split("."), _value(text), setting)
    return config


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _replace(config: Any, path: Sequence[str], value: Any, setting: str) -> Any:
    known = [field.name for field in dataclasses.fields(config)]
    if path[0] not in known:
        raise ValueError(f"--set {setting}: no field '{path[0]}'; there are {', '.join(known)}")
    old = getattr(config, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(old):
            raise ValueError(f"--set {setting}: '{path[0]}' has no fields of its own")
        value = _replace(old, path[1:], value, setting)
    elif isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    elif old is not None and not isinstance(value, type(old)):
        raise ValueError(f"--set {setting}: expected {type(old).__name__}, got {type(value).__name__}")
    try:
        return dataclasses.replace(config, **{path[0]: value})
    except ValueError as error:
        raise ValueError(f"--set {setting}: {error}") from None
