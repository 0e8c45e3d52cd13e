"""Taggers where TF Serving looks for them: numbered versions in a directory, copies of blessed ones by the Pusher."""

import hashlib
import os

from faketagger.components.contract import files

NONE_YET = "NONE_YET"  # The file that says, in the place of a tagger, that none was pushed so far.
_WHOLE = "saved_model.pb"  # The Pusher copies it last.


def newest(base_path: str) -> str | None:
    """The directory of the highest version that is whole; None where there is none."""
    import tensorflow as tf  # Buckets, as where pipelines push to.

    if not tf.io.gfile.isdir(base_path):
        return None
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(base_path)]
    for name in sorted(filter(str.isdecimal, names), key=int, reverse=True):
        path = os.path.join(base_path, name)
        if files.exists(os.path.join(path, _WHOLE)):
            return path
    return None


def contents(directory: str) -> str:
    """What a directory's files hold, as a hash: the same for a copy of it."""
    import tensorflow as tf

    found = []
    for folder, _, names in tf.io.gfile.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            digest = hashlib.sha256(files.read_bytes(path)).hexdigest()
            found.append(f"{os.path.relpath(path, directory)} {digest}")
    return files.fingerprint(*sorted(found))
