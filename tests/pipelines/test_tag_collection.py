"""Whole archives: bad files, two owners, a run that is killed and goes on, the registry, and what is read back."""

import fcntl
import functools
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pyarrow import parquet

from faketagger.components.contract import images
from faketagger.pipelines import tag_collection
from faketagger.pipelines.archive import plan
from faketagger.serving import client
from faketagger.serving.commands import common, read, tag
from faketagger.serving.platform import DATABASE_VARIABLE, registry, tables
from faketagger.serving.platform.accounts import Accounts
from faketagger.tests import helpers, stubs

pytestmark = pytest.mark.slow

NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("pattern") / "tagger")
    stubs.save_pattern_tagger(path)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder with a key; the model is loaded once."""
    for name in (common.KEY_FILE_VARIABLE, common.SERVER_VARIABLE, DATABASE_VARIABLE):
        monkeypatch.setenv(name, "")  # Also what the command sets is then undone.
        monkeypatch.delenv(name)
    monkeypatch.setattr(client, "load", functools.cache(client._InProcessBackend))
    monkeypatch.chdir(tmp_path)
    helpers.write_key("key")
    return tmp_path


@pytest.fixture
def archive(model, capsys):
    """Runs the command; returns exit code, stdout and stderr."""

    def run(*arguments, key="key"):
        given = ["archive", *arguments, f"--key_file={key}"]
        if not any(each.startswith("--server") for each in arguments):
            given.append(f"--model={model}")
        code = tag_collection.run(tag_collection.make_parser().parse(given))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def _write(path, data):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def _picture(seed, format="JPEG", mode="RGB"):
    pixels = np.uint8(helpers.smooth_pictures(np.random.default_rng(seed), 1, 96)[0] * 255)
    return helpers.file_of(Image.fromarray(pixels).convert(mode), format)


def _fill(folder, count):
    for number in range(count):
        _write(f"{folder}/{number % 3}/{number:03d}.jpg", _picture(number))


def _rows(path="out/manifest.parquet"):
    """The manifest's rows by the end of their paths."""
    return {os.path.basename(row["path"]): row for row in parquet.read_table(path).to_pylist()}


def _files(folder):
    return sorted(
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        for name in names
        if not place.endswith(".faketagger-archive")
    )


def test_bad_files_stop_nothing_and_stand_in_the_manifest_with_the_reason(archive, here):
    _write("in/deep/a.jpg", _picture(1))
    _write("in/cmyk.jpg", _picture(2, mode="CMYK"))
    _write("in/picture.gif", _picture(3, "GIF"))
    _write(os.path.join("in", NOT_UTF8), _picture(4))
    _write("in/cut.jpg", _picture(5)[:-200])
    _write("in/empty.png", b"")
    _write("in/junk.jpg", b"no picture at all")
    _write("in/note.txt", b"nor is this, and it does not say so")
    _write("in/blocked/b.jpg", _picture(6))
    _write("out/blocked", b"a file where a folder has to be")
    os.symlink("nowhere", "in/gone.jpg")
    code, out, err = archive("in", "--out=out")
    rows = _rows()
    assert code == common.FAILED and out == f"{here}/out/manifest.parquet\n"
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "a.jpg": "tagged",
        "cmyk.jpg": "tagged",
        "picture.gif": "tagged",
        "caf\\xe9.jpg": "tagged",
        "cut.jpg": "damaged file",
        "empty.png": "damaged file",
        "junk.jpg": "damaged file",
        "b.jpg": "failed",
        "gone.jpg": "failed",
    }
    assert _files("out") == sorted(
        ["blocked", NOT_UTF8, "cmyk.jpg", "deep/a.jpg", "manifest.parquet", "picture.gif.png"]
    )
    assert "the file is empty" in rows["empty.png"]["error"] and "No such file" in rows["gone.jpg"]["error"]
    assert "CMYK becomes RGB" in rows["cmyk.jpg"]["notes"] and rows["picture.gif"]["format"] == "PNG"
    assert sorted(row["uid"] for row in rows.values()) == list(range(1, 10))
    assert err.endswith("faketagger: 9 pictures: 4 tagged, 3 damaged file, 2 failed\n")
    os.remove("out/blocked")
    assert archive("in", "--out=out")[0] == common.FAILED
    assert _rows()["b.jpg"]["outcome"] == "tagged" and _rows()["gone.jpg"]["outcome"] == "failed"


