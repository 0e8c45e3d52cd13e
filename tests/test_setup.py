"""The set-up script, the Makefile and the package's metadata, without installing anything."""

import importlib
import os
import pathlib
import re
import runpy
import shutil
import subprocess

import pytest
import setuptools
from packaging import requirements

ROOT = pathlib.Path(__file__).resolve().parents[1]
INPUTS = (".ci/setup", "setup.py", "pyproject.toml", "requirements.lock")

# Stands for Python 3.10: writes down what it is asked, and makes an environment that is a copy of itself.
FAKE_PYTHON = """#!/bin/bash
[ "$1" = -c ] && exit 0
echo "$*" >> "$CALLS"
[ -n "${FAIL_ON:-}" ] && [[ "$*" == *"$FAIL_ON"* ]] && exit 7
[ "$2" = venv ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
exit 0
"""


class Checkout:
    """A copy of what the set-up reads, with a PATH that has no Python and no uv but those put there."""

    def __init__(self, directory):
        self.directory = directory
        self.calls_file = directory / "calls"
        self.bin = directory / "bin"
        self.bin.mkdir()
        for tool in ("bash", "cat", "cksum", "cp", "dirname", "mkdir", "rm"):
            (self.bin / tool).symlink_to(shutil.which(tool))
        for name in INPUTS:
            (directory / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / "tree" / name)

    def put(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)
        return str(self.bin / name)

    def set_up(self, **variables):
        environment = {"PATH": str(self.bin), "HOME": str(self.directory), "CALLS": str(self.calls_file), **variables}
        command = ["bash", "tree/.ci/setup"]
        return subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True)

    @property
    def calls(self):
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []

    @property
    def stamp(self):
        return self.directory / "tree" / ".venv" / ".set-up"


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_the_set_up_makes_an_environment_of_the_pinned_packages_and_the_project(checkout):
    checkout.put("python3.10", FAKE_PYTHON)
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    venv, locked, project, check = checkout.calls
    assert venv == "-m venv .venv"
    assert locked.startswith("-m pip install") and locked.endswith("-r requirements.lock")
    assert "--no-deps" in project and project.endswith("--editable .")
    assert check == "-m pip check"
    assert checkout.stamp.exists()


def test_a_second_set_up_does_nothing(checkout):
    checkout.put("python3.10", FAKE_PYTHON)
    checkout.set_up()
    before = checkout.calls, checkout.stamp.read_bytes(), checkout.stamp.stat().st_mtime_ns
    again = checkout.set_up()
    assert again.returncode == 0 and again.stdout == "" and again.stderr == ""
    assert (checkout.calls, checkout.stamp.read_bytes(), checkout.stamp.stat().st_mtime_ns) == before


@pytest.mark.parametrize("name", INPUTS)
def test_a_change_of_what_it_depends_on_sets_up_anew(checkout, name):
    checkout.put("python3.10", FAKE_PYTHON)
    checkout.set_up()
    with open(checkout.directory / "tree" / name, "a") as file:
        file.write("\n# changed\n")
    checkout.set_up()
    assert checkout.calls.count("-m venv .venv") == 2


def test_an_environment_whose_python_is_gone_is_made_anew(checkout):
    checkout.put("python3.10", FAKE_PYTHON)
    checkout.set_up()
    (checkout.directory / "tree" / ".venv" / "bin" / "python").unlink()
    checkout.set_up()
    assert checkout.calls.count("-m venv .venv") == 2


@pytest.mark.parametrize("step", ["-m venv", "requirements.lock", "--editable", "pip check"])
def test_a_set_up_that_failed_fails_and_begins_anew_the_next_time(checkout, step):
    checkout.put("python3.10", FAKE_PYTHON)
    assert checkout.set_up(FAIL_ON=step).returncode != 0
    assert not checkout.stamp.exists()
    assert checkout.set_up().returncode == 0
    assert checkout.calls.count("-m venv .venv") == 2 and checkout.stamp.exists()


