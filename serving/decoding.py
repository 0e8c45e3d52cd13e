"""Work on strangers' files in processes that can be ended, as no thread can: the file may have been made to take long.

A process has so much processor time and memory; it is ended too when nobody waits for it any more. What it costs is a
fifth of a second, so that files that cannot take long are decoded without (limits.is_quick).
"""

import contextlib
import contextvars
import io
import math
import pickle
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

SECONDS = 5  # Of processor time: a progressive JPEG of 50 megapixels of noise takes half of that.
_MOST_BYTES = 4 * 2**30
_LONGEST_SECONDS = 60.0  # By the clock, on a machine that has much else to do.
_LOOK_EVERY = 0.05

_Answer = TypeVar("_Answer")

# Whether the caller for whom a thread works has gone; set by workers.py.
is_given_up: contextvars.ContextVar[Callable[[], bool]] = contextvars.ContextVar("is_given_up", default=lambda: False)


class EndedError(Exception):
    """The process took too long or too much memory, broke down, or nobody waits for it any more."""


def apart(function: Callable[..., _Answer], *arguments: object, seconds: int = SECONDS) -> _Answer:
    """What a module's function returns or raises, called in a process that imports that module and no more.

    Args:
      function: what to call; it, its arguments and what comes back are pickled.
      arguments: for it.
      seconds: of processor time that it may take.

    Raises:
      EndedError: there is no answer.
    """
    found = each_apart(function, [arguments], seconds)
    if not found:
        raise EndedError("it takes too long or too much memory to decode")
    return found[0]


def each_apart(
    function: Callable[..., _Answer], calls: Sequence[tuple[object, ...]], seconds: int = SECONDS
) -> list[_Answer]:
    """As `apart`, of several calls in one process: what they return, up to the one in which it was ended.

    Args:
      function: what to call.
      calls: the arguments of each.
      seconds: of processor time that all may take together.
    """
    task = pickle.dumps((function, calls, seconds))
    over = threading.Event()
    with subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        threading.Thread(target=_watch, args=(process, is_given_up.get(), over), daemon=True).start()
        try:
            answers, _ = process.communicate(task)
        finally:
            over.set()
            process.kill()
    return list(_returned(io.BytesIO(answers)))


def _returned(answers: io.BytesIO) -> Iterator[Any]:
    """What calls returned, of the pickles that a process has left; raises what one of them raised."""
    while True:
        try:
            returned, value = pickle.load(answers)
        except (EOFError, pickle.UnpicklingError):  # The last one may be cut off.
            return
        if not returned:
            raise value
        yield value


def _watch(process: subprocess.Popen, is_gone: Callable[[], bool], over: threading.Event) -> None:
    """Ends a process for which nobody waits, or that has been there for too long."""
    until = time.monotonic() + _LONGEST_SECONDS
    while not over.wait(_LOOK_EVERY):
        if is_gone() or time.monotonic() > until:
            process.kill()


def _main() -> None:
    function, calls, seconds = pickle.load(sys.stdin.buffer)
    until = math.ceil(time.process_time()) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (until, until))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # Not every system bounds it.
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    for arguments in calls:
        try:
            answer = True, function(*arguments)
        except MemoryError:
            sys.exit(1)
        except Exception as error:
            answer = False, error
        pickle.dump(answer, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
        sys.stdout.buffer.flush()  # It may be ended in the next call.


if __name__ == "__main__":
    _main()