def test_no_picture_of_an_archive_is_replaced_and_another_archive_is_refused(archive, here):
    for folder, seed in (("in/deep", 1), ("other/deep", 2)):
        _write(f"{folder}/a.jpg", _picture(seed))
    for given in ("in", "in/deep"):
        code, _, err = archive(given, f"--out={given}")
        assert code == common.FAILED and "a.jpg: a picture that would be replaced: choose another --out" in err
    with open("in/deep/a.jpg", "rb") as file:
        assert file.read() == _picture(1)
    _write("out/deep/a.jpg", b"somebody's")
    code, _, err = archive("in", "--out=out")
    assert code == common.FAILED and "out/deep/a.jpg: a picture that would be replaced: choose another --out" in err
    os.rename("out/deep/a.jpg", "out/deep/a.jpg.png")  # Its place, were the JPEG a PNG within.
    code, _, err = archive("in", "--out=out")
    assert code == common.FAILED and "out/deep/a.jpg.png: a picture that would be replaced" in err
    os.remove("out/deep/a.jpg.png")
    _write("in/deep/.hidden.jpg", _picture(3))
    assert archive("in", "--out=out")[0] == common.OK and list(_rows()) == ["a.jpg"]
    assert archive("in", "--out=out")[0] == common.OK
    _write("in/deep/mine.jpg", _picture(4))
    _write("out/deep/mine.jpg", b"somebody's")
    code, _, err = archive("in", "--out=out")
    assert code == common.FAILED and "out/deep/mine.jpg: a picture that would be replaced" in err
    os.remove("out/deep/mine.jpg")
    os.remove("out/deep/a.jpg")
    assert (
        archive("in", "--out=out")[0] == common.OK
        and os.path.exists("out/deep/a.jpg")
        and os.path.exists("out/deep/mine.jpg")
    )
    with open("out/.faketagger-archive/lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, err = archive("in", "--out=out")
        assert code == common.FAILED and err.endswith(
            "out: another run is at work there: wait for it, or choose another --out\n"
        )
    code, _, err = archive("other", "--out=out")
    assert code == common.FAILED and "in/deep/a.jpg: another archive needs another --out" in err


def test_clips_among_photographs_are_left_out_and_told_wherever_they_are_named(archive, here):
    clip = b"\0\0\0\x18ftypisom" + bytes(100)
    _write("in/a.jpg", _picture(1))
    _write("in/day/film.mp4", clip)
    _write("in/b.jpg", _picture(2))
    code, _, err = archive("in", "--out=out")
    assert code == common.OK and {name: row["uid"] for name, row in _rows().items()} == {"a.jpg": 1, "b.jpg": 2}
    assert f"left out, as clips, which `faketagger tag` takes: 1 ({here}/in/day/film.mp4)\n" in err
    code, _, err = archive("in/day/film.mp4", "--out=other")
    assert code == common.FAILED and "film.mp4: no pictures there" in err


def test_a_file_over_the_limit_fails_and_the_others_are_tagged(archive, monkeypatch):
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 20_000)
    _write("in/a.jpg", _picture(1))
    _write("in/large.jpg", _picture(2) + bytes(20_000))
    assert archive("in", "--out=out")[0] == common.FAILED
    assert {name: row["outcome"] for name, row in _rows().items()} == {"a.jpg": "tagged", "large.jpg": "failed"}
    assert "bytes is over 20,000" in _rows()["large.jpg"]["error"]


