"""`tag` and `read` on files as people have them: kinds, folders, tables, pipes, and what goes wrong."""

import errno
import functools
import io
import json
import os
import secrets
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from faketagger.components.contract import images, payload, picture_decoding, picture_encoding, startup
from faketagger.components.example_gen import face_drawing
from faketagger.serving import client
from faketagger.serving.commands import common, inputs, outputs, read
from faketagger.serving.outcomes import Outcome
from faketagger.serving.server import start_server
from faketagger.tests import helpers

pytestmark = pytest.mark.slow

EXIF = Image.Exif()
EXIF[0x8298] = "nobody"


def _write(path, data):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def _smooth(size=96):
    return np.uint8(helpers.smooth_pictures(np.random.default_rng(7), 1, size)[0] * 255)


def _decoded(path):
    with open(path, "rb") as file:
        return picture_decoding.decode(file)


def _listed(folder="."):
    found = (os.path.relpath(os.path.join(place, it), folder) for place, _, names in os.walk(folder) for it in names)
    return sorted(it for it in found if it != "in.jpg")


@pytest.fixture(autouse=True)
def one_loaded_model(monkeypatch):
    """Loading takes longer than what is tested here."""
    monkeypatch.setattr(client, "load", _load)


@functools.cache
def _load(path):
    return client._InProcessBackend(path)


@pytest.fixture
def model(pattern_model):
    return f"--model={pattern_model}"


@pytest.fixture
def program(faketagger, model):
    """Runs the program itself, where the fixture `faketagger` is; returns what subprocess.run does, in bytes."""
    faketagger("keygen", "key")

    def run(*arguments, **options):
        command = [sys.executable, "-m", "faketagger", *arguments, "--key_file=key", model]
        return subprocess.run(command, **{"capture_output": True, "timeout": 120, **options})

    return run


# One picture


def test_tag_makes_the_default_key_and_read_finds_the_uid(faketagger, model, tmp_path):
    code, out, err = faketagger("tag", "in.jpg", "out.png", "--uid", "11", model)
    key_file = tmp_path / "home" / ".config" / "faketagger" / "key"
    assert (code, out) == (0, "out.png: tagged with UID 11\n")
    assert err.startswith(f"faketagger: made a new key, {key_file};")
    assert err.endswith("faketagger: out.png: no face is found in it: one tag lies over the whole\n")
    assert key_file.stat().st_mode & 0o777 == 0o600
    code, out, err = faketagger("read", "out.png", model)
    assert (code, err) == (0, "")
    assert out.startswith("out.png  UID 11          an untagged picture scores this high with probability ≤ ")
    assert faketagger("tag", "in.jpg", "again.png", "--whole", "--uid", "11", model)[2] == ""


def test_tag_says_version_and_key_as_read_does(faketagger, model):
    tagged = json.loads(faketagger("tag", "in.jpg", "out.png", "--uid", "11", "--json", model)[1])
    assert tagged["payload_version"] == 2 and len(tagged["key_fingerprint"]) == 8
    (found,) = json.loads(faketagger("read", "out.png", "--json", model)[1])
    assert {found[name] == tagged[name] for name in ("uid", "payload_version", "key_fingerprint")} == {True}


def test_what_carries_a_tag_is_refused_unless_it_is_to_be_replaced(faketagger, model):
    faketagger("tag", "in.jpg", "one.png", "--uid=11", model)
    code, _, err = faketagger("tag", "one.png", "two.png", "--uid=12", model)
    assert code == Outcome.REFUSED.exit_code and "one.png: carries a tag of this key already, UID 11" in err
    code, _, err = faketagger("tag", "one.png", "two.png", "--uid=12", "--replace", model)
    assert code == 0 and "two.png: carried UID 11 before" in err
    assert json.loads(faketagger("read", "two.png", "--json", model)[1])[0]["uid"] == 12


def test_a_strength_that_spoils_the_picture_is_refused(faketagger, model):
    code, out, err = faketagger("tag", "in.jpg", "out.png", "--uid=11", "--strength=50", model)
    assert (code, out) == (Outcome.REFUSED.exit_code, "") and "a strength of 50 would spoil it" in err
    assert _listed() == []


