"""What every program does first: it quiets what it will import, reads its flags, and ends with an exit status.

Nothing here imports TensorFlow, so that a program answers `--help` or a wrong flag at once. A program that imports
TensorFlow at its top calls `quiet` before that.
"""

import argparse
import codecs
import contextlib
import io
import logging as standard_logging
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from absl import app, flags, logging
from absl.flags import argparse_flags

# Of every program: done, failed, called wrongly. What else a program ends with stands in its own help.
OK, FAILED, USAGE = 0, 1, 2
_INTERRUPTED, _PIPE_CLOSED = 130, 141  # As a shell says of a program that SIGINT or SIGPIPE ended.


class OutputError(Exception):
    """What is printed does not arrive; the message says why."""


# What the sentences here are written with, for outputs whose encoding has no such signs.
_PLAINER = {"≤": "<=", "…": "...", "×": "x", "–": "-", "—": "-", "«": '"', "»": '"', "’": "'", "▸": ">", "▶": ">"}


def legible_output() -> None:
    """Lets standard output and error take any text: names as the bytes that they are, other signs plainer."""
    codecs.register_error("faketagger", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="faketagger")


def _plainer(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    # Bytes of names that are no text in the file system's encoding are such surrogates.
    found = [
        bytes([ord(it) - 0xDC00]) if "\udc80" <= it <= "\udcff" else _PLAINER.get(it, "?").encode() for it in signs
    ]
    return b"".join(found), error.end


def quiet_logs() -> None:
    """TensorFlow's and gRPC's start-up notes help nobody; both read these once, when they are loaded."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def quiet() -> None:
    """Hides logs and warnings of what is imported from here on: a program says in a sentence of its own what failed."""
    quiet_logs()
    warnings.simplefilter("ignore")
    standard_logging.getLogger("tensorflow").setLevel(standard_logging.ERROR)


def show_log_from(level: int) -> None:
    """Shows absl's log, and what Beam and TFX write to Python's own, from a level of absl.logging on."""
    logging.use_absl_handler()
    logging.set_verbosity(level)


@contextlib.contextmanager
def hidden_notices() -> Iterator[None]:
    """Hides the notices of a library that is imported inside: known, and nothing a user could act on.

    tensorflow-addons warns of the end of its life; keras-cv announces its backend on standard output.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


class Parser(argparse_flags.ArgumentParser):
    """absl's parser of flags and file names. Its help is a module's docstring, which holds an example, and the flags.

    Wrong usage ends the program with USAGE and one sentence. Flags may be written with hyphens as well.
    """

    def __init__(
        self,
        prog: str,
        doc: str | None,
        check: Callable[["Parser", Any], None] | None = None,
        module: types.ModuleType | None = None,
    ):
        """Makes a parser that knows `--help` alone.

        Args:
          prog: the program, as its user calls it.
          doc: what the help says before it lists the flags.
          check: is given this parser and the arguments, and calls `error` where they do not go together.
          module: its key flags, of those defined by flags.DEFINE_…, are shown and read as well.
        """
        if module is not None:
            # Shown are the key flags of the program that runs, which may be `faketagger` as well as the module itself.
            for flag in flags.FLAGS.get_key_flags_for_module(module):
                flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
        super().__init__(
            prog=prog,
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            inherited_absl_flags=None if module is None else flags.FLAGS,
            allow_abbrev=False,
            add_help=False,
        )
        self.add_argument("-h", "--help", action="help", help="shows this and ends")
        self._check = check

    def parse(self, argv: list[str]) -> argparse.Namespace:
        """The arguments of a command line, program name first."""
        try:
            arguments = self.parse_intermixed_args(_with_underscores(argv[1:]))
        except flags.Error as error:
            self.error(str(error))
        if self._check is not None:
            self._check(self, arguments)
        flags.FLAGS.mark_as_parsed()  # app.run asks for it.
        return arguments

    def error(self, message: str) -> NoReturn:
        """Ends the program with USAGE and a sentence."""
        print(f"{self.prog}: {message}; `{self.prog} --help` says more", file=sys.stderr)
        sys.exit(USAGE)


def _with_underscores(arguments: list[str]) -> list[str]:
    """Command-line arguments whose flags are named as here: `--key-file=a-b` is `--key_file=a-b`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    made = []
    for each in arguments[:end]:
        name, equals, value = each.partition("=")
        made.append(name.replace("-", "_").replace("__", "--", 1) + equals + value if each.startswith("--") else each)
    return made + arguments[end:]


def switch(text: str) -> bool:
    """For flags that are on or off, as absl has them: `true`, `1`, `false` or `0`."""
    return bool(flags.BooleanParser().parse(text))


def comma_list(text: str) -> list[str]:
    """For flags that take names: `a,b` is two, without the spaces around them."""
    return [each.strip() for each in text.split(",") if each.strip()]


def run(
    main: Callable[[argparse.Namespace], int | None],
    parser: Parser,
    argv: list[str] | None = None,
    verbosity: int = logging.ERROR,
) -> None:
    """Runs a program and ends with the exit status that `main` returns.

    Args:
      main: takes the parsed arguments.
      parser: of its flags.
      argv: the command line, program name first; sys.argv by default.
      verbosity: the least important messages that are shown of absl's log; FATAL where `main` tells of every failure.
    """
    quiet()
    legible_output()

    def start(arguments: argparse.Namespace) -> int | None:
        show_log_from(verbosity)  # app.run has just set it to INFO.
        try:
            status = main(arguments)
        except KeyboardInterrupt:
            print(f"{parser.prog}: interrupted", file=sys.stderr)
            return _INTERRUPTED
        except RuntimeError as error:
            if not was_interrupted(error):
                raise
            print(f"{parser.prog}: interrupted", file=sys.stderr)
            return _INTERRUPTED
        except BrokenPipeError:
            return _let_go_of_output(_PIPE_CLOSED)
        except OutputError as error:
            print(f"{parser.prog}: standard output: {error}", file=sys.stderr)
            return _let_go_of_output(FAILED)
        return _flushed(parser.prog, status)

    app.run(start, argv, flags_parser=parser.parse)


def was_interrupted(error: BaseException) -> bool:
    """Whether the user's interrupt is behind an error: Beam tells of it as of any failure of its workers."""
    return isinstance(error, RuntimeError) and "KeyboardInterrupt" in str(error)


def _flushed(prog: str, status: int | None) -> int | None:
    """`status`, or another where what was printed does not arrive."""
    try:
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        return _let_go_of_output(_PIPE_CLOSED)
    except OSError as error:
        print(f"{prog}: standard output: {error.strerror or error}", file=sys.stderr)
        return _let_go_of_output(FAILED)


def _let_go_of_output(status: int) -> int:
    """`status`; what is still to be printed goes nowhere, or Python would complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