def test_a_picture_comes_out_as_the_tag_command_makes_it_and_its_row_says_how_it_looks(archive, model, capsys):
    _write("in/a.jpg", _picture(1))
    assert archive("in", "--out=out", "--first_uid=77")[0] == common.OK
    given = ["tag", "in/a.jpg", "one.jpg", "--uid=77", "--key_file=key", f"--model={model}", "--json"]
    assert tag.run(tag.make_parser().parse(given)) == common.OK
    told = json.loads(capsys.readouterr().out)
    assert pathlib.Path("one.jpg").read_bytes() == pathlib.Path("out/a.jpg").read_bytes()
    row = _rows()["a.jpg"]
    for name in ("uid", "key_fingerprint", "payload_version", "format", "bytes"):
        assert row[name] == told[name]
    before, after = (np.asarray(Image.open(it), np.float64) for it in ("in/a.jpg", "out/a.jpg"))
    assert row["psnr"] == pytest.approx(20 * np.log10(255 / np.sqrt(np.mean((before - after) ** 2))), abs=1e-6)
    assert 0 < row["visibility"] < 30 and (row["faces"], row["faces_tagged"], row["error"]) == (0, 0, None)


def test_what_is_done_is_not_done_again_what_is_new_is_and_keeps_to_its_own_uid(archive):
    _fill("in", 5)
    assert archive("in", "--out=out")[0] == common.OK
    before = {name: os.stat(f"out/{name}") for name in _files("out") if name != "manifest.parquet"}
    uids = {name: row["uid"] for name, row in _rows().items()}
    _write("in/0/000a.jpg", _picture(77))
    assert archive("in", "--out=out")[0] == common.OK
    after = {name: os.stat(f"out/{name}") for name in before}
    assert [(it.st_mtime_ns, it.st_ino) for it in after.values()] == [
        (it.st_mtime_ns, it.st_ino) for it in before.values()
    ]
    assert {name: row["uid"] for name, row in _rows().items()} == {**uids, "000a.jpg": 6}


def test_a_killed_run_goes_on_and_every_picture_is_tagged_once(archive, model):
    count = 3 * plan.PART
    _fill("in", count)
    command = ["-m", "faketagger", "archive", "in", "--out=out", "--key_file=key", f"--model={model}", "--first_uid=9"]
    running = subprocess.Popen([sys.executable, *command], start_new_session=True)
    first = pathlib.Path("out/.faketagger-archive/done-0000000.parquet")
    until = time.monotonic() + 300
    while not first.exists() and time.monotonic() < until and running.poll() is None:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL and first.exists() and not os.path.exists("out/manifest.parquet")
    done = [row["path"] for row in parquet.read_table(first).to_pylist()]
    kept = {path: os.stat(path.replace("/in/", "/out/")) for path in done}
    assert len(done) == plan.PART
    assert archive("in", "--out=out", "--first_uid=9")[0] == common.OK
    rows = parquet.read_table("out/manifest.parquet").to_pylist()
    assert sorted(row["uid"] for row in rows) == list(range(9, 9 + count))
    assert len({row["path"] for row in rows}) == count == len(_files("out")) - 1
    for path, before in kept.items():
        after = os.stat(path.replace("/in/", "/out/"))
        assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    expected = "path,uid\n" + "".join(f"{row['output']},{row['uid']}\n" for row in rows)
    _write("expected.csv", expected.encode())
    code, out, _ = archive("--csv=expected.csv", "--read")
    assert code == common.OK and ", not " not in out and out.count("  UID ") == count


def test_an_owner_s_pictures_carry_one_uid_also_those_that_come_later(archive):
    _fill("in", 4)
    _write("in/owners.csv", b"path,owner\n0/000.jpg,ann\n1/001.jpg,bob\n2/002.jpg,ann\n")
    assert archive("--csv=in/owners.csv", "--out=out")[0] == common.OK
    uids = {(row["owner"], row["uid"]) for row in _rows().values()}
    assert len(uids) == 2 and {uid for _, uid in uids} == {1, 2}
    _write("in/owners.csv", b"path,owner\n0/000.jpg,ann\n1/001.jpg,bob\n2/002.jpg,ann\n0/003.jpg,bob\n")
    assert archive("--csv=in/owners.csv", "--out=out")[0] == common.OK
    assert {(row["owner"], row["uid"]) for row in _rows().values()} == uids
    code, out, _ = archive("out", "--read", "--out=readings")
    found = {os.path.basename(row["path"]): row["uid"] for row in _rows("readings/readings.parquet").values()}
    assert code == common.OK and found == {name: row["uid"] for name, row in _rows().items()}
    assert out.count(f"  UID {dict(uids)['ann']}\n") == 2


