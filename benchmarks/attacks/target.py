"""What the attacks attack: a platform that tags pictures with a secret key, by a tagger whose networks are public."""

import argparse
import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import ndimage
from tqdm import tqdm

from faketagger.components.contract import features, images, manifest, payload, pretrained, signatures, startup
from faketagger.components.evaluator.measure import metrics
from faketagger.components.example_gen import face_drawing, image_folder

_BATCH = 8
_BLUR = 1 / 32  # Of the side, Gaussian: of 1/16 … 1/256 the one whose copies are read best.


class Reading(NamedTuple):
    """What the platform reads: UIDs, tagged or not, int [B]; which are claimed as tagged, bool [B]."""

    uids: np.ndarray
    tagged: np.ndarray


class Networks:
    """A tagger as anybody can use it.

    Args:
      directory: its SavedModel.
    """

    def __init__(self, directory: str):
        self.manifest = manifest.read(manifest.TaggerManifest, directory)
        self.code_matrix = payload.code_matrix_from_hex(self.manifest.code_matrix, self.manifest.code_bits)
        self._model = tf.saved_model.load(directory)

    def write(self, pictures: np.ndarray, codewords: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Writes masked codewords, 0 and 1 [B, n], into pictures, uint8 [B, S, S, 3]."""

        def write(batch: np.ndarray, bits: np.ndarray) -> np.ndarray:
            factor = tf.fill([len(batch)], float(strength))
            made = self._model.signatures[signatures.TAG](image=_as_png(batch), codeword=bits, strength=factor)
            return np.stack([tf.io.decode_png(png, channels=3).numpy() for png in made["image"]])

        return _in_batches(write, pictures, np.float32(codewords))

    def read(self, pictures: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        """Reads uint8 [B, S, S, 3] under a mask, uint8 [n]: the signature's `message`, `tagged` and `logits`."""

        def read(batch: np.ndarray) -> np.ndarray:
            masks = tf.constant(np.tile(np.float32(mask), [len(batch), 1]))
            made = self._model.signatures[signatures.READ](image=_as_png(batch), key_mask=masks)
            columns = [tf.cast(made[name], tf.float32).numpy().reshape([len(batch), -1]) for name in names]
            return np.concatenate(columns, 1)

        names = ("message", "tagged", "logits")
        bits = self.manifest.message_bits
        message, tagged, logits = np.split(_in_batches(read, pictures), [bits, bits + 1], axis=1)
        return {"message": message, "tagged": tagged[:, 0] > 0, "logits": logits}

    def see(self, pictures: np.ndarray) -> np.ndarray:
        """The masked codewords that anybody sees in pictures, uint8 [B, n]."""
        return np.uint8(self.read(pictures, np.zeros(self.manifest.code_bits, np.uint8))["logits"] > 0)


class Platform:
    """Tags and reads with a key of its own.

    Args:
      networks: of its tagger.
      seed: of the key.
      version: of the payload.
    """

    def __init__(self, networks: Networks, seed: int, version: int = payload.LATEST):
        self._networks = networks
        key = hashlib.sha256(b"a platform's key %d" % seed).digest()
        self._payload = payload.Payload.of_key(key, networks.code_matrix, version)

    def tag(self, pictures: np.ndarray, uids: Sequence[int]) -> np.ndarray:
        """Tags uint8 [B, S, S, 3]."""
        return self._networks.write(pictures, np.stack([self._payload.codeword(int(uid)) for uid in uids]))

    def read(self, pictures: np.ndarray) -> Reading:
        """Reads uint8 [B, S, S, 3]."""
        read = self._networks.read(pictures, self._payload.mask)
        return Reading(np.array([self.uid(each) for each in read["message"]]), read["tagged"])

    def uid(self, message: np.ndarray) -> int:
        """Whose a message is, [k] of 0 and 1."""
        return self._payload.uid(message)


def make_parser(file: str, doc: str | None) -> startup.Parser:
    """The flags of every attack; `file` is its own."""
    parser = startup.Parser(f"python benchmarks/attacks/{os.path.basename(file)}", doc)
    add = parser.add_argument
    add("--images", metavar="DIR", help="photographs, of which the eval split is used; default: drawn faces")
    add("--count", type=int, default=56, help="how many pictures, at most")
    add("--image_size", type=int, default=256, help="their side")
    add("--model", default=pretrained.TAGGER, metavar="DIR", help="the tagger; default: the shipped one")
    add("--seed", type=int, default=1, help="of keys and UIDs")
    return parser


def pictures_of(arguments: argparse.Namespace) -> np.ndarray:
    """The pictures that the flags ask for, uint8 [B, S, S, 3]."""
    size, count = arguments.image_size, arguments.count
    if not arguments.images:
        return np.stack([face_drawing.draw(face_drawing.sample_traits(7, index), size) for index in range(count)])
    entries = image_folder.list_folder(arguments.images)
    wanted = features.EVAL_SPLIT if any(entry.split for entry in entries) else None
    chosen = [entry.name for entry in entries if entry.split == wanted][:count]
    loaded = (images.load_image(os.path.join(arguments.images, name)) for name in tqdm(chosen, desc="pictures"))
    return np.stack([images.square(pixels, size) for pixels in loaded])


def uids_of(count: int, message_bits: int, seed: int) -> list[int]:
    """Random UIDs."""
    return np.random.default_rng(seed).integers(0, 2**message_bits, count).tolist()


def fine(pictures: np.ndarray) -> np.ndarray:
    """What a blur takes from pictures, uint8 [B, S, S, 3]: float32, the same shape."""
    values = np.float32(pictures)
    sigma = _BLUR * pictures.shape[1]
    return values - ndimage.gaussian_filter(values, [0, sigma, sigma, 0])


def as_strong_as(estimate: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Residuals somebody has estimated, [… S, S, 3], as strong as the platform's own, which its users accept."""
    return estimate * (np.std(residuals) / np.std(estimate, axis=(-3, -2, -1), keepdims=True))


def add(pictures: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Adds a difference of 8-bit values to pictures, uint8 [B, S, S, 3]."""
    return np.uint8(np.clip(np.round(pictures + difference), 0, 255))


def share(hits: np.ndarray) -> str:
    """How many of how many, for tables."""
    return f"{int(np.sum(hits))} of {len(hits)}"


def mean_psnr(first: np.ndarray, second: np.ndarray) -> str:
    """Of pictures, uint8 [B, S, S, 3], in dB, for tables."""
    return f"{np.mean(metrics.psnr(first, second)):.1f}"


def print_row(*cells: object) -> None:
    """A row of a table in Markdown."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def print_header(*cells: str) -> None:
    """The first rows of a table in Markdown."""
    print_row(*cells)
    print("|---" * len(cells) + "|")


def _in_batches(work, *columns: np.ndarray) -> np.ndarray:
    starts = range(0, len(columns[0]), _BATCH)
    return np.concatenate([work(*(column[start : start + _BATCH] for column in columns)) for start in starts])


def _as_png(pictures: np.ndarray) -> tf.Tensor:
    return tf.stack([tf.io.encode_png(picture) for picture in pictures])