def test_a_tag_that_does_not_hold_is_refused_unless_it_is_not_to_be_verified(faketagger, model):
    faint = ("tag", "in.jpg", "out.png", "--uid=11", "--strength=0.001", model)
    code, out, err = faketagger(*faint)
    assert (code, out) == (Outcome.REFUSED.exit_code, "") and "out.png: the tag does not hold" in err
    assert _listed() == []
    assert faketagger(*faint, "--no-verify")[0] == 0
    assert _listed() == ["out.png"]


def test_a_server_named_by_the_environment_is_asked(faketagger, pattern_model, tmp_path, monkeypatch):
    shutil.copytree(pattern_model, tmp_path / "models" / "1")
    running = start_server(str(tmp_path / "models"), poll_seconds=3600)
    monkeypatch.setenv(common.SERVER_VARIABLE, f"localhost:{running.port}")
    assert faketagger("tag", "in.jpg", "out.png", "--uid", "11")[0] == 0
    assert faketagger("read", "out.png", "--json")[1].count('"uid": 11') == 1
    running.stop(0)


def test_read_sets_broken_pictures_aside_counts_them_and_ends_with_1(faketagger, model):
    faketagger("tag", "in.jpg", "out.png", "--uid", "11", model)
    _write("empty.jpg", b"")
    _write("half.jpg", helpers.smooth_file("JPEG")[:300])
    code, out, err = faketagger("read", "empty.jpg", "half.jpg", "gone.jpg", "out.png", "--json", model)
    findings = json.loads(out)
    assert code == common.FAILED
    assert [it["file"] for it in findings] == ["empty.jpg", "half.jpg", "gone.jpg", "out.png"]
    assert [it["outcome"] for it in findings] == ["damaged file", "damaged file", "failed", "tagged"]
    assert (findings[3]["uid"], findings[3]["candidate"], findings[3]["tagged"]) == (11, 11, True)
    assert findings[3]["p_value"] <= 1e-6 and findings[3]["faces"] == []
    assert "empty.jpg: the file is empty" in err and "gone.jpg: No such file" in err
    assert err.endswith("faketagger: 4 pictures: 2 damaged file, 1 failed, 1 tagged\n")


def test_read_ends_with_3_when_a_picture_carries_no_tag_of_this_key(faketagger, model):
    for name in ("first", "other"):
        helpers.write_key(f"{name}.key", name)
    faketagger("tag", "in.jpg", "out.png", "--uid", "11", "--key_file", "first.key", model)
    code, out, _ = faketagger("read", "out.png", "--key_file", "other.key", model)
    assert code == Outcome.NO_TAG.exit_code and out.startswith("out.png  no tag")
    other = payload.fingerprint(payload.read_key("other.key"))
    assert out.splitlines()[0].endswith(f"; key {other}")


def test_read_never_makes_a_key(faketagger, model, tmp_path):
    code, out, err = faketagger("read", "in.jpg", model)
    assert (code, out) == (common.FAILED, "")
    assert "key" in err and err.count("\n") == 1
    assert not (tmp_path / "home").exists()


def test_tag_refuses_unknown_outputs_and_its_own_input_before_anything_else(faketagger, model, tmp_path):
    code, _, err = faketagger("tag", "in.jpg", "out.xyz", "--uid", "1", model)
    assert code == common.USAGE and "must end in one of .png, .jpg, " in err
    _write("in.png", helpers.smooth_file())
    os.link("in.png", "link.png")
    for output in ("in.png", "./in.png", "link.png"):
        code, _, err = faketagger("tag", "in.png", output, "--overwrite", "--uid", "1", model)
        assert code == common.USAGE and "is the input" in err
    with open("in.png", "rb") as file:
        assert file.read() == helpers.smooth_file()
    assert not (tmp_path / "home").exists()


def test_tag_leaves_no_output_behind_when_it_fails(faketagger, model):
    code, _, err = faketagger("tag", "in.jpg", "out.png", "--uid", "256", model)
    assert code == Outcome.REFUSED.exit_code and "number from 0 to 255, got 256" in err
    code, _, err = faketagger("tag", "in.jpg", "in.jpg/out.png", "--uid", "1", model)
    assert code == common.FAILED and "in.jpg/out.png: " in err
    assert os.listdir(".") == ["in.jpg"]


