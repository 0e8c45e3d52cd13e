"""Where the repository keeps what is trained already."""

import os

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "pretrained"))
SIMULATORS = os.path.join(_ROOT, "simulators")
TAGGER = os.path.join(_ROOT, "tagger")