def test_a_uid_that_a_table_says_of_one_picture_is_that_of_all_its_owner_s(archive):
    _fill("in", 5)
    rows = ["0/000.jpg,,ann", "1/001.jpg,7,ann", "2/002.jpg,,ann", "0/003.jpg,,bob"]
    _write("in/owners.csv", "\n".join(["path,uid,owner", *rows]).encode())
    assert archive("--csv=in/owners.csv", "--out=out")[0] == common.OK
    uids = {"000.jpg": 7, "001.jpg": 7, "002.jpg": 7, "003.jpg": 8}
    assert {name: row["uid"] for name, row in _rows().items()} == uids
    _write("in/owners.csv", "\n".join(["path,uid,owner", *rows, "1/004.jpg,9,ann"]).encode())
    code, _, err = archive("--csv=in/owners.csv", "--out=out")
    assert code == common.FAILED and "1/004.jpg: has UID 9, another picture of ann 7" in err


def test_a_uid_beyond_the_tagger_s_last_is_refused_before_anything_is_planned(archive):
    _fill("in", 3)
    last = 2 ** stubs.pattern_manifest().message_bits - 1
    _write("in/uids.csv", f"path,uid\n0/000.jpg,{last}\n1/001.jpg,\n".encode())
    code, _, err = archive("--csv=in/uids.csv", "--out=out")
    assert code == common.FAILED and f"001.jpg: UID {last + 1} is over {last}, this tagger's last" in err
    _write("in/uids.csv", b"path,uid\n0/000.jpg,4\n1/001.jpg,\n")
    assert archive("--csv=in/uids.csv", "--out=out")[0] == common.OK
    assert [row["uid"] for row in _rows().values()] == [4, 5]


def test_read_lists_what_carries_none_and_what_carries_another(archive):
    _fill("in", 2)
    _write("in/uids.csv", b"path,uid\n0/000.jpg,3\n1/001.jpg,200\n")
    archive("--csv=in/uids.csv", "--out=out")
    _write("out/new.jpg", _picture(50))
    _write("out/uids.csv", b"path,uid\n0/000.jpg,3\n1/001.jpg,4\nnew.jpg,\n")
    code, out, err = archive("--csv=out/uids.csv", "--read")
    lines = {line.split()[0].rsplit("/", 1)[1]: line.split("  ")[-1] for line in out.splitlines()}
    assert code == 3 and lines == {"000.jpg": "UID 3", "001.jpg": "UID 200, not 4", "new.jpg": "no tag"}
    assert err.endswith("faketagger: 3 pictures: 2 tagged, 1 no tag\n")
    found = json.loads(archive("out/0", "--read", "--json")[1])
    assert [(it["uid"], it["outcome"]) for it in found] == [(3, "tagged")] and found[0]["p_value"] < 1e-6


def test_pictures_are_registered_once_though_a_part_is_done_twice(archive, here, monkeypatch):
    database = f"sqlite:///{here}/platform.db"
    accounts = Accounts(tables.open_database(database))
    _fill("in", 3)
    _write("in/owners.csv", b"path,owner\n0/000.jpg,ann\n1/001.jpg,bob\n2/002.jpg,ann\n")
    given = ("--csv=in/owners.csv", "--out=out", "--register", f"--database={database}")
    code, _, err = archive(*given)
    assert code == common.FAILED and "ann: there is no such account" in err
    for name in ("ann", "bob"):
        accounts.add(name)
    assert archive(*given)[0] == common.OK
    before = _rows()
    os.remove("out/.faketagger-archive/done-0000000.parquet")  # As if it was killed before it wrote that down.
    monkeypatch.setenv(DATABASE_VARIABLE, database)
    assert archive(*given[:-1])[0] == common.OK
    after = _rows()
    assert [(it["uid"], it["registered"]) for it in after.values()] == [
        (it["uid"], it["registered"]) for it in before.values()
    ]
    with tables.open_database(database).connect() as connection:
        found = connection.execute(tables.sa.select(tables.Picture.id, tables.Picture.uid)).all()
    assert {(row.id, int(row.uid)) for row in found} == {(it["registered"], it["uid"]) for it in after.values()}
    assert len({it["uid"] for it in after.values()}) == 3


