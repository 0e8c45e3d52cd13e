"""Faces that tests of simulators train on and look at."""

import numpy as np

from faketagger.components.contract import features, images
from faketagger.components.simulator.generators.base import Faces


def faces_of(pictures, **labels):
    """Faces of float32 [N, S, S, 3] in [0, 1] with some attributes labelled, one number for each picture."""
    attributes = np.full([len(pictures), len(features.ATTRIBUTE_NAMES)], features.UNKNOWN, np.int64)
    for name, values in labels.items():
        attributes[:, features.ATTRIBUTE_NAMES.index(name)] = values
    return Faces(images.to_uint8(pictures), attributes)
