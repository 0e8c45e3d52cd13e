"""Where tagged pictures go: written beside their place, whole or not at all, and moved there; never over an input."""

import contextlib
import errno
import io
import os
import secrets
import stat
import sys
from collections.abc import Callable
from typing import BinaryIO

from faketagger.components.contract import picture_encoding
from faketagger.components.contract.picture import Picture
from faketagger.serving.commands import inputs
from faketagger.serving.video import kinds

_MARK = ".tagged"  # Before the ending of a name, where nothing else is said.


def beside(path: str, ending: str) -> str:
    """The output beside an input: a.jpg ▸ a.tagged.jpg."""
    stem, _ = os.path.splitext(path)
    return f"{stem}{_MARK}{ending}"


def below(folder: str, name: str, ending: str) -> str:
    """The output in a folder, under the input's own name."""
    return os.path.join(folder, os.path.splitext(name)[0] + ending)


def ending(name: str, picture: Picture) -> str:
    """That of the format that a picture is written in: the name's own where it stands for that."""
    endings, own = picture_encoding.ENDINGS[picture_encoding.own_format(picture)], os.path.splitext(name)[1]
    return own if own.lower() in endings else endings[0]


def clips_ending(name: str) -> str:
    """That of the container that a clip is written in: the name's own where it stands for one."""
    return os.path.splitext(name)[1] if kinds.format_by_name(name) else kinds.ENDINGS["mp4"][0]


def is_marked(path: str) -> bool:
    """Whether a name is one that `beside` gives."""
    return os.path.splitext(path)[0].endswith(_MARK)


def write(path: str, encode: Callable[[BinaryIO], None], replace: bool = True) -> int:
    """Writes a file in one step and returns its size; makes its folder. OSError where it cannot be written.

    Args:
      path: the file; inputs.STANDARD, a pipe or a device is written to, not replaced.
      encode: writes to a file that can seek and be read; where it raises, nothing is written.
      replace: whether a file that is there by then is replaced; FileExistsError otherwise.
    """
    try:
        stream = path == inputs.STANDARD or os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode)
        return _write_stream(path, encode) if stream else _write_file(path, encode, replace)
    except OSError as error:  # Of the folder, of the part, or of no file at all: people know but the output.
        raise OSError(error.errno, error.strerror or str(error), path) from error


def _write_stream(path: str, encode: Callable[[BinaryIO], None]) -> int:
    data = io.BytesIO()
    encode(data)
    with contextlib.nullcontext(sys.stdout.buffer) if path == inputs.STANDARD else open(path, "wb") as stream:
        stream.write(data.getbuffer())
        stream.flush()
    return len(data.getbuffer())


def _write_file(path: str, encode: Callable[[BinaryIO], None], replace: bool) -> int:
    folder = os.path.dirname(path) or os.curdir
    os.makedirs(folder, exist_ok=True)
    # Short: a name may be as long as the file system allows. Drawn: in containers processes have the same numbers.
    temporary = os.path.join(folder, f".faketagger-{secrets.token_hex(8)}.part")
    file = open(temporary, "x+b")  # Where this fails, the part is another's.
    try:
        with file:
            encode(file)
            size = file.seek(0, io.SEEK_END)
        (os.replace if replace else _move)(temporary, path)
        return size
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def _move(temporary: str, path: str) -> None:
    """Without replacing what may be there since somebody looked; FileExistsError then."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # Not every file system has links.
        if os.path.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
        os.replace(temporary, path)
    else:
        os.remove(temporary)
