"""`tag` and `read` on clips: outcomes and exit statuses as for pictures."""

import json
import os

import pytest

from faketagger.components.contract import pretrained
from faketagger.serving.commands import common, read
from faketagger.serving.outcomes import Outcome
from faketagger.tests import helpers as general
from faketagger.tests.serving.video import helpers

pytestmark = pytest.mark.slow

SIZE = (256, 192)


def _write(path, frames, **options):
    with open(path, "wb") as file:
        file.write(helpers.coded(frames, **options).getvalue())


@pytest.fixture
def model(pattern_model):
    return f"--model={pattern_model}"


def test_a_clip_is_tagged_read_refused_when_tagged_and_replaced(faketagger, model):
    _write("in.mp4", helpers.spots(6, SIZE), sound="aac", crf=5)
    general.write_key("key")
    flags = ("--key_file=key", model)
    assert faketagger("read", "in.mp4", *flags)[0] == Outcome.NO_TAG.exit_code
    code, out, err = faketagger("tag", "in.mp4", "out.mp4", "--uid=171", "--json", *flags)
    made = json.loads(out)
    assert (code, made["outcome"], made["format"], made["frames"], made["faces"]) == (0, "tagged", "mp4", 6, [])
    assert made["bytes"] == os.path.getsize("out.mp4")
    assert "out.mp4: no face is found in it" in err
    code, out, _ = faketagger("read", "out.mp4", "--json", *flags)
    (found,) = json.loads(out)
    assert (code, found["uid"], found["outcome"], found["faces"], found["frames_read"]) == (0, 171, "tagged", [], 3)
    code, out, err = faketagger("tag", "out.mp4", "twice.mp4", "--uid=3", *flags)
    assert (code, out) == (Outcome.REFUSED.exit_code, "") and "carries a tag of this key already, UID 171" in err
    assert faketagger("tag", "out.mp4", "twice.mkv", "--uid=3", "--replace", *flags)[0] == 0
    assert faketagger("read", "twice.mkv", *flags)[1].startswith("twice.mkv  UID 3 ")


def test_folders_hold_pictures_and_clips(faketagger, model):
    os.mkdir("album")
    _write("album/a.mkv", helpers.spots(4, SIZE), format="matroska", crf=5)
    _write("album/b.avi", helpers.spots(4, SIZE, seed=5), format="avi", codec="mjpeg")
    with open("album/c.png", "wb") as file:
        file.write(general.smooth_file())
    faketagger("keygen", "key")
    assert faketagger("tag", "album", "--out=tagged", "--uid=9", "--key_file=key", model)[0] == 0
    assert sorted(os.listdir("tagged")) == ["a.mkv", "b.mp4", "c.png"]
    found = json.loads(faketagger("read", "tagged", "--json", "--key_file=key", model)[1])
    assert [each["uid"] for each in found] == [9, 9, 9]


def test_what_is_no_clip_or_too_long_has_its_outcome_and_leaves_nothing(faketagger, model, monkeypatch):
    from faketagger.serving.video import clips

    _write("in.mp4", helpers.spots(6, SIZE))
    with open("in.mp4", "rb") as file, open("half.mp4", "wb") as half:
        half.write(file.read()[:900])
    faketagger("keygen", "key")
    flags = ("--uid=1", "--key_file=key", model)
    code, _, err = faketagger("tag", "half.mp4", "out.mp4", *flags)
    assert code == Outcome.DAMAGED.exit_code and "half.mp4: a broken clip" in err
    assert faketagger("read", "half.mp4", "--key_file=key", model)[0] == Outcome.DAMAGED.exit_code
    code, _, err = faketagger("tag", "in.mp4", "out.png", *flags)
    assert code == Outcome.REFUSED.exit_code and "out.png: in.mp4 is a clip, not a picture" in err
    code, _, err = faketagger("tag", "in.jpg", "out.mp4", *flags)
    assert code == Outcome.REFUSED.exit_code and "out.mp4: in.jpg is a picture, not a clip" in err
    assert faketagger("tag", "in.mp4", "out.webm", *flags)[0] == common.USAGE
    monkeypatch.setattr(clips.Clip.__init__, "__defaults__", ("clip", clips.Limits(frames=3)))
    code, _, err = faketagger("tag", "in.mp4", "out.mp4", *flags)
    assert code == Outcome.REFUSED.exit_code and "in.mp4: more than 3 frames: cut it into parts" in err
    assert not [name for name in os.listdir() if name.startswith((".faketagger", "out"))]


def test_a_tag_that_does_not_hold_leaves_no_file(faketagger, model):
    _write("in.mp4", helpers.spots(4, SIZE))
    faketagger("keygen", "key")
    code, _, err = faketagger("tag", "in.mp4", "out.mp4", "--uid=1", "--strength=0.001", "--key_file=key", model)
    assert code == Outcome.REFUSED.exit_code and "out.mp4: the tag does not hold" in err
    assert not os.path.exists("out.mp4")


def test_a_drawn_face_that_moves_is_tagged_by_the_shipped_tagger_and_found_where_it_is(faketagger):
    places = [(100 + 3 * number, 96) for number in range(10)]
    _write("in.mp4", helpers.faces(places, SIZE))
    faketagger("keygen", "key")
    flags = ("--key_file=key", f"--model={pretrained.TAGGER}")
    assert faketagger("tag", "in.mp4", "out.mp4", "--uid=12345", *flags)[0] == 0
    (found,) = json.loads(faketagger("read", "out.mp4", "--json", *flags)[1])
    (face,) = found["faces"]
    assert (face["uid"], face["seconds"]) == (12345, [0.0, 0.32])
    left, top, right, bottom = face["box"]
    assert abs((left + right) / 2 - 112) < 20 and abs((top + bottom) / 2 - 100) < 30
    assert ", from 0.0 to 0.3 s  UID 12345 " in read.sentence(found, 30)
