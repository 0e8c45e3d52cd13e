"""Imports point one way, without a circle, and TFX stays at the edge: read from the code's own imports."""

import ast
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "faketagger"
FOLDERS = ("components", "pipelines", "serving", "benchmarks")

# What each part may import besides itself.
MAY_IMPORT = {
    "components.contract": (),
    "components.perturbations": ("components.contract", "components.faces"),
    "components.example_gen": ("components.contract", "components.faces"),
    "components.faces": ("components.contract",),
    "components.layers": ("components.contract",),
    "components.simulator": (
        "components.contract",
        "components.faces",
        "components.layers",
        "components.perturbations",
    ),
    "components.tagger": (
        "components.contract",
        "components.faces",
        "components.layers",
        "components.perturbations",
        "components.simulator",
    ),
    "components.evaluator": (
        "components.contract",
        "components.perturbations",
        "components.example_gen",
        "components.simulator",
    ),
    "components.newest": ("components.contract",),
    "components.pusher": ("components.contract",),
    "pipelines": ("components", "serving"),
    "serving.commands": ("components.contract", "serving"),
    "serving.platform": (
        "components.contract",
        "serving.client",
        "serving.errors",
        "serving.decoding",
        "serving.limits",
        "serving.outcomes",
        "serving.web",
    ),
    "serving": ("components.contract", "components.faces", "components.tagger.channel_decoder"),
    "benchmarks": ("components", "serving", "pipelines.presets"),
}
# The rooms within a part, in tiers: one imports from itself and from earlier tiers. What is not named is in the last.
TIERS = {
    "components.simulator": (
        ("artifact", "landmark_swap", "tools"),
        ("library",),
        ("generators",),
        ("config",),
        ("quality",),
        ("packing",),
        ("foreign", "training"),
    ),
    "components.evaluator": (("config",), ("measure",), ("verdict",), ("report",), ("evaluate",)),
}
# Packages that some rooms alone import.
ROOMS_OF_PACKAGES = {
    "imagehash": ("serving.platform",),
    "prometheus_client": ("serving.rest",),
    "python_multipart": ("serving.platform",),
    "sqlalchemy": ("serving.platform", "benchmarks"),
    "starlette": ("serving.platform", "serving.rest", "serving.web"),
    "uvicorn": ("serving.web",),
}
TFX_MODULES = {"component", "executor", "artifact"}


class Import(NamedTuple):
    """One import of one name: where it stands, and what it may mean, the likeliest first."""

    line: int
    names: list[str]


def imports_of(path: pathlib.Path, module: str) -> Iterator[Import]:
    """Every import of a file, those within functions too; `module` is its dotted name, for relative ones."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, [alias.name])
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(node.lineno, [f"{origin}.{alias.name}", origin])


def modules_of(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The project's modules by dotted name below the package: `components.contract.images`."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _within(module: str, part: str) -> bool:
    return module == part or module.startswith(f"{part}.")


def part_of(module: str) -> str | None:
    """The entry of MAY_IMPORT that a module belongs to; None for the packages above them."""
    return next((part for part in MAY_IMPORT if _within(module, part)), None)


def _tier(module: str, part: str) -> int:
    room = _room(module, part)
    return next((tier for tier, rooms in enumerate(TIERS[part]) if room in rooms), len(TIERS[part]))


def _room(module: str, part: str) -> str:
    return module[len(part) + 1 :].split(".")[0]


def may_import(importer: str, imported: str) -> bool:
    """Whether the direction of imports allows it."""
    part, other = part_of(importer), part_of(imported)
    if other is None or part is None:
        return part == other
    if part != other:
        return any(_within(imported, allowed) for allowed in MAY_IMPORT[part])
    if part not in TIERS or _room(importer, part) == _room(imported, part):
        return True
    of_importer, of_imported = _tier(importer, part), _tier(imported, part)
    return of_imported < of_importer or of_importer == of_imported == len(TIERS[part])


def violations(root: pathlib.Path) -> list[str]:
    """A line `file:line: what is wrong` for each import that must not be, and one for each circle."""
    modules = modules_of(root)
    found, edges = [], {module: {} for module in modules}
    for module, path in modules.items():
        for each in imports_of(path, f"{PACKAGE}.{module}"):
            where = f"{path.relative_to(root)}:{each.line}"
            if each.names[0].split(".")[0] == "tfx" and not _may_use_tfx(module):
                found.append(f"{where}: imports TFX")
            package = each.names[0].split(".")[0]
            rooms = ROOMS_OF_PACKAGES.get(package)
            if rooms and not any(_within(module, room) for room in rooms):
                found.append(f"{where}: only {' and '.join(rooms)} may import {package}")
            inside = [name[len(PACKAGE) + 1 :] for name in each.names if name.startswith(f"{PACKAGE}.")]
            if not inside:
                continue
            imported = next((name for name in inside if name in modules), inside[0])
            if imported in modules:
                edges[module].setdefault(imported, where)
            if not may_import(module, imported):
                found.append(f"{where}: {module} must not import {imported}")
    return found + [_told(circle, edges) for circle in circles({module: set(to) for module, to in edges.items()})]


def _may_use_tfx(module: str) -> bool:
    return _within(module, "pipelines") or module.split(".")[-1] in TFX_MODULES


def _told(circle: list[str], edges: dict[str, dict[str, str]]) -> str:
    steps = zip(circle, [*circle[1:], circle[0]])
    return "circle: " + ", ".join(f"{edges[one][other]} imports {other}" for one, other in steps)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The circles that a search in depth meets, each from where it was entered; none where there is none."""
    found, done = [], set()

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append(trail[trail.index(module) :])
        elif module not in done:
            for other in sorted(edges[module]):
                visit(other, [*trail, module])
            done.add(module)

    for module in sorted(edges):
        visit(module, [])
    return found


