"""Where the repository keeps what is trained already."""

import os

from faketagger.components.contract import files, pushed

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "pretrained"))
SIMULATORS = os.path.join(_ROOT, "simulators")
TAGGER = os.path.join(_ROOT, "tagger")


def fingerprint(directory: str) -> str:
    """As files.directory_fingerprint; of what the repository keeps it is the same in every clone.

    There a file's time is that of its checkout, by which no cache would know it again.
    """
    if os.path.abspath(directory).startswith(_ROOT + os.sep):
        return pushed.contents(directory)
    return files.directory_fingerprint(directory)
