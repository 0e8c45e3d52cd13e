"""A tagger of dark and light blocks along the top of a picture, and pictures to tag."""

import io

import numpy as np
from PIL import Image

from faketagger.serving.outcomes import Outcome
from faketagger.serving.platform.tagger import Found, UnfitError

BITS = 16
KEY = "0123abcd"
ROWS, _MARK = 2, (1, 0)


class BlockTagger:
    """A Tagger.

    `uncertain`: what is read is no more than perhaps; `faint`: the UIDs whose tags can be told when they are asked for,
    and only so; `boxes`: the faces that are found.
    """

    def __init__(self, bits=BITS):
        self.bits, self.uncertain, self.boxes = bits, False, ()
        self.faint, self.asked = (), []
        self.broken = None

    def uid_bits(self):
        return self.bits

    def read(self, pixels):
        self._may_break()
        levels = [pixels[:ROWS, part].mean() for part in self._parts(pixels)]
        bits = [int(level > 128) for level in levels]
        clear = all(level < 104 or level > 152 for level in levels) and tuple(bits[:2]) == _MARK and not self.faint
        uid = int("".join(map(str, bits[2:])), 2)
        outcome = Outcome.NO_TAG if not clear else Outcome.PERHAPS if self.uncertain else Outcome.TAGGED
        return Found(outcome, uid, 1e-9 if clear else 1.0, "", KEY, self.boxes)

    def agreement(self, pixels, uids):
        self.asked.append(list(uids))
        return [1e-7 if uid in self.faint else 1.0 for uid in uids]

    def tag(self, picture, uid, replace):
        self._may_break()
        if not replace and self.read(picture.rgb()).outcome is Outcome.TAGGED:
            raise UnfitError("it is tagged already")
        bits = [*_MARK, *(uid >> place & 1 for place in reversed(range(self.bits)))]
        for part, bit in zip(self._parts(picture.pixels), bits):
            picture.pixels[:ROWS, part] = 168 if bit else 88

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
    """A picture with as much in its details as photographs have, uint8 [side, side, 3]: a seed, a picture."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=[3, side, side]))
    distance = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) * side
    soft = np.fft.ifft2(noise / np.maximum(distance, 1) ** 1.3).real
    soft = (soft - soft.mean((1, 2), keepdims=True)) / soft.std((1, 2), keepdims=True)
    return np.ascontiguousarray(np.uint8(np.clip(128 + 45 * soft, 20, 235)).transpose(1, 2, 0))


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