def test_imports_point_one_way_without_a_circle_and_tfx_stays_at_the_edge():
    assert violations(ROOT) == []


def test_every_module_belongs_to_a_part():
    without = {module for module in modules_of(ROOT) if part_of(module) is None}
    assert without == {"components"}


@pytest.fixture
def tree(tmp_path):
    """Writes a file of a made project, and says what is wrong with the whole."""

    def write(name, *lines):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))
        return violations(tmp_path)

    write("components/contract/images.py")
    write("components/perturbations/jpeg.py", "from faketagger.components.contract import images")
    write("components/simulator/generators/base.py", "from faketagger.components.perturbations.jpeg import Jpeg")
    write("components/simulator/quality/judge.py", "import faketagger.components.simulator.generators.base")
    write("components/tagger/networks.py", "import tensorflow as tf")
    write("components/tagger/component.py", "from tfx.types import channel", "from . import networks")
    assert write("pipelines/pipeline.py", "import tfx", "from faketagger.components.tagger import component") == []
    return write


@pytest.mark.parametrize(
    "name, line, told",
    [
        (
            "components/contract/files.py",
            "from faketagger.components.perturbations import jpeg",
            "components.contract.files must not import components.perturbations.jpeg",
        ),
        (
            "components/contract/files.py",
            "from ..perturbations.jpeg import Jpeg",
            "components.contract.files must not import components.perturbations.jpeg",
        ),
        (
            "components/evaluator/evaluate.py",
            "import faketagger.components.tagger.networks",
            "components.evaluator.evaluate must not import components.tagger.networks",
        ),
        (
            "components/simulator/generators/stargan.py",
            "from faketagger.components.simulator.quality.judge import Judge",
            "components.simulator.generators.stargan must not import components.simulator.quality.judge",
        ),
        (
            "components/tagger/training.py",
            "from faketagger.pipelines import pipeline",
            "components.tagger.training must not import pipelines.pipeline",
        ),
        (
            "serving/client.py",
            "from faketagger.components.perturbations import jpeg",
            "serving.client must not import components.perturbations.jpeg",
        ),
        (
            "serving/platform/service.py",
            "from faketagger.serving.commands import common",
            "serving.platform.service must not import serving.commands.common",
        ),
        (
            "serving/client.py",
            "from faketagger.serving.platform import tagger",
            "serving.client must not import serving.platform.tagger",
        ),
        ("serving/client.py", "import uvicorn", "only serving.web may import uvicorn"),
        (
            "serving/client.py",
            "from starlette.requests import Request",
            "only serving.platform and serving.rest and serving.web may import starlette",
        ),
        ("components/tagger/training.py", "from tfx.dsl import io", "imports TFX"),
        ("serving/server.py", "import tfx.v1 as tfx", "imports TFX"),
    ],
)
def test_an_import_that_must_not_be_is_found_with_its_file_and_line(tree, name, line, told):
    assert tree(name, "", f"def late():\n    {line}") == [f"{name}:3: {told}"]


def test_a_circle_is_found_with_the_imports_that_close_it(tree):
    tree("components/contract/files.py", "from faketagger.components.contract import images")
    found = tree("components/contract/images.py", "", "from faketagger.components.contract import files")
    assert len(found) == 1
    assert found[0].startswith("circle: ")
    assert "components/contract/images.py:2 imports components.contract.files" in found[0]
    assert "components/contract/files.py:1 imports components.contract.images" in found[0]
