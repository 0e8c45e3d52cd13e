"""`--set section.field=value`: changes fields of a preset from the command line."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from faketagger.components.contract.settings import Settings, Unexpected, shown

_S = TypeVar("_S", bound=Settings)


def apply(config: _S, settings: Sequence[str]) -> _S:
    """A copy of settings with fields replaced: all at once, for fields that must agree with each other.

    Args:
      config: the settings.
      settings: each `field=value` or `section.field=value`; the value is JSON, or else taken as text.

    Raises:
      ValueError: no such field, or a value that it cannot take.
    """
    if not settings:
        return config
    draft = dict(config.__dict__)
    for setting in settings:
        path, separator, text = setting.partition("=")
        if not separator:
            raise ValueError(f"--set {setting}: expected section.field=value, found {shown(setting)}")
        try:
            *sections, name = path.split(".")
            _inside(draft, sections)[name] = _value(text)
        except Unexpected as error:
            raise ValueError(f"--set {setting}: {path}: {error}") from None
    return type(config).from_values(draft, f"--set {' '.join(settings)}")


def _inside(draft: dict[str, Any], sections: Sequence[str]) -> dict[str, Any]:
    """The section at the end of a path; those on the way to it become drafts in their turn."""
    for name in sections:
        section = draft.get(name)
        if not isinstance(section, (Settings, dict)):
            there = [each for each, value in draft.items() if isinstance(value, (Settings, dict))]
            raise Unexpected(f"one of the sections {', '.join(there) or '(none)'}", name)
        draft[name] = dict(section.__dict__ if isinstance(section, Settings) else section)
        draft = draft[name]
    return draft


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
