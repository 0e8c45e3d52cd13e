"""Makes a new secret key, readable by its owner alone.

    faketagger keygen my.key

An existing file is never replaced: tags made with the key that it holds could no longer be read.
"""

import argparse

from faketagger.components.contract import payload, startup
from faketagger.serving.commands import common


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger keygen", __doc__)
    parser.add_argument("path", help="the file to write")
    return parser


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    common.make_key(arguments.path)
    of_key = f"fingerprint {payload.fingerprint(payload.read_key(arguments.path))}"
    print(f"{arguments.path}: made a new key, {of_key}; keep a copy: tags made with it cannot be read without it")
    return common.OK
