"""Video compression by the real H.264 encoder, for evaluation. Imports PyAV, which training does without.

The codec runs in Python: no SavedModel can hold it, as a Python function does not outlive its process.
"""

import fractions

import av
import numpy as np
import tensorflow as tf

from faketagger.components.contract import images as contract_images
from faketagger.components.perturbations import base

_ENCODER = "libx264"
_FRAMES = 9  # The first is coded alone; the middle one, which is read, is predicted from others, as most in a film are.
_FRAMES_A_SECOND = 25


class H264(base.Perturbation):
    """H.264 compression of a short clip that shows the picture; one of its frames is read.

    Strength is x264's constant rate factor, 0 (hardly any loss) to 51; x264's own choice is 23. Colour is halved in
    both directions (4:2:0), as in most films. The gradient passes straight through.

    Raises:
      ValueError: as Perturbation.
      RuntimeError: the installed PyAV was built without x264.
    """

    LIMITS = (0.0, 51.0)

    def __init__(self, strength: base.Range):
        super().__init__(strength)
        if _ENCODER not in av.codecs_available:
            raise RuntimeError(f"the installed PyAV {av.__version__} has no {_ENCODER} encoder: install its wheel")

    def _apply(self, images, strength, drawn):
        inputs = [tf.stop_gradient(images), strength[:, 0, 0, 0]]
        coded = tf.numpy_function(_code_batch, inputs, tf.float32, stateful=False)
        return images + tf.stop_gradient(tf.ensure_shape(coded, images.shape) - images)


def _code_batch(pictures: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """float32 [B, H, W, 3] in [0, 1], constant rate factors [B] → the same shape and range, a multiple of 1/255."""
    coded = [code_clip(picture, float(factor)) for picture, factor in zip(contract_images.to_uint8(pictures), factors)]
    return contract_images.to_float(np.reshape(coded, pictures.shape).astype(np.uint8))


def code_clip(picture: np.ndarray, factor: float) -> np.ndarray:
    """`picture`, uint8 [H, W, 3], as the middle frame of a clip coded with a constant rate factor shows it."""
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")  # 4:2:0 halves both sides.
    frames = _decode(_encode(np.ascontiguousarray(even), factor))
    return frames[_FRAMES // 2].to_ndarray(format="rgb24")[:height, :width]


def _encode(picture: np.ndarray, factor: float) -> list[av.Packet]:
    encoder = av.CodecContext.create(_ENCODER, "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = fractions.Fraction(_FRAMES_A_SECOND)
    encoder.time_base = 1 / encoder.framerate
    encoder.thread_count = 1  # With more, the result would depend on the machine's cores.
    encoder.options = {"crf": str(factor)}
    packets = []
    for number in range(_FRAMES):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    return packets + encoder.encode(None)


def _decode(packets: list[av.Packet]) -> list[av.VideoFrame]:
    """The frames in the order in which they are shown."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    return [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