@pytest.mark.parametrize("p_value, said", [(0.03, "no tag for sure, perhaps UID 7 "), (1.0, "no tag  ")])
def test_a_likely_candidate_is_named_as_no_more_than_that(p_value, said):
    finding = {"uid": None, "candidate": 7, "tagged": False, "p_value": p_value, "score": 0.3, "how": ""}
    face = {**finding, "box": (1.0, 2.0, 30.0, 40.0)}
    line, of_face = read.sentence({**finding, "file": "fake.jpg", "faces": [face]}, 8).splitlines()
    assert f"fake.jpg  {said}" in line and of_face.startswith(f"  face at 1, 2, 30, 40  {said}")


def test_the_shipped_tagger_works_at_once_without_a_server(faketagger):
    face = face_drawing.draw(face_drawing.sample_traits(3, 1), 200)
    Image.fromarray(face).save("face.png")
    assert faketagger("tag", "face.png", "tagged.png", "--uid", "123456789")[0] == 0
    code, out, err = faketagger("read", "tagged.png")
    assert (code, err) == (0, "") and out.startswith("tagged.png  UID 123456789 ")
    Image.open("tagged.png").save("shared.jpg", quality=75)
    assert json.loads(faketagger("read", "shared.jpg", "--json")[1])[0]["candidate"] == 123456789
    assert faketagger("read", "face.png")[0] in (Outcome.NO_TAG.exit_code, Outcome.PERHAPS.exit_code)  # By the key.
    assert images.load_image("tagged.png").shape == face.shape
    root_mean_square = np.sqrt(np.mean(np.square(np.float64(images.load_image("tagged.png")) - face)))
    assert 20 * np.log10(255 / root_mean_square) > 35.5


# Kinds of files


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_a_lossless_file_changes_by_the_tag_alone(faketagger, model, format):
    _write("in.bin", helpers.file_of(_smooth(), format))
    assert faketagger("tag", "in.bin", "--out=out", "--uid=5", model)[0] == 0
    (name,) = os.listdir("out")
    assert name == "in" + picture_encoding.ENDINGS[format][0]
    before, after = _decoded("in.bin"), _decoded(f"out/{name}")
    assert after.format == format and after.pixels.shape == before.pixels.shape
    assert 5 < np.abs(after.pixels.astype(int) - before.pixels).max() < 80
    assert faketagger("read", f"out/{name}", model)[0] == 0


def test_a_tiny_strength_changes_no_pixel_by_more_than_it(faketagger, model):
    for name, dtype in (("eight.png", np.uint8), ("deep.png", np.uint16)):
        white = np.iinfo(dtype).max
        pixels = (_smooth() / 255.0 * white).round().astype(dtype)
        _write(
            name, helpers.file_of(pixels) if dtype == np.uint8 else cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
        )
        assert faketagger("tag", name, f"out-{name}", "--uid=5", "--strength=0.02", "--no-verify", model)[0] == 0
        after = _decoded(f"out-{name}").pixels
        assert after.dtype == dtype
        change = np.abs(after.astype(int) - pixels) / white
        assert 0 < change.max() < 0.01
    assert len(np.unique(after.astype(int) - pixels)) > 100  # Added in its own depth.


def test_a_jpeg_comes_out_as_a_jpeg_with_its_tables_subsampling_and_metadata(faketagger, model):
    data = helpers.file_of(_smooth(), "JPEG", quality=63, subsampling=2, exif=EXIF, comment=b"mine", dpi=(300, 300))
    _write("a.jpe", data)
    assert faketagger("tag", "a.jpe", "--beside", "--uid=5", model)[0] == 0
    before, after = Image.open("a.jpe"), Image.open("a.tagged.jpe")
    assert before.quantization == after.quantization
    assert JpegImagePlugin.get_sampling(after) == 2
    for key in ("exif", "comment", "dpi"):
        assert before.info[key] == after.info[key]
    assert faketagger("read", "a.tagged.jpe", model)[0] == 0


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA"])
def test_grey_stays_grey_and_alpha_stays_alpha(faketagger, model, mode):
    pixels = np.dstack([_smooth(), np.full([96, 96], 250, np.uint8)])
    _write("in.png", helpers.file_of(Image.fromarray(pixels).convert(mode)))
    assert faketagger("tag", "in.png", "out.png", "--uid=5", model)[0] == 0
    before, after = _decoded("in.png"), _decoded("out.png")
    assert Image.open("out.png").mode == mode
    if after.has_alpha:
        np.testing.assert_array_equal(after.pixels[..., -1], before.pixels[..., -1])
    assert json.loads(faketagger("read", "out.png", "--json", model)[1])[0]["uid"] == 5


