"""A tagger of black and white blocks along the top of a picture, and pictures to tag."""

import io

import cv2
import numpy as np
from PIL import Image

from faketagger.serving.outcomes import Outcome
from faketagger.serving.platform.tagger import Found, UnfitError

BITS = 16
KEY = "0123abcd"
_ROWS, _MARK = 6, (1, 0)


class BlockTagger:
    """A Tagger. `uncertain`: what is read is no more than perhaps; `boxes`: the faces that are found."""

    def __init__(self, bits=BITS):
        self.bits, self.uncertain, self.boxes = bits, False, ()
        self.broken = None

    def uid_bits(self):
        return self.bits

    def read(self, pixels):
        self._may_break()
        levels = [pixels[:_ROWS, part].mean() for part in self._parts(pixels)]
        bits = [int(level > 128) for level in levels]
        clear = all(level < 60 or level > 195 for level in levels) and tuple(bits[:2]) == _MARK
        uid = int("".join(map(str, bits[2:])), 2)
        outcome = Outcome.NO_TAG if not clear else Outcome.PERHAPS if self.uncertain else Outcome.TAGGED
        return Found(outcome, uid, 1e-9 if clear else 1.0, "", KEY, self.boxes)

    def tag(self, picture, uid, replace):
        self._may_break()
        if not replace and self.read(picture.rgb()).outcome is Outcome.TAGGED:
            raise UnfitError("it is tagged already")
        bits = [*_MARK, *(uid >> place & 1 for place in reversed(range(self.bits)))]
        for part, bit in zip(self._parts(picture.pixels), bits):
            picture.pixels[:_ROWS, part] = 255 * bit

    def check(self, pixels, uid, made):
        if self.read(pixels).candidate != uid:
            raise UnfitError("the tag does not hold")

    def _parts(self, pixels):
        edges = np.linspace(0, pixels.shape[1], self.bits + len(_MARK) + 1).astype(int)
        return [slice(*each) for each in zip(edges, edges[1:])]

    def _may_break(self):
        if self.broken is not None:
            raise self.broken


def scene(seed, side=192):
    """A picture of soft spots, uint8 [side, side, 3]: of another seed, another picture."""
    random = np.random.default_rng(seed)
    spots = random.uniform(30, 225, [9, 9, 3]).astype(np.float32)
    soft = cv2.resize(spots, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.uint8(np.clip(soft + random.normal(0, 3, soft.shape), 0, 255))


def png(pixels):
    """Its file."""
    return _file(pixels, "PNG")


def jpeg(pixels, quality=85):
    """Its file."""
    return _file(pixels, "JPEG", quality=quality)


def pixels_of(data):
    """uint8 [H, W, 3] of a file."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _file(pixels, format, **options):
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format, **options)
    return buffer.getvalue()
