"""What evaluator modules hand each other says of which fields it is: no mapping of names to anything."""

import ast
import re

import pytest

from faketagger.tests import helpers

EVALUATOR = helpers.ROOT / "components" / "evaluator"
ANYTHING = re.compile(r"(?i)(dict|mapping)\[str, (any|object)\]")
# TFX says what an executor takes.
MODULES = sorted(path for path in EVALUATOR.rglob("*.py") if path.name != "executor.py")


def _untyped(node):
    """The annotations and aliases, outside private functions, that map names to anything."""
    if isinstance(node, ast.FunctionDef) and node.name.startswith("_") and not node.name.startswith("__"):
        return []
    found = [ast.unparse(node)] if isinstance(node, ast.Subscript) else []
    found += [each for child in ast.iter_child_nodes(node) for each in _untyped(child)]
    return [each for each in found if ANYTHING.fullmatch(each)]


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(EVALUATOR)) for path in MODULES])
def test_no_mapping_of_names_to_anything_goes_from_module_to_module(path):
    assert _untyped(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_such_a_mapping_is_found_in_arguments_results_fields_and_aliases():
    source = (
        "Evaluation = dict[str, Any]\n"
        "def decide(evaluation: Dict[str, Any]) -> list[Mapping[str, object]]: ...\n"
        "def _private(values: dict[str, Any]): ...\n"
        "class Known:\n    figures: dict[str, Any] | None\n    names: dict[str, str]\n"
    )
    found = ["dict[str, Any]", "Dict[str, Any]", "Mapping[str, object]", "dict[str, Any]"]
    assert _untyped(ast.parse(source)) == found
