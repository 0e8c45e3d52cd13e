"""How coarse is what generators hand through, and how coarse is what a tagger writes, in Markdown.

    python benchmarks/bands.py --examples=DIR --simulators=DIR

`--examples` is what the pipeline's first step leaves, `--simulators` its simulators. A band is a range of waves, in
periods across the picture. To photographs of the eval split noise of one band alone is added, 36 dB below; a simulator
makes of both pictures one each. *Handed through* is the correlation of what was added with the difference of what comes
out, in luminance: 1 is all of it, in its place, 0 none. The first lines say how much of the photographs themselves and
of a tag lies in the band, the root mean square in grey values of 255: what a reader finds it beside.
"""

import sys

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import numpy as np
import tensorflow as tf
from absl import flags
from tqdm import tqdm

from faketagger.components.contract import features, pretrained, signatures
from faketagger.components.simulator import library
from faketagger.components.simulator.generators.base import read_faces
from faketagger.components.tagger.residual import LUMINANCE

FLAGS = flags.FLAGS
flags.DEFINE_string("examples", None, "an Examples artifact, of which the eval split is used", required=True)
flags.DEFINE_string("simulators", None, "a directory of simulators", required=True)
flags.DEFINE_string("model", pretrained.TAGGER, "the tagger's SavedModel directory")
flags.DEFINE_integer("count", 16, "of photographs", lower_bound=1)

_BANDS = ((1, 3), (3, 6), (6, 12), (12, 20), (20, 32), (32, 48))
_ADDED_DB = 36.0
_BATCH = 8
_SEED = 0


def main(_) -> None:
    """Prints a row for the tagger and one for each condition of each simulator."""
    model = tf.saved_model.load(FLAGS.model)
    encode = model.signatures[signatures.ENCODE]
    size = encode.structured_input_signature[1]["images"].shape[1]
    pictures = read_faces(FLAGS.examples, features.EVAL_SPLIT, size, FLAGS.count).pictures
    print("| | " + " | ".join(f"{low} to {high}" for low, high in _BANDS) + " |\n" + "|---" * (len(_BANDS) + 1) + "|")
    _print_row("photographs, grey values", [_grey_values(pictures, band) for band in _BANDS])
    tags = _tag(encode, pictures) - pictures
    _print_row("a tag, grey values", [_grey_values(tags, band) for band in _BANDS])
    for simulator in tqdm(library.load_all(FLAGS.simulators), desc="simulators"):
        for index, condition in enumerate(simulator.manifest.ways):
            _print_row(f"{simulator.manifest.name}/{condition}", _handed_through(simulator, index, pictures))


def _tag(encode, pictures: np.ndarray) -> np.ndarray:
    bits = encode.structured_input_signature[1]["codeword"].shape[1]
    codewords = np.random.default_rng(_SEED).integers(0, 2, [len(pictures), bits])
    full = tf.ones([len(pictures)])
    return encode(images=pictures, codeword=tf.constant(codewords, tf.float32), strength=full)["images"].numpy()


def _grey_values(pictures: np.ndarray, band: tuple[int, int]) -> float:
    return 255.0 * float(np.sqrt(np.mean(np.square(_in_band(_luminance(pictures), *band)))))


def _handed_through(simulator: library.Simulator, condition: int, pictures: np.ndarray) -> list[float]:
    noise = np.random.default_rng(_SEED).normal(size=pictures.shape[:3])
    without, correlations = _luminance(_simulate(simulator, condition, pictures)), []
    for band in _BANDS:
        added = _in_band(noise, *band)
        added *= 10 ** (-_ADDED_DB / 20) / np.sqrt(np.mean(np.square(added), (1, 2), keepdims=True))
        changed = np.clip(pictures + added[..., None], 0.0, 1.0).astype(np.float32)
        difference = _luminance(_simulate(simulator, condition, changed)) - without
        norms = np.sqrt(np.sum(np.square(added), (1, 2)) * np.sum(np.square(difference), (1, 2)))
        correlations.append(float(np.mean(np.sum(added * difference, (1, 2)) / np.maximum(norms, 1e-12))))
    return correlations


def _simulate(simulator: library.Simulator, condition: int, pictures: np.ndarray) -> np.ndarray:
    parts = np.split(pictures, range(_BATCH, len(pictures), _BATCH))
    return np.concatenate([np.asarray(simulator(each, tf.fill([len(each)], condition))) for each in parts])


def _luminance(pictures: np.ndarray) -> np.ndarray:
    return pictures @ np.array(LUMINANCE)


def _in_band(planes: np.ndarray, low: float, high: float) -> np.ndarray:
    """Of planes [N, S, S] what has `low` to `high` periods across them."""
    periods = np.fft.fftfreq(planes.shape[1], 1 / planes.shape[1])
    inside = np.hypot(periods[:, None], periods)
    kept = (inside >= low) & (inside < high)
    return np.real(np.fft.ifft2(np.fft.fft2(planes, axes=(1, 2)) * kept, axes=(1, 2)))


def _print_row(name: str, values) -> None:
    print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |", flush=True)


if __name__ == "__main__":
    startup.run(main, startup.Parser("python benchmarks/bands.py", __doc__, module=sys.modules[__name__]))