def test_a_cutout_is_tagged_where_it_is_seen(faketagger, model):
    pixels = np.dstack([_smooth(160), np.zeros([160, 160], np.uint8)])
    pixels[40:120, 30:110, 3] = 255
    _write("in.png", helpers.file_of(Image.fromarray(pixels)))
    assert faketagger("tag", "in.png", "out.png", "--uid=5", model)[0] == 0
    after, seen = _decoded("out.png").pixels, pixels[..., 3] > 0
    np.testing.assert_array_equal(after[~seen], pixels[~seen])
    assert np.abs(after[seen].astype(int) - pixels[seen]).max() > 5
    assert faketagger("read", "out.png", model)[0] == 0


@pytest.mark.parametrize("format", ["GIF", "AVIF"])
def test_a_format_that_is_not_written_becomes_png_and_that_is_told(faketagger, model, format):
    _write("in.bin", helpers.file_of(_smooth(), format))
    code, out, err = faketagger("tag", "in.bin", "--out=out", "--uid=5", model)
    assert (code, out) == (0, "out/in.png: tagged with UID 5\n")
    assert f"out/in.png: {format} becomes PNG" in err
    assert faketagger("read", "out/in.png", model)[0] == 0


@pytest.mark.parametrize(
    "name, data, outcome, said",
    [
        ("tiny.png", helpers.smooth_file(size=(100, 39)), Outcome.REFUSED, "100×39 pixels are too few"),
        ("cut.jpg", helpers.smooth_file("JPEG")[:-100], Outcome.DAMAGED, "not a readable picture"),
        ("note.txt", b"text", Outcome.DAMAGED, "not a picture in a known format"),
        ("empty.png", b"", Outcome.DAMAGED, "the file is empty"),
        ("huge.png", helpers.png_claiming(20_000, 20_000), Outcome.REFUSED, "over 200,000,000 pixels"),
        (
            "film.gif",
            helpers.file_of(_smooth(), "GIF", save_all=True, append_images=[Image.fromarray(255 - _smooth())]),
            Outcome.REFUSED,
            "2 pictures in one file",
        ),
    ],
)
def test_what_is_not_tagged_is_told_with_an_outcome_and_nothing_is_written(
    faketagger, model, name, data, outcome, said
):
    _write(name, data)
    code, out, err = faketagger("tag", name, "out.png", "--uid=5", "--json", model)
    assert code == outcome.exit_code and said in err and err.count("\n") == 1
    assert json.loads(out)["outcome"] == outcome.value and said in json.loads(out)["error"]
    assert _listed() == [name]


def test_a_larger_picture_is_taken_where_it_is_allowed_and_a_smaller_one_not(faketagger, model):
    _write("in.png", helpers.smooth_file(size=(100, 50)))
    assert faketagger("tag", "in.png", "out.png", "--uid=5", "--max_megapixels=0.0049", model)[0] == 6
    assert faketagger("tag", "in.png", "out.png", "--uid=5", "--max_megapixels=0.005", model)[0] == 0


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_cut_file_is_read_as_far_as_it_goes_and_that_is_told(faketagger, model, format):
    _write("in.bin", helpers.file_of(_smooth(), format))
    faketagger("tag", "in.bin", "--out=out", "--uid=5", model)
    (name,) = os.listdir("out")
    with open(f"out/{name}", "rb") as file:
        data = file.read()
    _write("cut", data[: int(0.98 * len(data))])
    code, out, err = faketagger("read", "cut", model)
    assert code == 0 and "UID 5 " in out and err.startswith("faketagger: cut: damaged: ")


# Many files


