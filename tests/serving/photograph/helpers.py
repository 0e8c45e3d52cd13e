"""Faces without photographs of people, and a tagger of patterns as the photograph room calls it."""

import numpy as np

from faketagger.components.contract import payload
from faketagger.components.faces.alignment import CELEBA_HQ
from faketagger.components.faces.detector import Face
from faketagger.serving.photograph import reading, tagging
from faketagger.serving.photograph.views import Photograph
from faketagger.tests import helpers, stubs

UID = 171
TAGGER = stubs.PatternTagger()
PAYLOAD = payload.Payload.of_key(b"a key of these tests", stubs.PATTERN_MATRIX)


def face(x, y, eyes, degrees=0.0):
    """A face upright but for a turn, its eyes' middle at (x, y), `eyes` pixels apart."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    shape = CELEBA_HQ.landmarks(1) * CELEBA_HQ.side - CELEBA_HQ.landmarks(1)[:2].mean(0) * CELEBA_HQ.side
    landmarks = eyes * shape @ [[cos, sin], [-sin, cos]] + (x, y)
    box = (*(landmarks.min(0) - eyes / 2), *(landmarks.max(0) + eyes / 2))
    return Face(tuple(map(float, box)), landmarks, landmarks, 1.0)


def smooth(height, width, seed=0):
    """A photograph of soft spots of colour, uint8 [H, W, 3]."""
    import cv2

    spots = helpers.smooth_pictures(np.random.default_rng(seed), 1, 64)[0]
    return np.uint8(cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC).clip(0.1, 0.9) * 255)


def encode(views, uid=UID):
    """What TaggerClient hands to tagging.tag."""
    codeword = np.repeat(PAYLOAD.codeword(uid)[None], len(views), 0)
    return TAGGER.encode(np.float32(views), codeword, np.ones([len(views)], np.float32))["images"].numpy()


def decode(views):
    """What TaggerClient hands to a Reader."""
    return TAGGER.decode(np.float32(views), np.zeros([len(views), 64], np.float32))["logits"].numpy()


def reader():
    """Of the tags that `encode` makes."""
    return reading.Reader(decode, [PAYLOAD], "0123abcd", stubs.SIZE, 1e-6)


def tagged(pixels, faces=()):
    """A photograph with its tags, uint8 [H, W, 3]."""
    return tagging.tag(Photograph(pixels, faces), encode, stubs.SIZE)[0].on(pixels)
