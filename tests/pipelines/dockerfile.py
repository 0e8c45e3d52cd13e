"""Runs a Dockerfile's instructions in a folder, without Docker: what it copies, installs and imports is tried for real.

    python tests/pipelines/dockerfile.py --fresh --out=DIR    # installs every package anew, from the registry

The folder stands for the image's root: paths of WORKDIR and COPY lie below it, and a virtual environment in it is its
Python. RUN runs in it with the image's environment and no other, and USER is not changed to. Where the packages are not
to be installed anew, those of this environment are shown to it as they would be after the first RUN: pip then checks
that they are what requirements.lock asks for.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig

from faketagger.tests import helpers

_KNOWN = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
_PATH = "/usr/local/bin:/usr/bin:/bin"
_TIMEOUT_SECONDS = 3000


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction: its line in the file, its word, and the rest."""

    line: int
    word: str
    rest: str


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile; ValueError where one is not known here."""
    found: list[Instruction] = []
    begun, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (begun or line.strip()):
            continue
        first = first if begun else number
        begun += line.strip()
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        word, _, rest = begun.partition(" ")
        if word not in _KNOWN:
            raise ValueError(f"line {first}: {word} is not known here")
        found.append(Instruction(first, word, rest.strip()))
        begun = ""
    return found


def stages(instructions: list[Instruction]) -> dict[str, list[Instruction]]:
    """The instructions of each named stage, with those of the stage that it begins with before them."""
    made: dict[str, list[Instruction]] = {}
    for each in instructions:
        if each.word == "FROM":
            base, _, name = each.rest.partition(" AS ")
            made[name] = [*made.get(base, [each])]
            continue
        made[list(made)[-1]].append(each)
    return made


class Image:
    """What a stage makes: a folder, an environment, and a command.

    Attributes:
      root: the folder.
      environment: of what runs in it.
      command: what a container of it runs: ENTRYPOINT and CMD.
    """

    def __init__(self, root: pathlib.Path, context: pathlib.Path, fresh: bool = False):
        """An image with nothing but Python in it; COPY copies from `context`."""
        self.root, self._context, self._fresh = root, context, fresh
        self._place, self._arguments = root, {}
        self._entry: list[str] = []
        self._default: list[str] = []
        self.python = self._make_python()
        self.environment = {"PATH": f"{self.python.parent}:{_PATH}", "HOME": str(root), "LANG": "C.UTF-8"}

    @property
    def command(self) -> list[str]:
        return [*self._entry, *self._default]

    def build(self, instructions: list[Instruction]) -> None:
        """Follows a stage's instructions; RuntimeError says which one failed, and what it printed."""
        for each in instructions:
            getattr(self, f"_{each.word.lower()}")(each)

    def run(self, command: list[str], **options) -> subprocess.CompletedProcess:
        """Runs a command as in a container of it, in the working directory."""
        return subprocess.run(command, cwd=self._place, env=self.environment, capture_output=True, text=True, **options)

    def _make_python(self) -> pathlib.Path:
        folder = self.root / "usr" / "local"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        python, packages = folder / "bin" / "python", pathlib.Path(sysconfig.get_path("purelib"))
        (own,) = folder.glob("lib/python*/site-packages")
        if self._fresh:
            for path in packages.glob("pip*"):  # The base image has pip and setuptools.
                shutil.copytree(path, own / path.name)
            subprocess.run([python, "-m", "pip", "install", "-q", "setuptools", "wheel"], check=True)
        else:
            # Of this environment's .pth files none is followed: its editable installation of this project is not seen.
            (own / "packages.pth").write_text(f"{packages}\n")
        pip = python.with_name("pip")
        pip.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -m pip "$@"\n')
        pip.chmod(0o755)
        return python

    def _from(self, each: Instruction) -> None:
        version = re.match(r"python:(\d+)\.(\d+)-", each.rest)
        if not version or tuple(map(int, version.groups())) != sys.version_info[:2]:
            raise RuntimeError(f"line {each.line}: {each.rest} is not this Python, {sys.version.split()[0]}")

    def _arg(self, each: Instruction) -> None:
        name, _, value = each.rest.partition("=")
        self._arguments[name] = value.strip('"')

    def _env(self, each: Instruction) -> None:
        self.environment |= dict(pair.split("=", 1) for pair in shlex.split(each.rest))

    def _workdir(self, each: Instruction) -> None:
        self._place = self._below(each.rest)
        self._place.mkdir(parents=True, exist_ok=True)

    def _copy(self, each: Instruction) -> None:
        *sources, target = each.rest.split()
        place = self._below(target)
        for name in sources:
            source = self._context / name
            if source.is_dir():
                shutil.copytree(source, place, dirs_exist_ok=True)
            elif source.is_file():
                shutil.copy(source, place / source.name if target.endswith(("/", ".")) else place)
            else:
                raise RuntimeError(f"line {each.line}: COPY {name}: the repository has no such file")

    def _run(self, each: Instruction) -> None:
        environment = {**self._arguments, **self.environment}
        command = ["/bin/sh", "-c", each.rest]
        done = subprocess.run(
            command, cwd=self._place, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
        )
        if done.returncode:
            said = (done.stdout + done.stderr)[-3000:]
            raise RuntimeError(f"line {each.line}: RUN {each.rest}: status {done.returncode}: {said}")

    def _user(self, each: Instruction) -> None:
        if not re.fullmatch(r"\d+:\d+", each.rest):
            raise RuntimeError(f"line {each.line}: USER {each.rest}: Kubernetes takes numbers alone")

    def _expose(self, each: Instruction) -> None:
        if not all(port.isdecimal() for port in each.rest.split()):
            raise RuntimeError(f"line {each.line}: EXPOSE {each.rest}: not ports")

    def _entrypoint(self, each: Instruction) -> None:
        self._entry = json.loads(each.rest)

    def _cmd(self, each: Instruction) -> None:
        self._default = json.loads(each.rest)

    def _below(self, path: str) -> pathlib.Path:
        return self.root / path.lstrip("/") if path.startswith("/") else self._place / path


def tracked(folder: pathlib.Path) -> pathlib.Path:
    """A copy of what the repository tracks, as a clone would have it, in a folder."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=helpers.ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        source, place = helpers.ROOT / name, folder / name
        if source.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
    return folder


def build(target: str, folder: pathlib.Path, fresh: bool = False) -> Image:
    """The image of a target of the repository's Dockerfile, made below a folder."""
    context = tracked(folder / "context")
    image = Image(folder / "image", context, fresh)
    image.build(stages(parse((context / "Dockerfile").read_text()))[target])
    return image


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="pipeline", help="a stage's name")
    parser.add_argument("--fresh", action="store_true", help="installs the packages anew")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="a folder that is not there yet")
    arguments = parser.parse_args()
    os.makedirs(arguments.out)
    image = build(arguments.target, arguments.out.absolute(), arguments.fresh)
    print(f"{image.root}: {shlex.join(image.command)}")


if __name__ == "__main__":
    main()