def test_a_database_that_fails_midway_stops_it_and_the_same_call_goes_on(archive, here, monkeypatch):
    database = f"sqlite:///{here}/platform.db"
    Accounts(tables.open_database(database)).add("ann")
    _fill("in", 2)
    _write("in/owners.csv", b"path,owner\n0/000.jpg,ann\n1/001.jpg,ann\n")
    given = ("--csv=in/owners.csv", "--out=out", "--register", f"--database={database}")

    def fails(*_):
        raise tables.sa.exc.OperationalError("INSERT", {}, Exception("the connection is closed\nunexpectedly"))

    with monkeypatch.context() as patched:
        patched.setattr(registry, "add", fails)
        code, _, err = archive(*given)
    assert code == common.FAILED and "the platform's database: the connection is closed" in err
    assert "INSERT" not in err.splitlines()[-1] and not os.path.exists("out/manifest.parquet")
    assert archive(*given)[0] == common.OK
    assert all(row["registered"] for row in _rows().values())


def test_an_archive_in_a_storage_that_is_no_local_one(archive):
    for number, name in enumerate(("a.jpg", "deep/b.jpg")):
        tf.io.gfile.makedirs(os.path.dirname(f"ram://archive/{name}"))
        with tf.io.gfile.GFile(f"ram://archive/{name}", "wb") as file:
            file.write(_picture(number))
    code, out, _ = archive("ram://archive", "--out=ram://tagged")
    assert (code, out) == (common.OK, "ram://tagged/manifest.parquet\n")
    with tf.io.gfile.GFile("ram://tagged/manifest.parquet", "rb") as file:
        rows = parquet.read_table(io.BytesIO(file.read())).to_pylist()
    assert [row["output"] for row in rows] == ["ram://tagged/a.jpg", "ram://tagged/deep/b.jpg"]
    code, out, _ = archive("ram://tagged", "--read")
    assert code == common.OK and "ram://tagged/deep/b.jpg" in out and "UID 2" in out


def test_a_table_here_names_pictures_in_another_storage(here):
    _write("in/table.csv", b"path,uid\nram://far/a.jpg,5\nb.jpg,6\n")
    found = plan.find([], f"{here}/in/table.csv", f"{here}/out")
    assert [(each.path, each.below) for each in found] == [
        (f"{here}/in/b.jpg", "b.jpg"),
        ("ram://far/a.jpg", "far/a.jpg"),
    ]


def test_a_folder_that_cannot_be_listed_stops_it_before_anything_is_planned(here, monkeypatch):
    _write("in/closed/a.jpg", _picture(1))

    def walk(folder, onerror):
        yield folder, ["closed"], []
        onerror(PermissionError(13, "Permission denied", f"{folder}/closed"))

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(ValueError, match="in/closed: cannot be listed"):
        plan.find([f"{here}/in"], None, f"{here}/out")


@pytest.mark.parametrize("out", ["ram://outputs/tagged", "ram://outputs/tagged/"])
def test_outputs_within_another_storage_are_no_inputs(out):
    for name in ("a.jpg", "tagged/a.jpg"):
        tf.io.gfile.makedirs(os.path.dirname(f"ram://outputs/{name}"))
        with tf.io.gfile.GFile(f"ram://outputs/{name}", "wb") as file:
            file.write(b"a picture")
    assert [each.below for each in plan.find(["ram://outputs"], None, out)] == ["a.jpg"]


