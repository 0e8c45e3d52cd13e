"""Writing that is interrupted leaves the old or the new; reading names the file and what is wrong with it."""

import json
import os
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import files, manifest, pretrained

SIMULATOR = manifest.SimulatorManifest("swap", "identity_swap", ["to_a", "to_b"], 64, "some faces", "ours")
TAGGER = manifest.TaggerManifest(
    5, 15, ["ff"] * 5, 64, training=manifest.TaggerRecord(steps=3, level="late", last={"psnr": 30.5})
)


class Interruption(BaseException):
    """As KeyboardInterrupt: not caught by `except Exception`."""


def _interrupt(*_, **__):
    raise Interruption


def test_bytes_are_written_with_missing_folders_and_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    files.write_bytes(str(path), b"old")
    files.write_bytes(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


def test_a_bare_name_is_written_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_bytes("file", b"here")
    assert (tmp_path / "file").read_bytes() == b"here"


def test_a_path_holds_in_another_directory_and_a_remote_one_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files.absolute("photos/../a") == str(tmp_path / "a")
    assert files.absolute("gs://bucket/a") == "gs://bucket/a"


@pytest.mark.parametrize("call", ["rename", "GFile"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    files.write_bytes(str(path), b"old")
    monkeypatch.setattr(tf.io.gfile, call, _interrupt)
    with pytest.raises(Interruption):
        files.write_bytes(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "occupied").mkdir()
    with pytest.raises(tf.errors.OpError, match="occupied"):
        files.write_bytes(str(tmp_path / "occupied"), b"data")
    assert os.listdir(tmp_path) == ["occupied"]


def test_arrays_are_read_within_a_bound_on_what_they_unpack_to(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, zeros=np.zeros(100_000, np.float32), ones=np.ones(3))
    assert path.stat().st_size < 10_000
    arrays = files.read_npz(str(path), 500_000)
    assert set(arrays) == {"zeros", "ones"} and arrays["zeros"].shape == (100_000,)
    with pytest.raises(ValueError, match="^unpacks to 400,.* bytes, over 10,000$"):
        files.read_npz(str(path), 10_000)
    with pytest.raises(ValueError, match="bytes, over 10$"):
        files.read_npz(str(path), 10)


@pytest.mark.parametrize("wrong", ["missing", "cut", "spoilt", "pickled", "no archive", "no array"])
def test_what_is_no_archive_of_plain_arrays_is_refused(tmp_path, wrong):
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, array=np.array([{}], object) if wrong == "pickled" else np.arange(1000))
    if wrong == "no array":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("notes.txt", "no array")
    data = path.read_bytes()
    spoilt = {
        "cut": data[: len(data) // 2],
        "spoilt": data[:100] + b"\xff" * 100 + data[200:],
        "no archive": b"PK no archive",
    }
    path.write_bytes(spoilt.get(wrong, data))
    if wrong == "missing":
        path.unlink()
    with pytest.raises(ValueError, match="."):
        files.read_npz(str(path), 1_000_000)


def _directory(path, content):
    path.mkdir()
    (path / "inside").write_text(content)
    return str(path)


def _contents(path):
    return (path / "inside").read_text()


def test_a_directory_is_replaced_by_the_finished_one(tmp_path):
    made, final = _directory(tmp_path / "made", "new"), _directory(tmp_path / "final", "old")
    files.replace_directory(made, final)
    assert _contents(tmp_path / "final") == "new"
    assert os.listdir(tmp_path) == ["final"]


def test_a_directory_comes_to_a_place_that_was_free(tmp_path):
    files.replace_directory(_directory(tmp_path / "made", "new"), str(tmp_path / "final"))
    assert os.listdir(tmp_path) == ["final"] and _contents(tmp_path / "final") == "new"


def test_a_replacement_that_fails_leaves_the_old_directory(tmp_path):
    final = _directory(tmp_path / "final", "old")
    with pytest.raises(tf.errors.NotFoundError):
        files.replace_directory(str(tmp_path / "never made"), final)
    assert _contents(tmp_path / "final") == "old"
    assert os.listdir(tmp_path) == ["final"]


def test_a_removal_cut_short_leaves_the_new_directory_whole_and_the_next_replacement_works(tmp_path, monkeypatch):
    final = _directory(tmp_path / "final", "old")
    with monkeypatch.context() as patched:
        patched.setattr(tf.io.gfile, "rmtree", _interrupt)
        with pytest.raises(Interruption):
            files.replace_directory(_directory(tmp_path / "made", "new"), final)
    assert _contents(tmp_path / "final") == "new"
    files.replace_directory(_directory(tmp_path / "made", "newest"), final)
    assert os.listdir(tmp_path) == ["final"] and _contents(tmp_path / "final") == "newest"


def test_what_a_kill_between_two_renames_left_outlives_a_replacement_that_fails(tmp_path):
    _directory(tmp_path / ".final.old", "old")
    with pytest.raises(tf.errors.NotFoundError):
        files.replace_directory(str(tmp_path / "never made"), str(tmp_path / "final"))
    assert os.listdir(tmp_path) == ["final"] and _contents(tmp_path / "final") == "old"


def test_a_directory_may_be_named_with_a_slash_at_its_end(tmp_path):
    source = _directory(tmp_path / "source", "new")
    _directory(tmp_path / "target", "old")
    files.copy_directory(f"{source}/", f"{tmp_path}/target/")
    assert _contents(tmp_path / "target") == "new"
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_a_directory_is_copied_with_its_folders_and_replaces_what_was_there(tmp_path):
    source = _directory(tmp_path / "source", "new")
    (tmp_path / "source" / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "source" / "deep" / "deeper" / "leaf").write_text("leaf")
    target = tmp_path / "target"
    _directory(target, "old")
    (target / "stale").write_text("stale")
    files.copy_directory(source, str(target))
    assert _contents(target) == "new" and (target / "deep" / "deeper" / "leaf").read_text() == "leaf"
    assert sorted(os.listdir(target)) == ["deep", "inside"]
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_a_copy_cut_short_leaves_the_old_directory(tmp_path, monkeypatch):
    source, target = _directory(tmp_path / "source", "new"), _directory(tmp_path / "target", "old")
    monkeypatch.setattr(tf.io.gfile, "copy", _interrupt)
    with pytest.raises(Interruption):
        files.copy_directory(source, target)
    assert _contents(tmp_path / "target") == "old"


def test_fingerprints_tell_parts_apart_and_stay_the_same():
    assert files.fingerprint("a", "b") == files.fingerprint("a", "b")
    assert len({files.fingerprint(*parts) for parts in (("a", "b"), ("ab",), ("b", "a"), ("a", "b", ""))}) == 4


def test_a_directorys_fingerprint_changes_with_its_files(tmp_path):
    directory = _directory(tmp_path / "directory", "content")
    seen = [files.directory_fingerprint(directory)]
    assert files.directory_fingerprint(directory) == seen[0]
    (tmp_path / "directory" / "more").write_text("")
    seen.append(files.directory_fingerprint(directory))
    (tmp_path / "directory" / "more").rename(tmp_path / "directory" / "renamed")
    seen.append(files.directory_fingerprint(directory))
    (tmp_path / "directory" / "renamed").write_text("longer")
    seen.append(files.directory_fingerprint(directory))
    os.utime(tmp_path / "directory" / "inside", (1, 1))
    seen.append(files.directory_fingerprint(directory))
    assert len(set(seen)) == len(seen)


def test_what_the_repository_keeps_is_known_by_its_contents_whenever_it_was_checked_out(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_ROOT", str(tmp_path / "pretrained"))

    def told(folder):
        path = tmp_path / folder / "weights"
        files.write_bytes(str(path), b"weights")
        before = pretrained.fingerprint(str(path.parent))
        os.utime(path, ns=(1, 1))
        checked_out = pretrained.fingerprint(str(path.parent))
        path.write_bytes(b"WEIGHTS")
        os.utime(path, ns=(1, 1))
        return before == checked_out, checked_out == pretrained.fingerprint(str(path.parent))

    assert told("pretrained/tagger") == (True, False)
    # Elsewhere files may be too large to be read.
    assert told("pretrained_elsewhere") == (False, True)


def test_json_makes_the_round_trip_and_refuses_what_is_no_json(tmp_path):
    path = str(tmp_path / "file.json")
    files.write_json(path, {"b": [1, 2.5, None], "a": "ü"})
    assert files.read_json(path, "the file") == {"a": "ü", "b": [1, 2.5, None]}
    with pytest.raises(ValueError):
        files.write_json(path, {"psnr": float("nan")})
    assert files.read_json(path, "the file")["a"] == "ü"


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "is missing"),
        (b"", "not valid JSON"),
        (b'{"a": ', "not valid JSON"),
        (b"\xff\xfe\x80", "not valid"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_unreadable_json_is_named_with_what_it_should_have_been(tmp_path, content, said):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"the report.*{said}") as caught:
        files.read_json(str(path), "the report")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("written", [SIMULATOR, TAGGER])
def test_manifests_make_the_round_trip(tmp_path, written):
    manifest.write(written, str(tmp_path))
    assert manifest.read(type(written), str(tmp_path)) == written


def _changed(tmp_path, **changes):
    manifest.write(SIMULATOR, str(tmp_path))
    path = tmp_path / "simulator.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))
    return str(tmp_path)


def test_fields_with_defaults_may_be_left_out(tmp_path):
    assert manifest.read(manifest.SimulatorManifest, _changed(tmp_path, change=None)).change == {}


@pytest.mark.parametrize(
    "changes, said",
    [
        (
            {"licence": None, "name": None},
            "name: expected lower-case .*, found nothing; licence: expected a text, found nothing",
        ),
        ({"license": "mine"}, "license: expected one of the fields name, .*licence, .*, found 'license'"),
        ({"family": "magic"}, "family: expected one of identity_swap, .*, found 'magic'"),
        ({"conditions": []}, "at least one condition"),
    ],
)
def test_wrong_manifests_are_refused_by_file_and_field(tmp_path, changes, said):
    with pytest.raises(ValueError, match=f"simulator.json: .*{said}"):
        manifest.read(manifest.SimulatorManifest, _changed(tmp_path, **changes))


@pytest.mark.parametrize(
    "content, said",
    [("[]", r"expected an object, found \[\]"), ("null", "expected an object, found None"), ("{", "not valid JSON")],
)
def test_a_manifest_that_is_no_object_is_refused_by_file(tmp_path, content, said):
    (tmp_path / "tagger.json").write_text(content)
    with pytest.raises(ValueError, match=f"tagger.json: .*{said}"):
        manifest.read(manifest.TaggerManifest, str(tmp_path))


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ValueError, match="tagger.json: the manifest is missing"):
        manifest.read(manifest.TaggerManifest, str(tmp_path))
