"""The client tags and reads photographs in process and over gRPC alike."""

import shutil
import types

import numpy as np
import pytest

from faketagger.components.contract import payload
from faketagger.serving import client
from faketagger.serving.server import start_server
from faketagger.tests import stubs
from faketagger.tests.serving.photograph import helpers

pytestmark = pytest.mark.slow

KEY = b"a key of these tests"


@pytest.fixture(scope="module")
def base_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    stubs.save_pattern_tagger(str(path / "1"))
    return path


@pytest.fixture(scope="module", params=["in process", "over gRPC"])
def tagger(request, base_path):
    if request.param == "in process":
        yield client.TaggerClient(client.load(str(base_path)), KEY)
        return
    running = start_server(str(base_path), poll_seconds=3600)
    tagger = client.TaggerClient(client.connect(f"localhost:{running.port}"), KEY)
    yield tagger
    tagger.close()
    running.stop(0)


def test_a_photograph_is_tagged_checked_and_read(tagger):
    pixels = helpers.smooth(240, 320)
    before = pixels.copy()
    tag = tagger.photograph_tag(pixels, 171)
    tagged = tag.overlay.on(pixels)
    assert np.array_equal(pixels, before) and tag.whole and tag.faces == () and tag.replaced is None
    found = tagger.check(tagged, 171, tag)
    assert (found.uid, found.key_fingerprint) == (171, payload.fingerprint(KEY))
    assert tagger.read_photograph(tagged[:, ::-1].copy()).uid == 171
    assert tagger.read_photograph(pixels, depth=2).uid is None


def test_a_photograph_that_carries_a_tag_is_refused_unless_it_is_to_be_replaced(tagger):
    pixels = helpers.smooth(240, 320)
    tagged = tagger.photograph_tag(pixels, 171).overlay.on(pixels)
    with pytest.raises(
        client.AlreadyTaggedError, match="in.jpg: carries a tag of this key already, UID 171"
    ) as refused:
        tagger.photograph_tag(tagged, 5, name="in.jpg")
    assert refused.value.reading.uid == 171
    tag = tagger.photograph_tag(tagged, 5, replace=True)
    assert tag.replaced.uid == 171
    assert tagger.read_photograph(tag.overlay.on(tagged)).uid == 5


def test_the_check_finds_a_tag_that_does_not_hold(tagger):
    pixels = helpers.smooth(240, 320)
    tag = tagger.photograph_tag(pixels, 171)
    with pytest.raises(client.NotReadError, match="the tag does not hold: UID 171 was put in, and no tag is read"):
        tagger.check(pixels, 171, tag)
    with pytest.raises(client.NotReadError, match="UID 7 was put in, and UID 171 is read"):
        tagger.check(tag.overlay.on(pixels), 7, tag)


def test_the_callers_mistakes_are_told(tagger):
    pixels = helpers.smooth(24, 32)
    with pytest.raises(client.TaggerError, match="a number from 0 to 255, got 256"):
        tagger.photograph_tag(pixels, 256)
    for strength in (0.0, float("nan")):
        with pytest.raises(client.TaggerError, match="the strength is a number above 0"):
            tagger.photograph_tag(pixels, 5, strength)
    with pytest.raises(client.PictureError, match="picture: a strength of 30 would spoil it"):
        tagger.photograph_tag(pixels, 5, 30.0)
    with pytest.raises(ValueError, match="a photograph is uint8"):
        tagger.read_photograph(pixels[..., 0])


def test_a_client_goes_over_to_a_newer_version_though_the_older_is_still_there(monkeypatch):
    asked = []

    class Versions(client.Backend):
        latest = 1

        def predict(self, signature, inputs, outputs=(), version=None):
            asked.append(version)
            if signature == "describe":
                manifest = stubs.pattern_manifest().to_json()
                return {"manifest": np.array([manifest.encode()], object)}, self.latest
            raise client.TaggerError("asked")

        def status(self):
            raise AssertionError

    tagger, clock = client.TaggerClient(Versions(), KEY), [0.0]
    monkeypatch.setattr(client, "time", types.SimpleNamespace(monotonic=lambda: clock[0]))
    for now, latest in ((1.0, 1), (50.0, 2), (70.0, 2)):
        clock[0], Versions.latest = now, latest
        with pytest.raises(client.TaggerError, match="asked"):
            tagger.read_photograph(helpers.smooth(64, 64))
    assert [version for version in asked if version] == [1, 1, 2]


def test_a_client_follows_the_server_to_a_new_version_in_the_midst_of_photographs(tmp_path, base_path):
    shutil.copytree(base_path / "1", tmp_path / "1")
    running = start_server(str(tmp_path), poll_seconds=3600)
    tagger = client.TaggerClient(client.connect(f"localhost:{running.port}"), KEY)
    pixels = helpers.smooth(64, 64)
    tagged = tagger.photograph_tag(pixels, 9).overlay.on(pixels)
    shutil.copytree(base_path / "1", tmp_path / "2")
    running.manager.poll()
    assert tagger.read_photograph(tagged).uid == 9
    tagger.close()
    running.stop(0)
