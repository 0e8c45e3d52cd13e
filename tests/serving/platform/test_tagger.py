"""The platform around the client itself, with a tagger of patterns in this process."""

import numpy as np
import pytest

from faketagger.components.contract import picture_decoding
from faketagger.serving.outcomes import Outcome
from faketagger.serving.platform import service
from faketagger.serving.platform.fingerprints import Change
from faketagger.serving.platform.service import RefusedError
from faketagger.serving.platform.tagger import ClientTagger, UnavailableError, UnfitError
from faketagger.tests.serving.platform.stubs import jpeg, pixels_of, png, scene

pytestmark = pytest.mark.slow
KEY = b"faketagger-key-2-of the platform's tests"


@pytest.fixture(scope="module")
def client_tagger(pattern_model):
    from faketagger.serving import client

    made = ClientTagger(client.load(pattern_model), KEY)
    yield made
    made.close()


@pytest.fixture
def platform(engine, client_tagger):
    return service.Service(engine, client_tagger)


def _soft(seed):
    return np.uint8(0.5 * scene(seed, 256) + 64)


def test_a_picture_is_tagged_verified_and_held(platform, callers):
    upload = platform.fetch(callers["ann"], platform.upload(callers["ann"], png(_soft(1)), "a.png").id)
    verdict = platform.verify(callers["ann"], jpeg(pixels_of(upload.file), 90))
    assert (verdict.outcome, verdict.mine, verdict.change) == (Outcome.TAGGED, True, Change.NONE)
    assert platform.upload(callers["bob"], upload.file, "b.png").outcome == service.HELD
    assert platform.verify(callers["bob"], png(_soft(2))).outcome is Outcome.NO_TAG


def test_uids_are_as_large_as_the_taggers(client_tagger):
    assert client_tagger.uid_bits() == 8


def test_what_is_tagged_is_not_tagged_again_unless_it_is_replaced(client_tagger):
    picture = picture_decoding.decode(png(_soft(1)))
    made = client_tagger.tag(picture, 7, replace=False)
    client_tagger.check(picture.rgb(), 7, made)
    # Neither error names a UID: the picture may be another's.
    with pytest.raises(UnfitError, match="^the picture carries a tag already$"):
        client_tagger.tag(picture, 8, replace=False)
    with pytest.raises(UnfitError, match="^the tag does not hold in this picture$"):
        client_tagger.check(picture.rgb(), 9, made)
    client_tagger.tag(picture, 8, replace=True)
    assert client_tagger.read(picture.rgb()).candidate == 8


def test_a_tag_is_told_from_others_when_it_is_asked_for(client_tagger):
    picture = picture_decoding.decode(png(_soft(1)))
    client_tagger.tag(picture, 7, replace=False)
    other, own = client_tagger.agreement(picture.rgb(), [8, 7])
    assert own < 1e-9 and other > 0.05
    assert min(client_tagger.agreement(_soft(2), [7, 8])) > 0.05


def test_a_picture_of_nothing_visible_is_refused(platform, callers):
    from PIL import Image

    from faketagger.tests import helpers

    empty = helpers.file_of(Image.new("RGBA", (100, 100)), "PNG")
    with pytest.raises(RefusedError, match="nothing in the picture is visible"):
        platform.upload(callers["ann"], empty, "a.png")


def test_a_server_that_is_away_is_told():
    from faketagger.serving import client

    with pytest.raises(UnavailableError):
        ClientTagger(client.connect("127.0.0.1:1", timeout=0.5), KEY).uid_bits()
