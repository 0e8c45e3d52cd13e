"""The `faketagger` command, also as `python -m faketagger`: finds the module of the command asked for, and runs it."""

import importlib
import sys

from faketagger.components.contract import startup

# Each command's module, imported when it is asked for and no sooner, and what the command does.
COMMANDS = {
    "tag": ("serving.commands.tag", "puts a tag into a picture"),
    "read": ("serving.commands.read", "reads the tags of pictures"),
    "status": ("serving.commands.status", "says which tagger is in use, and what it can do"),
    "keygen": ("serving.commands.keygen", "makes a secret key"),
    "serve": ("serving.commands.serve", "serves a tagger to other machines"),
    "platform": ("serving.commands.platform", "tags pictures as they are uploaded, and traces what comes back"),
    "archive": ("pipelines.tag_collection", "tags a whole archive of photographs, or reads what one carries"),
    "evaluate": ("components.evaluator.__main__", "measures a tagger on a folder of photographs"),
    "report": ("components.evaluator.html_report", "writes an evaluation as one page"),
    "adapt": ("components.simulator.adapt", "makes a simulator of a generator made elsewhere"),
    "simulators": ("components.simulator.__main__", "trains and assesses one simulator for the repository"),
    "run": ("pipelines.run_local", "runs the whole pipeline on this machine: photographs in, a tagger out"),
}
_HELP = ("--help", "-h", "help")
_USAGE = 2


def main(argv: list[str] | None = None) -> None:
    """Runs a command line, by default the program's own; the program's name goes first."""
    name, *rest = (sys.argv if argv is None else argv)[1:] or ["--help"]
    startup.legible_output()
    if name in _HELP:
        print(_overview())
    elif name in COMMANDS:
        module, _ = COMMANDS[name]
        importlib.import_module(f"faketagger.{module}").main([f"faketagger {name}", *rest])
    else:
        print(f"faketagger: there is no command '{name}'; there are {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(_USAGE)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = ["usage: faketagger COMMAND …", "", "Hides tags in face photographs that survive deepfake generators.", ""]
    lines += [f"  {name:<{width}}  {sentence}" for name, (_, sentence) in COMMANDS.items()]
    return "\n".join([*lines, "", "`faketagger COMMAND --help` lists a command's flags and shows an example."])


if __name__ == "__main__":
    main()