def test_a_folder_goes_to_a_folder_by_content_and_what_is_no_picture_is_counted(faketagger, model):
    _write("in/a.jpeg", helpers.smooth_file("JPEG"))
    _write("in/b.png", helpers.smooth_file("JPEG"))  # A lie, told by many.
    _write("in/deep/c", helpers.smooth_file("TIFF"))
    _write("in/deep/note.txt", b"no picture")
    _write("in/.hidden.png", helpers.smooth_file())
    code, out, err = faketagger("tag", "in", "--out", "in/out", "--uid=5", model)
    assert (code, _listed("in/out")) == (0, ["a.jpeg", "b.jpg", "deep/c.tif"])
    assert out.splitlines() == [f"in/out/{it}: tagged with UID 5" for it in _listed("in/out")]
    left_out = "left out, as no pictures, hidden or links: 2 (in/.hidden.png, in/deep/note.txt)"
    assert err.endswith(f"faketagger: 3 pictures: 3 tagged; {left_out}\n")
    again = faketagger("tag", "in", "--out", "in/out", "--uid=6", model)
    assert again[0] == 1 and again[2].endswith(f"3 pictures: 3 refused; {left_out}\n")
    assert faketagger("tag", "in", "--out", "in/out", "--uid=6", "--overwrite", model)[0] == 0
    findings = json.loads(faketagger("read", "in/out", "--json", model)[1])
    assert [(it["outcome"], it["uid"]) for it in findings] == [("tagged", 6)] * 3