@pytest.mark.parametrize(
    "table, said",
    [
        (b"path,uid\na.jpg,3\nb.jpg,4\na.jpg,5\n", "a.jpg: one row says UID 3, owner -, another UID 5, owner -"),
        (b"path,owner\na.jpg,ann\na.jpg,bob\n", "a.jpg: one row says UID -, owner ann, another UID -, owner bob"),
        (b"uid,path\n5\n", "line 2: expected uid, path, found '5'"),
        (b"path,uid\n" + b"a" * 200_000 + b",5\n", "line 2: field larger than field limit"),
    ],
    ids=["uids", "owners", "short", "long"],
)
def test_a_table_that_says_two_things_or_none_of_a_picture_is_refused_with_its_place(here, table, said):
    _write("bad.csv", table)
    with pytest.raises(ValueError, match="bad.csv|a.jpg") as raised:
        plan.find([], f"{here}/bad.csv", f"{here}/out")
    assert said in str(raised.value)


def test_rows_that_say_the_same_of_a_picture_are_one(here):
    _write("twice.csv", b"path,uid\na.jpg,3\na.jpg,3\n")
    assert [each.uid for each in plan.find([], f"{here}/twice.csv", f"{here}/out")] == [3]


def test_a_table_that_says_otherwise_of_a_planned_picture_is_refused(archive):
    _write("in/a.jpg", _picture(1))
    _write("in/table.csv", b"path,uid,owner\na.jpg,3,ann\n")
    assert archive("--csv=in/table.csv", "--out=out")[0] == common.OK
    for row in (b"a.jpg,4,ann", b"a.jpg,3,bob"):
        _write("in/table.csv", b"path,uid,owner\n" + row + b"\n")
        code, _, err = archive("--csv=in/table.csv", "--out=out")
        assert code == common.FAILED and "planned with UID 3, owner ann, and the table now says" in err
    _write("in/table.csv", b"path\na.jpg\n")
    assert archive("--csv=in/table.csv", "--out=out")[0] == common.OK


def test_the_rest_is_told_in_a_sentence(archive):
    _fill("in", 2)
    code, out, err = archive("in", "--out=out", "--server=localhost:1", "--timeout=20")
    assert (code, out) == (common.FAILED, "") and "no server can be reached" in err
    assert archive("in", "--out=out")[0] == common.OK
    helpers.write_key("other", "other")
    code, _, err = archive("in", "--out=out", key="other")
    assert code == common.FAILED and "was begun with key_fingerprint" in err
    begun = pathlib.Path("out/.faketagger-archive/archive.json")
    kept = begun.read_text()
    begun.write_text(json.dumps({**json.loads(kept), "tagger": "another"}))
    code, _, err = archive("in", "--out=out")
    assert code == common.FAILED and "was begun with tagger 'another', not " in err
    begun.write_text(kept)
    code, _, err = archive("s4://bucket/in", "--out=out")
    assert code == common.FAILED and "knows no s4://" in err
    _write("bad.csv", b"path,uid\n0/000.jpg,many\n")
    code, _, err = archive("--csv=bad.csv", "--out=new")
    assert code == common.FAILED and "bad.csv, line 2: expected path, uid, found '0/000.jpg,many'" in err
    _write("twin/in/0/000.jpg", _picture(9))
    code, _, err = archive("in", "twin/in", "--out=new")
    assert code == common.FAILED and "both would be in/0/000.jpg" in err


def test_the_same_call_is_said_to_go_on_only_where_it_does(archive, monkeypatch):
    def breaks(*_):
        raise RuntimeError("broken")

    _fill("in", 1)
    monkeypatch.setattr(plan, "update", breaks)
    assert archive("in", "--out=out")[2].endswith("faketagger: broken; the same call goes on from here\n")
    assert archive("in", "--read")[2].endswith("faketagger: broken\n")


def test_the_command_reads_with_the_read_command_s_own_eyes(archive, model, capsys):
    _write("in/a.jpg", _picture(1))
    archive("in", "--out=out", "--first_uid=21")
    assert read.run(read.make_parser().parse(["read", "out", "--key_file=key", f"--model={model}"])) == common.OK
    assert "UID 21 " in capsys.readouterr().out
