"""`perturbation_unseen`: the perturbations that no tagger is trained under. Evaluation alone uses them.

Video's codec runs in Python and no SavedModel can hold it, so this simulator is a manifest alone, and its code is here.
"""

import tensorflow as tf

from faketagger.components.contract import signatures
from faketagger.components.perturbations import base, catalogue, video, weather


def perturbations() -> dict[str, base.Perturbation]:
    """By condition name."""
    return {
        "rain_0.3": weather.Rain((0.3, 0.3)),
        "h264_23": video.H264((23.0, 23.0)),
        "h264_28": video.H264((28.0, 28.0)),
    }


class Model:
    """Called as a loaded SavedModel is."""

    def __init__(self):
        self._simulate = catalogue.by_condition(perturbations())
        self.signatures = {signatures.SIMULATE: self._call}

    def _call(self, images: tf.Tensor, condition: tf.Tensor) -> dict[str, tf.Tensor]:
        return {signatures.IMAGES: self._simulate(images, condition)}