def test_a_folder_within_that_cannot_be_listed_is_told(faketagger, model, monkeypatch):
    for name in ("in/a.jpg", "in/closed/b.jpg"):
        _write(name, helpers.smooth_file("JPEG"))
    scandir = os.scandir

    def refusing(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [each.below for each in inputs.find(["in"], None).inputs] == ["a.jpg", "closed"]
    code, _, err = faketagger("tag", "in", "--out=out", "--uid=5", model)
    assert code == 1 and "in/closed: " in err and _listed("out") == ["a.jpg"]


def test_one_bad_file_does_not_stop_the_rest(faketagger, model):
    for name in ("a.jpg", "c.jpg"):
        _write(name, helpers.smooth_file("JPEG"))
    _write("b.jpg", b"\xff\xd8\xffbroken")
    code, out, err = faketagger("tag", "a.jpg", "b.jpg", "gone.jpg", "c.jpg", "--out=out", "--uid=5", "--json", model)
    findings = json.loads(out)
    assert code == 1 and _listed("out") == ["a.jpg", "c.jpg"]
    assert [it["outcome"] for it in findings] == ["tagged", "damaged file", "failed", "tagged"]
    assert findings[0]["bytes"] == os.path.getsize("out/a.jpg") and findings[0]["input"] == "a.jpg"
    assert "gone.jpg: No such file or directory" in err
    assert err.endswith("faketagger: 4 pictures: 2 tagged, 1 damaged file, 1 failed\n")


def test_nothing_is_written_beside_standard_input(faketagger, model):
    before = _listed(".")
    code, _, said = faketagger("tag", "-", "--beside", "--uid=5", model)
    assert code and "- has no place for anything --beside it" in said and _listed(".") == before


def test_beside_marks_names_and_does_not_take_what_it_made_for_an_input(faketagger, model):
    for name in ("a.jpg", "a.png"):
        _write(f"in/{name}", helpers.smooth_file("JPEG" if name == "a.jpg" else "PNG"))
    assert faketagger("tag", "in", "--beside", "--uid=5", model)[0] == 0
    assert _listed("in") == ["a.jpg", "a.png", "a.tagged.jpg", "a.tagged.png"]
    code, _, err = faketagger("tag", "in", "--beside", "--overwrite", "--uid=6", model)
    assert (code, len(_listed("in"))) == (0, 4)
    assert "passed over, by their names outputs of an earlier call: 2 (in/a.tagged.jpg, …)" in err


def test_two_pictures_that_would_have_one_output_have_two(faketagger, model):
    for format in ("GIF", "PNG"):
        _write(f"in/a.{format.lower()}", helpers.file_of(_smooth(), format))
    assert faketagger("tag", "in", "--out=out", "--uid=5", model)[0] == 0
    assert _listed("out") == ["a.png", "a.png.png"]


def test_flags_may_be_written_with_hyphens_and_values_and_names_stay_as_they_are():
    arguments = ["read", "a-b.jpg", "--key-file=c-d", "--max-megapixels", "3", "--", "--e-f.jpg"]
    parsed = read.make_parser().parse(arguments)
    assert (parsed.inputs, parsed.key_file, parsed.max_megapixels) == (["a-b.jpg", "--e-f.jpg"], "c-d", 3)


def test_flags_may_stand_between_names(faketagger, model):
    assert faketagger("tag", "in.jpg", "--uid=5", "out.png", model)[0] == 0 and _listed() == ["out.png"]


def test_patterns_are_matched_where_no_shell_did_it(faketagger, model):
    for name in ("in/a.jpg", "in/b.jpg", "in/c.png"):
        _write(name, helpers.smooth_file("JPEG"))
    assert faketagger("tag", "in/*.jpg", "--out=out", "--uid=5", model)[0] == 0
    assert _listed("out") == ["a.jpg", "b.jpg"]
    code, _, err = faketagger("read", "in/*.gif", model)
    assert code == 1 and "in/*.gif: No such file" in err


@pytest.mark.parametrize("header", ["path,uid\n", "\ufefffile,number\n", ""])
def test_a_table_says_which_picture_has_which_uid(faketagger, model, header):
    for name in ("t/a.jpg", "t/sub/b.png"):
        _write(name, helpers.smooth_file("JPEG" if name.endswith("jpg") else "PNG"))
    _write("t/uids.csv", f"{header}a.jpg,3\nsub/b.png, 12\na.jpg,256\n".encode())
    code, _, err = faketagger("tag", "--csv=t/uids.csv", "--out=out", "--overwrite", model)
    assert code == 1 and _listed("out") == ["a.jpg", "sub/b.png"]
    assert err.endswith("3 pictures: 2 tagged, 1 refused\n")
    _write("out/uids.csv", b"a.jpg,3\nsub/b.png,7\n")
    code, out, _ = faketagger("read", "--csv=out/uids.csv", model)
    assert code == 0 and "UID 3 " in out and "UID 12, not 7 " in out


def test_a_table_with_a_row_that_is_none_is_refused_with_the_row(faketagger, model):
    _write("uids.csv", b"path,uid\na.jpg,3\nb.jpg,many\n")
    code, out, err = faketagger("tag", "--csv=uids.csv", "--out=out", model)
    assert (code, out) == (1, "")
    assert err == "faketagger: uids.csv: picture 2: expected a path and a UID, found 'b.jpg,many'\n"


def test_a_first_row_that_names_a_picture_is_no_header(faketagger, model):
    _write("uids.csv", b"gone.jpg,12a\nin.jpg,3\n")
    code, out, err = faketagger("tag", "--csv=uids.csv", "--out=out", model)
    assert (code, out) == (1, "") and "uids.csv: picture 1: expected a path and a UID, found 'gone.jpg,12a'" in err


def test_links_to_folders_are_not_followed_and_told(faketagger, model):
    _write("in/a.png", helpers.smooth_file())
    os.symlink(".", "in/round")
    err = faketagger("tag", "in", "--out=out", "--uid=5", model)[2]
    assert _listed("out") == ["a.png"] and err.endswith("hidden or links: 1 (in/round)\n")


def test_json_is_json_though_the_server_is_not_there(faketagger):
    code, out, err = faketagger("tag", "in.jpg", "out.png", "--uid=5", "--json", "--server=localhost:1", "--timeout=1")
    assert code == common.FAILED and json.loads(out)["outcome"] == "failed" and json.loads(out)["error"] in err


def test_names_do_not_command_the_terminal(faketagger, model):
    _write("in/\x1b[2J\n.png", helpers.smooth_file())
    code, out, err = faketagger("tag", "in", "--out=out", "--uid=5", model)
    assert (code, out) == (0, "out/\\x1b[2J\\x0a.png: tagged with UID 5\n") and _listed("out") == ["\x1b[2J\n.png"]
    assert "\x1b" not in err and faketagger("read", "out", model)[1].startswith("out/\\x1b[2J\\x0a.png  UID 5 ")
    assert json.loads(faketagger("read", "out", "--json", model)[1])[0]["file"] == "out/\x1b[2J\n.png"


def test_what_nobody_has_thought_of_costs_one_picture(faketagger, model, monkeypatch):
    _write("in/a.png", helpers.smooth_file())
    _write("in/b.png", helpers.smooth_file())
    decode = picture_decoding.decode
    monkeypatch.setattr(
        picture_decoding,
        "decode",
        lambda file, name="", **how: decode(file, name, **how) if "a.png" not in name else {}[7],
    )
    code, out, err = faketagger("tag", "in", "--out=out", "--uid=5", "--no_verify", model)
    assert (code, out) == (1, "out/b.png: tagged with UID 5\n")
    assert "faketagger: in/a.png: failed by KeyError: 7 (test_commands.py:" in err


def test_a_file_that_appears_meanwhile_is_not_replaced(faketagger, model, monkeypatch):
    def encode(found, file, format=None):
        _write("out.png", b"somebody's")
        file.write(helpers.smooth_file())

    monkeypatch.setattr(picture_encoding, "encode", encode)
    code, _, err = faketagger("tag", "in.jpg", "out.png", "--uid=5", "--no_verify", model)
    assert (code, err.splitlines()[-1]) == (1, "faketagger: out.png: File exists")
    assert open("out.png", "rb").read() == b"somebody's" and _listed() == ["out.png"]
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no links")))
    os.remove("out.png")
    assert "out.png: File exists" in faketagger("tag", "in.jpg", "out.png", "--uid=5", "--no_verify", model)[2]
    assert _listed() == ["out.png"]


@pytest.mark.parametrize("uid", ["12x", "9" * 5000])
def test_a_first_row_of_a_picture_that_is_there_is_no_header(faketagger, model, uid):
    _write("uids.csv", f"in.jpg,{uid}\n".encode())
    code, _, err = faketagger("tag", "--csv=uids.csv", "--out=out", model)
    assert code == common.FAILED and "uids.csv: picture 1: expected a path and a UID" in err


@pytest.mark.parametrize("megapixels", ["nan", "inf", "0", "-1", "many"])
def test_a_bound_that_is_no_number_of_pixels_ends_with_2(faketagger, model, megapixels):
    code, _, err = faketagger("read", "in.jpg", f"--max_megapixels={megapixels}", model)
    assert code == common.USAGE and "--max_megapixels" in err and err.count("\n") == 1


def test_of_programs_that_make_the_default_key_at_once_all_go_on_with_the_same(faketagger, model, monkeypatch):
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: not str(path).endswith("/key") and exists(path))
    fingerprints = set()
    for name in ("one.png", "two.png"):
        code, out, _ = faketagger("tag", "in.jpg", name, "--uid", "11", "--json", model)
        assert code == 0
        fingerprints.add(json.loads(out)["key_fingerprint"])
    assert len(fingerprints) == 1