def test_a_shim_that_fails_is_passed_over_for_pyenvs_own_version(checkout):
    checkout.put("python3.10", "#!/bin/bash\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n")
    version = checkout.directory / ".pyenv" / "versions" / "3.10.9" / "bin" / "python"
    version.parent.mkdir(parents=True)
    shutil.copy(checkout.put("fake", FAKE_PYTHON), version)
    done = checkout.set_up()
    assert done.returncode == 0 and str(version) in done.stdout


def test_a_named_python_goes_first(checkout):
    checkout.put("python3.10", FAKE_PYTHON)
    named = checkout.put("named", FAKE_PYTHON)
    assert named in checkout.set_up(PYTHON=named).stdout


def test_uv_is_asked_where_there_is_no_python(checkout):
    managed = checkout.put("managed", FAKE_PYTHON)
    checkout.put("uv", f'#!/bin/bash\n[ "$2" = find ] && echo {managed}\nexit 0\n')
    done = checkout.set_up()
    assert done.returncode == 0 and managed in done.stdout


def test_without_any_python_one_line_says_what_to_do(checkout):
    done = checkout.set_up()
    assert done.returncode != 0 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "make setup PYTHON=" in done.stderr


def _what_make_would_do(*arguments):
    command = ["make", "--dry-run", "--always-make", *arguments]
    # A make that runs these tests would hand its own flags on, and each make under another announces its directory.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize(
    "target, does",
    [
        ("run", "pipelines/run_local.py"),
        ("test", "-m pytest"),
        ("test-fast", '--no-loadscope-reorder -m "not slow"'),
        ("lint", "-m mypy"),
        ("setup", ".ci/setup"),
    ],
)
def test_the_makefile_sets_up_before_each_job(target, does):
    lines = _what_make_would_do(target)
    assert ".ci/setup" in lines[0] and does in lines[-1]


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_alone_runs_the_pipeline_and_hands_arguments_on():
    assert "pipelines/run_local.py --preset=smoke" in _what_make_would_do("RUN_ARGS=--preset=smoke")[-1]
    assert (
        "-m pytest -n 2 --dist=loadfile --no-loadscope-reorder -k gate"
        in _what_make_would_do("test", "TEST_ARGS=-k gate")[-1]
    )


def test_the_ci_script_is_executable_and_runs_lint_then_the_tests_with_what_took_longest():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-2:] == ["make lint", "make test"] and "export TEST_ARGS=--durations=15" in lines


@pytest.fixture(scope="module")
def packaged():
    """What setup.py hands to setuptools."""
    captured = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(ROOT)
        patched.setattr(setuptools, "setup", captured.update)
        runpy.run_path("setup.py")
    return captured


def test_every_folder_with_modules_is_packaged(packaged):
    parents = {
        path.parent.relative_to(ROOT)
        for folder in ("components", "pipelines", "serving")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {".".join(["faketagger", *parent.parts]) for parent in parents} <= set(packaged["packages"])


def test_the_console_script_is_the_one_command(packaged):
    (script,) = packaged["entry_points"]["console_scripts"]
    name, _, path = script.partition("=")
    module, _, function = path.partition(":")
    assert name == "faketagger" and callable(getattr(importlib.import_module(module), function))


def test_every_requirement_is_pinned_to_a_version_that_it_allows(packaged):
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = dict(re.match(r"([A-Za-z0-9._-]+)==(\S+)", line).groups() for line in lines if re.match(r"[A-Za-z]", line))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    extras = packaged["extras_require"]
    for text in packaged["install_requires"] + extras["dask"] + extras["test"] + extras["lint"]:
        requirement = requirements.Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name.lower().replace("_", "-")]), text


def test_the_lock_names_no_package_index():
    assert not re.search(r"https?://|--index|--extra-index|--find-links", (ROOT / "requirements.lock").read_text())
