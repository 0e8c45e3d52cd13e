"""Writing files so that a killed process leaves the old file or the new one, never half of one.

Paths may be local or anything that tf.io.gfile knows (gs://…): a step's artifacts live where its runner keeps them.
TensorFlow takes seconds to import, and settings, which a command's `--help` needs, import this module: so it is
imported where a file is touched.
"""

import errno
import hashlib
import io
import json
import os
import zipfile
from typing import Any

MAX_JSON_BYTES = 64 * 1024 * 1024


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile


def write_bytes(path: str, data: bytes) -> None:
    """Writes `data` to `path`, replacing what is there in one step; makes the folder if it is missing.

    Raises:
      tf.errors.OpError: it cannot be written; the message names the file.
    """
    _gfile().makedirs(os.path.dirname(path) or ".")
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}.part")
    try:
        with _gfile().GFile(temporary, "wb") as file:
            file.write(data)
        _gfile().rename(temporary, path, overwrite=True)
    except BaseException:
        if _gfile().exists(temporary):
            _gfile().remove(temporary)
        raise


def absolute(path: str) -> str:
    """A path for whoever may have another working directory; remote ones stay as they are."""
    return path if "://" in path else os.path.abspath(path)


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    return bool(_gfile().exists(path))


def read_bytes(path: str, most: int | None = None) -> bytes:
    """A file's content; OSError, as `open` raises it, where it cannot be read or has over `most` bytes: then nothing of
    it is read. Local names may be no UTF-8.
    """
    if "://" not in path:
        with open(path, "rb") as file:
            _check_size(path, os.fstat(file.fileno()).st_size, most)
            return file.read()
    import tensorflow as tf

    try:
        with _gfile().GFile(path, "rb") as file:
            _check_size(path, file.size(), most)
            return file.read()
    except tf.errors.NotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message, path) from None


def _check_size(path: str, size: int, most: int | None) -> None:
    if most is not None and size > most:
        raise OSError(errno.EFBIG, f"{size:,} bytes is over {most:,}", path)


def write_json(path: str, value: Any) -> None:
    """Writes `value` as indented JSON; NaN and infinity are refused (ValueError), they are no JSON."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: str, what: str) -> Any:
    """Reads a JSON file; ValueError names the file and `what` it should have been: missing, broken or too large."""
    import tensorflow as tf

    try:
        with _gfile().GFile(path, "rb") as file:
            data = file.read(MAX_JSON_BYTES + 1)
    except tf.errors.NotFoundError:
        raise ValueError(f"{path}: {what} is missing") from None
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(f"{path}: {what} is over {MAX_JSON_BYTES:,} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # Also numbers of thousands of digits, and lists deep in one another.
        raise ValueError(f"{path}: {what} is not valid JSON: {error}") from None


def read_npz(path: str, most: int) -> dict[str, Any]:
    """The arrays of an .npz by name, as NumPy's; nothing in it is executed.

    Args:
      path: of the file.
      most: bytes that it may have, as it is and unpacked.

    Raises:
      ValueError: it cannot be read, is too large or holds other things than plain arrays; says why, not of which file.
    """
    import numpy as np
    import tensorflow as tf

    try:
        size = _gfile().stat(path).length
        if size > most:
            raise ValueError(f"{size:,} bytes, over {most:,}")
        packed = io.BytesIO(read_bytes(path))
        with zipfile.ZipFile(packed) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > most:
            raise ValueError(f"unpacks to {unpacked:,} bytes, over {most:,}")
        packed.seek(0)
        with np.load(packed, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except tf.errors.OpError as error:
        raise ValueError(error.message) from error
    except Exception as error:  # Damaged headers and members raise nearly anything.
        raise ValueError(str(error) or type(error).__name__) from error
    others = [name for name, value in found.items() if not isinstance(value, np.ndarray)]
    if others:
        raise ValueError(f"no arrays: {', '.join(others)}")
    return found


def remove_directory(path: str) -> None:
    """Removes a directory and what is in it; nothing happens where there is none."""
    if _gfile().isdir(path):
        _gfile().rmtree(path)


def replace_directory(temporary: str, path: str) -> None:
    """Renames the finished directory `temporary` to `path`, removing what was there; on an error that stays there."""
    path = path.rstrip("/")
    # The old one is renamed before it is removed: a removal cut short would leave half of it under its name.
    retired = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.old")
    if _gfile().isdir(retired) and not _gfile().isdir(path):  # A kill between two renames left it as the only one.
        _gfile().rename(retired, path)
    remove_directory(retired)
    replaces = _gfile().isdir(path)
    if replaces:
        _gfile().rename(path, retired)
    try:
        _gfile().rename(temporary, path)
    except BaseException:
        if replaces:
            _gfile().rename(retired, path)
        raise
    remove_directory(retired)


def copy_directory(source: str, target: str) -> None:
    """Copies a directory's files to `target`, replacing what is there in one step."""
    target = target.rstrip("/")
    temporary = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.part")
    remove_directory(temporary)
    for folder, _, names in _gfile().walk(source):
        into = os.path.normpath(os.path.join(temporary, os.path.relpath(folder, source)))
        _gfile().makedirs(into)
        for name in names:
            _gfile().copy(os.path.join(folder, name), os.path.join(into, name))
    replace_directory(temporary, target)


def fingerprint(*parts: str) -> str:
    """A short stable name for what `parts` say, for directories that must be found again."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def checkpoint_directory(root: str | None, output_uri: str, *parts: str) -> str:
    """Where a step keeps what outlives a killed run.

    Args:
      root: the directory for all steps; beside the step's outputs by default.
      output_uri: of one of the step's outputs.
      parts: what the work depends on: other parts, another directory.
    """
    return os.path.join(root or os.path.join(os.path.dirname(output_uri), "checkpoints"), fingerprint(*parts))


def directory_fingerprint(directory: str) -> str:
    """Changes when a file below `directory` is added, removed, resized or rewritten."""
    listing = []
    for folder, _, names in sorted(_gfile().walk(directory)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            stat = _gfile().stat(path)
            listing.append(f"{os.path.relpath(path, directory)} {stat.length} {stat.mtime_nsec}")
    return fingerprint(*listing)