_ENDED_WHILE_IT_WRITES = """
import os, signal, sys
from faketagger.serving.commands import outputs, tag

def encode(file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))

tag.run = lambda arguments: outputs.write("out.png", encode)
tag.main(["faketagger tag", "in.jpg", "out.png", "--uid=5"])
"""


@pytest.mark.parametrize("name, code", [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_program_that_is_ended_while_it_writes_leaves_nothing_behind(faketagger, name, code):
    done = subprocess.run([sys.executable, "-c", _ENDED_WHILE_IT_WRITES, name], capture_output=True, timeout=120)
    assert done.returncode == code and b"Traceback" not in done.stderr and _listed() == []


def test_no_picture_at_all_is_told(faketagger, model):
    _write("in/note.txt", b"text")
    code, out, err = faketagger("tag", "in", "--out=o", "--uid=1", model)
    assert (code, out, err) == (1, "", "faketagger: in: no pictures there (1 are none, hidden or links)\n")


# Never over what is there


def test_an_input_is_never_replaced(faketagger, model):
    data = helpers.smooth_file("JPEG")
    _write("in/a.jpg", data)
    code, _, err = faketagger("tag", "in", "--out=in", "--overwrite", "--uid=5", model)
    with open("in/a.jpg", "rb") as file:
        kept = file.read()
    assert kept == data
    assert code == 0 or "is an input" in err


def test_two_names_are_an_input_and_its_output_which_is_not_replaced_unasked(faketagger, model):
    for name in ("a.jpg", "b.jpg"):
        _write(name, helpers.smooth_file("JPEG"))
    code, _, err = faketagger("tag", "a.jpg", "b.jpg", "--uid=5", model)
    assert code == 2 and "b.jpg: is there already; --overwrite replaces it" in err
    assert faketagger("tag", "a.jpg", "b.jpg", "--uid=5", "--overwrite", model)[0] == 0
    assert faketagger("read", "b.jpg", model)[0] == 0


def test_a_write_that_fails_leaves_nothing_and_what_was_there(faketagger, model, monkeypatch):
    _write("a.jpg", helpers.smooth_file("JPEG"))
    _write("out.png", b"old")

    def fill(picture, file, format):
        file.write(b"half a picture")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(picture_encoding, "encode", fill)
    code, out, err = faketagger("tag", "a.jpg", "out.png", "--overwrite", "--uid=5", model)
    assert (code, out) == (1, "") and err.endswith("faketagger: out.png: No space left on device\n")
    assert _listed() == ["a.jpg", "out.png"]
    with open("out.png", "rb") as file:
        assert file.read() == b"old"


def test_a_part_that_another_worker_writes_is_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(secrets, "token_hex", lambda count: count * "ab")

    def encode(file):
        with pytest.raises(FileExistsError):
            outputs.write(str(tmp_path / "other.png"), lambda file: file.write(b"other"))
        file.write(b"first")

    assert outputs.write(str(tmp_path / "first.png"), encode) == 5
    assert os.listdir(tmp_path) == ["first.png"]


def test_devices_are_written_to_and_not_replaced(faketagger, model):
    code, _, err = faketagger("tag", "in.jpg", "/dev/full", "--uid=5", model)
    assert code == 1 and "No space left on device" in err
    assert not os.path.isfile("/dev/full")


# Pipes and names


def test_standard_input_and_output_take_and_give_pictures(program):
    data = helpers.smooth_file("JPEG")
    tagged = program("tag", "-", "-", "--uid=5", input=data)
    assert tagged.returncode == 0 and picture_decoding.decode(tagged.stdout).format == "JPEG"
    assert tagged.stderr.startswith(b"-: tagged with UID 5\n")
    read = program("read", "-", "--json", input=tagged.stdout)
    assert json.loads(read.stdout)[0]["uid"] == 5


def test_what_cannot_seek_is_held(tmp_path):
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    writer = subprocess.Popen([sys.executable, "-c", f"open({path!r}, 'wb').write(b'x' * 100_000)"])
    with inputs.open_input(path) as file:
        assert isinstance(file, io.BytesIO) and file.seek(0, 2) == 100_000
    assert writer.wait(30) == 0


def test_names_that_are_no_utf8_work_and_are_told_as_they_are(program):
    name = os.fsdecode(b"caf\xe9.jpg")
    try:
        _write(name, helpers.smooth_file("JPEG"))
    except OSError:
        pytest.skip("this file system has no such names")
    tagged = program("tag", name, "--out=out", "--uid=5")
    assert (tagged.returncode, tagged.stdout) == (0, b"out/caf\xe9.jpg: tagged with UID 5\n")
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    read = program("read", os.path.join("out", name), env=environment)
    assert read.returncode == 0 and read.stderr == b""
    assert read.stdout.startswith(b"out/caf\xe9.jpg  UID 5 ") and b"probability <= " in read.stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_output_in_any_encoding_is_legible(encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    startup.legible_output()
    print("caf\udce9 ≤ … 語", flush=True)
    written = stream.buffer.getvalue()
    assert written.startswith(b"caf\xe9 ")
    if encoding == "ascii":
        assert written == b"caf\xe9 <= ... ?\n"


def test_a_closed_pipe_ends_it_without_a_word(program):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = program("read", "in.jpg", capture_output=False, stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


def test_output_that_is_full_is_told(program):
    with open("/dev/full", "wb") as full:
        done = program("read", "in.jpg", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"faketagger read: standard output: No space left on device\n"


def test_images_loads_what_was_tagged(faketagger, model):
    assert faketagger("tag", "in.jpg", "out.webp", "--uid=5", model)[0] == 0
    assert images.load_image("out.webp").shape == (96, 96, 3)
