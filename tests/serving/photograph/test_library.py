"""The library: five lines on pictures of Pillow's and NumPy's; importing it loads nothing large and says nothing."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import faketagger
from faketagger.components.contract import payload
from faketagger.tests import stubs
from faketagger.tests.serving.photograph import helpers

KEY = b"a key of these tests"


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tagger"))
    stubs.save_pattern_tagger(path)
    with faketagger.Tagger(KEY, model=path) as tagger:
        yield tagger


@pytest.mark.slow
def test_importing_the_library_loads_nothing_large_and_changes_and_says_nothing():
    code = """
import logging, os, sys, warnings
import cv2, numpy, PIL.ImageOps  # NumPy adds filters of warnings.
before = dict(os.environ), list(warnings.filters), logging.root.handlers[:], logging.root.level
from faketagger import AlreadyTaggedError, NotReadError, Outcome, PictureError, Tagged, Tagger, TaggerError
assert (dict(os.environ), list(warnings.filters), logging.root.handlers[:], logging.root.level) == before
assert not {"tensorflow", "grpc", "tfx", "galois", "absl"} & set(sys.modules), set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_an_image_comes_back_tagged_in_its_mode_with_its_metadata(tagger, mode):
    image = Image.fromarray(helpers.smooth(200, 300)).convert(mode)
    image.info = {"dpi": (300, 300), "icc_profile": b"a profile"}
    before = image.tobytes()
    made = tagger.tag(image, 171)
    assert (made.image.mode, made.image.size, made.image.info) == (mode, image.size, image.info)
    assert image.tobytes() == before and made.faces == () and made.replaced is None
    found = tagger.read(made.image)
    assert (found.uid, found.outcome) == (171, faketagger.Outcome.TAGGED)
    assert tagger.read(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).uid is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape, dtype", [((200, 300), np.uint8), ((200, 300, 3), np.uint16), ((200, 300, 1), np.uint8)]
)
def test_an_array_comes_back_in_its_shape_and_depth(tagger, shape, dtype):
    grey = helpers.smooth(200, 300)[..., :1].astype(dtype)
    array = np.broadcast_to(grey if len(shape) == 3 else grey[..., 0], shape).copy()
    array *= 257 if dtype is np.uint16 else 1
    made = tagger.tag(array, 9).image
    assert (made.shape, made.dtype) == (shape, dtype) and tagger.read(made).uid == 9
    assert tagger.read(array).uid is None


@pytest.mark.slow
def test_an_image_is_turned_as_its_exif_data_say(tagger):
    image = Image.fromarray(helpers.smooth(200, 300))
    image.getexif()[0x0112] = 6
    made = tagger.tag(image, 171).image
    assert made.size == (200, 300) and made.getexif().get(0x0112, 1) == 1
    assert tagger.read(made).best.how == ""


@pytest.mark.slow
def test_of_a_cutout_the_tag_lies_over_what_is_visible(tagger):
    pixels = np.zeros([300, 400, 4], np.uint8)
    pixels[60:260, 50:350] = np.dstack([helpers.smooth(200, 300), np.full([200, 300], 255)])
    made = tagger.tag(pixels, 171).image
    assert not made[:60].any() and tagger.read(made).uid == 171
    assert tagger.read(made[60:260, 50:350, :3]).best.how == ""
    with pytest.raises(ValueError, match="all of the picture is transparent"):
        tagger.read(np.zeros([50, 50, 4], np.uint8))


@pytest.mark.slow
def test_a_tagged_picture_is_refused_and_a_tag_that_does_not_hold_is_told(tagger):
    image = Image.fromarray(helpers.smooth(200, 300))
    tagged = tagger.tag(image, 171).image
    with pytest.raises(faketagger.AlreadyTaggedError, match="UID 171"):
        tagger.tag(tagged, 5)
    assert tagger.tag(tagged, 5, replace=True).replaced.uid == 171
    with pytest.raises(faketagger.NotReadError):
        tagger.tag(image, 5, strength=1e-6)
    assert tagger.tag(image, 5, strength=1e-6, verify=False).image.size == image.size


@pytest.mark.slow
@pytest.mark.parametrize(
    "image, said",
    [
        (Image.new("CMYK", (9, 9)), "got CMYK"),
        (np.zeros([9, 9, 3]), r"got float64 \[9, 9, 3\]"),
        (np.zeros([9], np.uint8), r"got uint8 \[9\]"),
        (np.zeros([9, 0, 3], np.uint8), "of 1 to 4 channels"),
        (np.zeros([9, 9, 5], np.uint8), "of 1 to 4 channels"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(tagger, image, said):
    with pytest.raises(ValueError, match=said):
        tagger.tag(image, 5)


def test_a_key_is_a_file_or_its_bytes_and_a_tagger_runs_in_one_place(tmp_path):
    with pytest.raises(ValueError, match="no.key: No such file"):
        faketagger.Tagger(tmp_path / "no.key")
    with pytest.raises(ValueError, match="not both"):
        faketagger.Tagger(KEY, model="a", server="b")


@pytest.mark.slow
def test_the_answer_names_the_key(tagger):
    found = tagger.read(helpers.smooth(60, 60))
    assert found.key_fingerprint == tagger.key_fingerprint == payload.fingerprint(KEY)
    assert faketagger.Tagger(KEY + b"\n").key_fingerprint == payload.fingerprint(KEY)  # As from a file.


def test_an_image_of_which_a_colour_is_transparent_is_refused(tagger):
    image = Image.new("RGB", (64, 64))
    image.info["transparency"] = (0, 0, 0)
    with pytest.raises(ValueError, match=r"stands for transparency: convert\(\) it to LA or RGBA"):
        tagger.tag(image, 3)
