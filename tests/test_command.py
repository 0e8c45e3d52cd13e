"""The one command: what it offers, how quickly it answers, and the other ways to call the same code."""

import functools
import importlib
import subprocess
import sys

import pytest

from faketagger import __main__ as command
from faketagger.tests import helpers

# Runs a module as Python's -m does, and says last on standard error which heavy packages it has imported.
_RUN = """
import runpy, sys
module, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    heavy = {"tensorflow", "tfx", "apache_beam", "grpc", "galois", "sqlalchemy", "starlette"} & set(sys.modules)
    print(f"imported: {' '.join(sorted(heavy))}", file=sys.stderr)
"""
# The modules that are programs, and the command whose code they share.
_MODULES = {
    "faketagger.components.evaluator": "evaluate",
    "faketagger.components.evaluator.html_report": "report",
    "faketagger.components.simulator": "simulators",
    "faketagger.components.simulator.adapt": "adapt",
    "faketagger.pipelines.run_local": "run",
    "faketagger.pipelines.tag_collection": "archive",
}


@functools.cache
def _module(module, *arguments):
    """Exit status, stdout and stderr of a module that must import nothing heavy."""
    done = subprocess.run([sys.executable, "-c", _RUN, module, *arguments], capture_output=True, text=True, timeout=120)
    err, _, imported = done.stderr.rpartition("imported:")
    assert imported.strip() == ""
    return done.returncode, done.stdout, err


def _faketagger(*arguments):
    return _module("faketagger", *arguments)


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_without_a_command_all_are_listed_a_line_each(arguments):
    code, out, err = _faketagger(*arguments)
    assert (code, err) == (0, "")
    listed = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  "))
    assert listed == {name: sentence for name, (_, sentence) in command.COMMANDS.items()}


def test_the_commands_are_those_that_the_documentation_names():
    names = "tag read status keygen serve platform archive evaluate report adapt simulators run"
    assert list(command.COMMANDS) == names.split()


@pytest.mark.parametrize("name", command.COMMANDS)
def test_every_command_explains_itself_with_an_example_without_importing_anything_heavy(name):
    code, out, err = _faketagger(name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: faketagger {name} ")
    assert f"\n    faketagger {name} " in out or f"\n    faketagger {name}\n" in out
    assert "--verbosity" not in out and "--pdb" not in out


@pytest.mark.parametrize("name", ["read", "run"])
def test_a_flag_that_does_not_exist_ends_with_2_and_a_sentence(name):
    code, out, err = _faketagger(name, "--no_such_flag")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"faketagger {name}: ") and err.endswith(f"`faketagger {name} --help` says more\n")


def test_an_unknown_command_ends_with_2_and_the_names_of_those_there_are():
    code, out, err = _faketagger("nosuch", "--help")
    assert (code, out) == (2, "")
    assert err == f"faketagger: there is no command 'nosuch'; there are {', '.join(command.COMMANDS)}\n"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("tag", "in.jpg", "out.png"), "the following arguments are required: --uid"),
        (("tag", "in.jpg", "out.png", "--uid=many"), "invalid int value: 'many'"),
        (("read", "out.png", "--server=a", "--model=b"), "not allowed with argument"),
        (("status", "--port=1"), "--port"),
        (("serve", "--model_base_path=a", "--ssl_key_file=b"), "--ssl_key_file and --ssl_cert_file go together"),
        (("serve", "--model_base_path=a", "--max_message_mib=2048"), "goes from 1 to 2047"),
        (("serve",), "one of the arguments --model_base_path --model_config_file is required"),
        (("serve", "--model_base_path=a", "--model_config_file=b"), "not allowed with argument"),
        (
            ("serve", "--model_base_path=a", "--monitoring_config_file=b"),
            "_config_file needs --rest_api_port",
        ),
        (("serve", "--model_base_path=a", "--rest_api_port=8500"), "--rest_api_port cannot be --port"),
        (("platform", "account"), "account takes a name"),
        (("platform", "ann"), "invalid choice: 'ann' (choose from "),
        (("platform", "--uploads=0"), "argument --uploads: a number above 0"),
        (("archive", "photographs/"), "the following arguments are required: --out"),
        (("archive", "photographs/", "--out=a", "--register"), "--register takes a table with the column owner"),
        (("report", "--evaluation=a", "--out=b", "--model=c"), "a gallery takes --model and one of --images"),
        (("simulators", "--generator=gan"), "invalid choice: 'gan' (choose from "),
        (("adapt", "--value_range=1"), "argument --value_range"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(arguments, said, capsys):
    name, *given = arguments
    module, _ = command.COMMANDS[name]
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"faketagger.{module}").make_parser().parse([name, *given])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert captured.err.startswith(f"faketagger {name}: ") and said in captured.err


@pytest.mark.parametrize(
    "flag, said",
    [
        ("--preset=big", "--preset=big: value should be one of <demo|paper|scratch|shipped|smoke>"),
        ("--port=many", "--port=many"),
    ],
)
def test_a_value_that_a_run_does_not_take_ends_with_2_and_says_so(flag, said):
    code, out, err = _faketagger("run", flag)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("faketagger run: ") and said in err


def test_a_key_is_made_without_importing_anything_heavy(tmp_path):
    path = tmp_path / "my.key"
    code, out, err = _faketagger("keygen", str(path))
    assert (code, err) == (0, "") and out.startswith(f"{path}: made a new key")
    assert len(path.read_bytes().strip()) == len("faketagger-key-2-") + 64


def test_a_picture_that_cannot_be_tagged_is_told_without_importing_anything_heavy(tmp_path):
    missing, broken = tmp_path / "gone.jpg", tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    for path, status, said in ((missing, 1, "No such file or directory"), (broken, 5, "not a readable picture")):
        code, out, err = _faketagger("tag", str(path), str(tmp_path / "out.jpg"), "--uid=1")
        assert (code, out) == (status, "") and err.startswith(f"faketagger: {path}: {said}")


@pytest.mark.parametrize("module, name", _MODULES.items())
def test_the_modules_of_commands_are_programs_with_the_same_help(module, name):
    assert _module(module, "--help") == _faketagger(name, "--help")


def test_the_file_of_the_local_runner_is_a_program_with_the_same_help():
    done = subprocess.run(
        [sys.executable, "pipelines/run_local.py", "--help"],
        cwd=helpers.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == _faketagger("run", "--help")


@pytest.mark.slow
def test_the_module_of_the_server_is_a_program_with_the_help_of_serve():
    command_line = [sys.executable, "-m", "faketagger.serving.server", "--help"]
    done = subprocess.run(command_line, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == _faketagger("serve", "--help")


def test_an_interrupt_that_beam_tells_as_a_failure_ends_as_interrupts_do():
    program = """
from faketagger.components.contract import startup
def main(_):
    raise RuntimeError("KeyboardInterrupt [while running 'Measure/Measure']")
startup.run(main, startup.Parser("prog", "doc"), ["prog"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "prog: interrupted\n")
    done = subprocess.run(
        [sys.executable, "-c", program.replace("KeyboardInterrupt", "Bug")], capture_output=True, text=True
    )
    assert done.returncode == 1 and "RuntimeError: Bug" in done.stderr
