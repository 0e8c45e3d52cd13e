"""The pages for people: short where they promise to be, links that lead somewhere, nothing large, nothing outside."""

import ast
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md"), ROOT / "pretrained/tagger/README.md"]
)
MAX_README_LINES = 62
MAX_TEXT_BYTES = 512 * 1024  # Of any file but weights and pictures.


def _tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


def test_the_readme_is_a_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_inside_the_repository(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert "://" in target or (page.parent / target).resolve().is_relative_to(ROOT), target
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_pages_name_exist(page):
    """Names in backquotes that have a folder and an ending; what is made, or to be made as NAME, is not among them."""
    made = ("work/", "assets.extra/", "OUT/", "DIR/", "BASE/")
    bases = (ROOT, page.parent, ROOT / "components", ROOT / "components/simulator", ROOT / "components/evaluator")
    for name in re.findall(r"`([\w./]+/[\w.]+\.(?:py|md|txt|json|yaml|config|lock))`", page.read_text()):
        assert name.startswith(made) or "NAME" in name or any((base / name).exists() for base in bases), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_command_points_outside_the_repository(page):
    commands = [line for line in page.read_text().splitlines() if line.startswith("    ")]
    assert not [line for line in commands if re.search(r"(=|\s)(\.\./|/root|/home|/work)", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_pages_is_python(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        ast.parse(code)


def test_large_reports_stay_out_of_the_repository():
    tracked = _tracked()
    assert not [name for name in tracked if name.endswith(".html")]
    texts = [name for name in tracked if name.endswith((".md", ".json", ".ipynb", ".csv", ".txt", ".py"))]
    assert not [name for name in texts if (ROOT / name).stat().st_size > MAX_TEXT_BYTES]
