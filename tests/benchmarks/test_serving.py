"""The benchmarks of serving, on a tiny tagger: what they print is of the calls that they made."""

import importlib
import re

import pytest

from faketagger.tests.serving.helpers import save_stub_tagger

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("stub") / "tagger")
    save_stub_tagger(path)
    return path


def _run(name, capsys, *arguments):
    program = importlib.import_module(f"faketagger.benchmarks.{name}")
    status = program.main(program.make_parser().parse([name, *arguments]))
    return status, capsys.readouterr().out.splitlines()


def test_load_is_told_by_batch_and_by_clients(model, capsys):
    flags = (f"--model={model}", "--seconds=0.2", "--sides", "64", "--clients", "1", "3")
    status, lines = _run("serving_load", capsys, *flags)
    rows = [re.split(r" *\| *", line.strip("| ")) for line in lines if re.match(r"\| (read|tag)", line)]
    kinds = ("read", "read, untagged", "tag")
    assert status == 0
    assert [row[:3] for row in rows] == [
        *([name, "64", batch] for name in kinds for batch in ("1", "4", "16")),
        *([name, "64", clients] for name in kinds for clients in ("1", "3")),
    ]
    assert all(float(row[3]) > 0 for row in rows)


def test_what_would_stop_a_server_is_refused(model, capsys):
    harm = importlib.import_module("faketagger.benchmarks.attacks.harm_server")
    assert harm.main(harm.make_parser().parse(["harm_server", f"--model={model}"])) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["half_open", "broken", "bomb", "scans", "sizes"]
    assert all(row[-1] == "goes on" for row in rows)
    assert all("INVALID_ARGUMENT" in row[1] for row in rows[1:])
