"""The search brings back what was turned, cut or framed, and the p-value of all it tries stays a promise."""

import cv2
import numpy as np
import pytest

from faketagger.components.contract import payload
from faketagger.serving.outcomes import Outcome
from faketagger.serving.photograph import reading, search
from faketagger.serving.photograph.views import Photograph
from faketagger.tests.serving.photograph import helpers

HEIGHT, WIDTH = 300, 400


@pytest.fixture(scope="module")
def tagged():
    """A photograph without faces."""
    return helpers.tagged(helpers.smooth(HEIGHT, WIDTH))


def _read(pixels, depth=search.THOROUGH):
    pixels = np.ascontiguousarray(pixels)
    photograph = Photograph(pixels, ())
    photograph.turned_faces = lambda quarter_turns, inverted: []  # There is none, and looking takes long.
    return helpers.reader().read(photograph, depth)


def _band(pixels):
    """On a tall page, over itself enlarged and blurred, as stories have it."""
    page = cv2.GaussianBlur(cv2.resize(pixels, (400, 700)), (0, 0), 15)
    page[200:500] = pixels
    return page


def _rotated(pixels, degrees):
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 1.0)
    return cv2.warpAffine(pixels, matrix, (WIDTH, HEIGHT))


@pytest.mark.parametrize(
    "change, how",
    [
        (lambda it: it, ""),
        (lambda it: it[:, ::-1], "mirrored"),
        (lambda it: np.rot90(it), "turned by 270° clockwise"),
        (lambda it: np.rot90(it, 2), "turned by 180° clockwise"),
        (lambda it: np.rot90(it, 3)[:, ::-1], "mirrored and turned by 270° clockwise"),
        (lambda it: 255 - it, "inverted"),
        (lambda it: np.pad(it, ((70, 50), (0, 0), (0, 0))), "with a rim"),
        (lambda it: np.pad(it, ((40, 40), (40, 40), (0, 0)), constant_values=240), "with a rim"),
        (lambda it: _band(it), "with a rim"),
        (lambda it: np.pad(it, ((0, 0), (60, 60), (0, 0)))[:, ::-1], "mirrored and with a rim"),
        (lambda it: it[:, : WIDTH * 9 // 10], "cropped"),
        (lambda it: it[HEIGHT // 5 :], "cropped"),
        (lambda it: it[:, 50:350], "cropped"),
        (lambda it: _rotated(it, 5), "turned a little"),
        (lambda it: _rotated(it, -8), "turned a little"),
    ],
)
def test_a_changed_photograph_is_read_and_it_is_said_how_it_was_changed(tagged, change, how):
    found = _read(change(tagged))
    assert (found.uid, found.outcome, found.whole.how) == (helpers.UID, Outcome.TAGGED, how)


def test_the_search_ends_when_a_tag_is_found_and_goes_on_as_far_as_it_is_asked_to(tagged):
    assert _read(tagged).tries == 1
    mirrored = tagged[:, ::-1]
    assert _read(mirrored, search.LOOK).outcome is Outcome.NO_TAG
    assert 1 < _read(mirrored).tries < 10
    plain = _read(helpers.smooth(HEIGHT, WIDTH))
    assert plain.outcome is Outcome.NO_TAG and plain.tries > 100


def test_another_key_reads_no_tag(tagged):
    other = payload.Payload.of_key(b"another key of these tests", helpers.PAYLOAD.code_matrix)
    reader = reading.Reader(helpers.decode, [other], "0123abcd", 32, 1e-6)
    found = reader.read(Photograph(tagged, ()), 2)
    assert (found.outcome, found.key_fingerprint) == (Outcome.NO_TAG, "0123abcd")


def test_a_tag_of_either_version_is_read_and_trying_both_doubles_the_p_value():
    key = b"a key of these tests"
    payloads = [payload.Payload.of_key(key, helpers.PAYLOAD.code_matrix, version) for version in (2, 1)]
    signs = {version: 2 * payloads[2 - version].codeword(9) - 1 for version in (1, 2)}
    photograph = Photograph(helpers.smooth(64, 64), ())
    for version in (1, 2):

        def decode(views, version=version):
            return np.float32(np.repeat(signs[version][None], len(views), 0))

        both = reading.Reader(decode, payloads, "0123abcd", 32, 1e-6).read(photograph)
        alone = reading.Reader(decode, payloads[2 - version :][:1], "0123abcd", 32, 1e-6).read(photograph)
        assert (both.uid, both.best.payload_version, both.tries) == (9, version, 2)
        assert both.best.p_value == pytest.approx(2 * alone.best.p_value)


def test_no_view_is_shown_to_the_decoder_twice():
    photograph = Photograph(helpers.smooth(64, 64), [helpers.face(30, 30, 8)])
    photograph.turned_faces = lambda quarter_turns, inverted: []
    shown = []

    def decode(views):
        shown.extend(each.tobytes() for each in views)
        return np.zeros([len(views), 64], np.float32)

    reading.Reader(decode, [helpers.PAYLOAD], "0123abcd", 32, 1e-6).read(photograph)
    assert len(shown) > 100 and len(set(shown)) == len(shown)


def test_averaging_reads_what_no_single_view_would():
    photograph = Photograph(helpers.smooth(64, 64), ())
    random = np.random.default_rng(0)
    signs = 2 * helpers.PAYLOAD.codeword(helpers.UID) - 1

    def noisy(views):
        return np.float32(signs + random.normal(0, 1.6, [len(views), 64]))

    reader = reading.Reader(noisy, [helpers.PAYLOAD], "0123abcd", 32, 1e-6)
    found = reader.read(photograph, 2)
    assert found.uid == helpers.UID and found.tries == 4


def test_a_known_uid_is_proven_where_nothing_can_be_read_unasked():
    photograph = Photograph(helpers.smooth(64, 64), ())
    noise = np.random.default_rng(0).normal(0, 1.5, 64)
    faintly = np.float32(2 * helpers.PAYLOAD.codeword(helpers.UID) - 1 + noise)

    def faint(views):
        return np.repeat(faintly[None], len(views), 0)

    reader = reading.Reader(faint, [helpers.PAYLOAD], "0123abcd", 32, 1e-6)
    unasked = reader.read(photograph).best
    assert unasked.uid is None
    (asked,) = reader.agreement(photograph, [helpers.UID])
    assert asked < 1e-6 and asked < unasked.p_value / 10
    other, one_of_two = reader.agreement(photograph, [helpers.UID + 1, helpers.UID])
    assert one_of_two == pytest.approx(2 * asked) and other > 0.01


def test_the_agreement_with_known_uids_stays_a_promise_over_random_keys():
    photograph = Photograph(helpers.smooth(64, 64), [helpers.face(x, 30, 8) for x in (10, 30, 50)])
    random = np.random.default_rng(4)
    logits = {}

    class Fixed(reading.Reader):
        def _averaged(self, photograph, hypotheses, known):
            count = len(hypotheses)
            return logits.setdefault(count, np.float32(random.normal(0, 3, [count, 64])))

    p_values = []
    for _ in range(300):
        masked = payload.Payload(helpers.PAYLOAD.code_matrix, random.integers(0, 2, 64, dtype=np.uint8))
        p_values.append(min(Fixed(None, [masked], "0123abcd", 32, 1e-6).agreement(photograph, [3, 9, 27])))
    for level in (0.5, 0.3, 0.1):
        assert np.mean(np.array(p_values) <= level) <= level
    assert min(p_values) < 0.3  # And is no empty one.


def test_the_shares_of_the_stages_add_up_to_one_and_a_stage_divides_its_own_equally():
    assert sum(search._SHARES) == 1 and len(search._SHARES) == search.THOROUGH
    photograph = Photograph(helpers.smooth(120, 160), [helpers.face(80, 60, 20)])
    first, second = search.stages(photograph, 2)
    assert (len(first.hypotheses), first.tries) == (3, 6)
    assert second.tries == len(second.hypotheses) / 0.25


@pytest.mark.slow
def test_the_p_value_stays_a_promise_over_random_keys():
    """A code of one bit, for which Chernoff's bound is near; logits of an untagged photograph, another a view."""
    code_matrix = np.ones([1, 31], np.uint8)
    photograph = Photograph(helpers.smooth(64, 64), [helpers.face(x, 30, 8) for x in (10, 20, 30, 40, 50)])
    random = np.random.default_rng(3)
    stages = list(search.stages(photograph, 2))
    logits = {len(each.hypotheses): random.normal(0, 3, [len(each.hypotheses), 31]) for each in stages}

    class Fixed(reading.Reader):
        def _averaged(self, photograph, hypotheses, known):
            return np.float32(logits[len(hypotheses)])

    p_values, uncorrected = [], []
    for _ in range(1000):
        mask = random.integers(0, 2, 31, dtype=np.uint8)
        reader = Fixed(None, [payload.Payload(code_matrix, mask)], "0123abcd", 32, 1e-6)
        p_values.append(reader.read(photograph, 2).best.p_value)
        tried = [each.p_value / stage.tries for stage in stages for each in reader._try(photograph, stage, 1.0, {})]
        uncorrected.append(min(tried))
    for level in (0.3, 0.1, 0.03, 0.01):
        assert np.mean(np.array(p_values) <= level) <= level
    # The test would see it if what was tried were not counted.
    assert np.mean(np.array(uncorrected) <= 0.1) > 0.1


def test_faces_of_a_part_are_told_where_they_are_in_the_whole():
    region = reading.RegionReading(5, 1.0, False, 0.5, 2, box=(1.0, 2.0, 3.0, 4.0))
    found = reading.PhotographReading((region,), region, 1, "0123abcd").moved(10, 20)
    assert found.faces[0].box == (11.0, 22.0, 13.0, 24.0)


@pytest.mark.parametrize(
    "p_value, tagged, outcome, code",
    [(1e-9, True, "tagged", 0), (1e-3, False, "perhaps", 4), (1.0, False, "no tag", 3)],
)
def test_an_outcome_has_a_word_and_an_exit_status(p_value, tagged, outcome, code):
    found = reading.RegionReading(5, p_value, tagged, 0.5, 2)
    assert (found.outcome.value, found.outcome.exit_code) == (outcome, code)
    assert found.uid == (5 if tagged else None)
