"""A tagger of patterns, and the commands run in this process."""

import importlib

import pytest

from faketagger.serving.commands import common
from faketagger.tests import helpers, stubs


@pytest.fixture(scope="session")
def pattern_model(tmp_path_factory):
    """The directory of a PatternTagger."""
    path = str(tmp_path_factory.mktemp("pattern") / "tagger")
    stubs.save_pattern_tagger(path)
    return path


def _run(name, *arguments):
    """A command's exit status, in this process."""
    command = importlib.import_module(f"faketagger.serving.commands.{name}")
    return command.run(command.make_parser().parse([name, *arguments]))


@pytest.fixture
def faketagger(tmp_path, monkeypatch, capsys):
    """Runs a command line in a folder of one picture with an empty home; returns exit code, stdout and stderr."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(common.KEY_FILE_VARIABLE, raising=False)
    monkeypatch.delenv(common.SERVER_VARIABLE, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with open("in.jpg", "wb") as file:
        file.write(helpers.smooth_file("JPEG", quality=95))

    def run(*arguments):
        try:
            code = _run(*arguments)
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
