"""The whole step through its executor: what real pictures become, what is set aside, and when it refuses."""

import io
import json
import os
import pickle
import tarfile
from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tfx.types import standard_artifacts

from faketagger.components.contract import features, images
from faketagger.components.example_gen import executor, face_drawing, preprocess, sources
from faketagger.components.example_gen.component import FaceExampleGen

pytestmark = pytest.mark.slow


def _run(folder, beam_args=("--runner=FnApiRunner",), **options):
    """Runs the step as TFX would; its Examples artifact."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder / "FaceExampleGen" / "examples" / "1")
    component = FaceExampleGen(**options)
    context = executor.Executor.Context(make_beam_pipeline_fn=lambda: beam.Pipeline(argv=list(beam_args)))
    executor.Executor(context).Do({}, {"examples": [artifact]}, dict(component.exec_properties))
    return artifact


def _read(artifact):
    """{split: {image id: (pixels, tf.train.Example's features)}} of an Examples artifact."""
    splits = {}
    for split in ("train", "eval"):
        splits[split] = {}
        for record in tf.data.TFRecordDataset(features.example_files(artifact.uri, split), "GZIP").as_numpy_iterator():
            found = tf.train.Example.FromString(record).features.feature
            pixels = images.load_image(found[features.IMAGE].bytes_list.value[0])
            splits[split][found[features.IMAGE_ID].bytes_list.value[0].decode()] = (pixels, found)
    return splits


def _rejected(artifact):
    with open(os.path.join(artifact.uri, "rejected.jsonl"), encoding="utf-8") as file:
        return {line["name"]: line["reason"] for line in map(json.loads, file)}


def _faces(folder, count, size=64):
    """Writes drawn faces as PNG; their pixels by name."""
    os.makedirs(folder, exist_ok=True)
    faces = {
        f"{index:02d}.png": face_drawing.draw(face_drawing.sample_traits(1, index), size) for index in range(count)
    }
    for name, pixels in faces.items():
        Image.fromarray(pixels).save(os.path.join(folder, name))
    return faces


def test_pixels_come_through_without_loss_and_every_picture_once(tmp_path):
    faces = _faces(tmp_path / "photographs", 20)
    artifact = _run(tmp_path, images=str(tmp_path / "photographs"), eval_percent=40)
    splits = _read(artifact)
    found = {**splits["train"], **splits["eval"]}
    assert set(found) == set(faces) and len(splits["train"]) + len(splits["eval"]) == 20
    for name, pixels in faces.items():
        np.testing.assert_array_equal(found[name][0], pixels)
    feature = found["00.png"][1]
    assert feature[features.SOURCE].bytes_list.value[0] == b"photographs"
    assert feature[features.HEIGHT].int64_list.value[0] == feature[features.WIDTH].int64_list.value[0] == 64
    assert set(feature[features.ATTRIBUTES].int64_list.value) == {features.UNKNOWN}


def test_the_artifact_tells_counts_attributes_and_splits(tmp_path):
    _faces(tmp_path / "photographs", 12)
    artifact = _run(tmp_path, images=str(tmp_path / "photographs"), eval_percent=40)
    splits = _read(artifact)
    counts = {name: artifact.get_int_custom_property(name) for name in ("train", "eval", "rejected")}
    assert counts == {"train": len(splits["train"]), "eval": len(splits["eval"]), "rejected": 0}
    assert artifact.get_string_custom_property("attributes").split(",") == list(features.ATTRIBUTE_NAMES)
    assert artifact.get_int_custom_property("image_size") == 64
    assert json.loads(artifact.split_names) == ["train", "eval"]
    assert _rejected(artifact) == {}


def test_the_split_stays_when_the_step_runs_again_on_more_pictures(tmp_path):
    _faces(tmp_path / "photographs", 12)
    first = _read(_run(tmp_path / "first", images=str(tmp_path / "photographs"), eval_percent=40))
    _faces(tmp_path / "photographs", 16)
    second = _read(_run(tmp_path / "second", images=str(tmp_path / "photographs"), eval_percent=40))
    assert all(set(first[split]) <= set(second[split]) for split in first)


def test_odd_pictures_are_read_as_a_viewer_shows_them(tmp_path):
    folder = tmp_path / "photographs"
    _faces(folder, 8)
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, :32] = 255  # White on the left; rotated by EXIF 6 (a quarter turn clockwise) white is on top.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(half).save(folder / "rotated.jpg", exif=exif, quality=95)
    Image.fromarray(half).convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    Image.fromarray(np.full((64, 64), 32768, np.uint16)).save(folder / "deep.png")
    Image.fromarray(half).save(folder / "PAGE.TIFF")
    Image.fromarray(np.full((40, 90, 3), (10, 200, 30), np.uint8)).save(folder / "wide.webp", lossless=True)
    splits = _read(_run(tmp_path, images=str(folder), eval_percent=40))
    found = {name: pixels.astype(int) for split in splits.values() for name, (pixels, _) in split.items()}
    assert len(found) == 13
    assert found["rotated.jpg"][:24].mean() > 245 and found["rotated.jpg"][40:].mean() < 10
    assert found["cmyk.jpg"][:, :24].mean() > 240 and found["cmyk.jpg"][:, 40:].mean() < 15
    assert np.abs(found["deep.png"] - 128).max() <= 1
    assert found["PAGE.TIFF"][:, :28].min() == 255
    assert np.abs(found["wide.webp"] - (10, 200, 30)).max() <= 1


def _break_some(folder):
    with open(folder / "00.png", "rb") as file:
        whole = file.read()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    buffer = io.BytesIO()
    Image.fromarray(face_drawing.draw(face_drawing.sample_traits(1, 0), 64)).save(buffer, "JPEG")
    (folder / "truncated.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture")
    Image.new("RGB", (1, 1)).save(folder / "pixel.png")
    Image.new("RGB", (31, 200)).save(folder / "narrow.png")
    os.symlink(folder / "nowhere.jpg", folder / "dangling.jpg")


_BROKEN = {"truncated.png", "truncated.jpg", "empty.jpg", "text.jpg", "pixel.png", "narrow.png", "dangling.jpg"}


def test_unusable_pictures_are_set_aside_with_the_reason_and_counted(tmp_path):
    folder = tmp_path / "photographs"
    _faces(folder, 12)
    _break_some(folder)
    artifact = _run(tmp_path, images=str(folder), eval_percent=40, max_rejected=0.5)
    rejected = _rejected(artifact)
    assert set(rejected) == _BROKEN and artifact.get_int_custom_property("rejected") == len(_BROKEN)
    assert rejected["empty.jpg"] == "the file is empty"
    assert rejected["pixel.png"] == "1×1 pixels; the shorter side must have 32"
    assert rejected["narrow.png"].startswith("31×200 pixels")
    assert "No such file" in rejected["dangling.jpg"]
    assert all(rejected[name].startswith("not a readable picture") for name in ("truncated.png", "truncated.jpg"))
    assert rejected["text.jpg"].startswith("not a picture in a known format")
    splits = _read(artifact)
    assert len(splits["train"]) + len(splits["eval"]) == 12


def test_aligned_photographs_are_cut_around_their_face_and_those_without_one_set_aside(tmp_path):
    folder = tmp_path / "photographs"
    faces = _faces(folder, 8, size=160)
    for name, pixels in faces.items():
        photograph = np.full([240, 400, 3], 128, np.uint8)
        photograph[40:200, 20:180] = pixels
        Image.fromarray(photograph).save(folder / name)
    Image.fromarray(np.full([240, 400, 3], 128, np.uint8)).save(folder / "nobody.png")
    artifact = _run(tmp_path, images=str(folder), eval_percent=40, max_rejected=0.5, align=True)
    assert _rejected(artifact) == {"nobody.png": "no face is found in it"}
    splits = _read(artifact)
    landmarks = {**splits["train"], **splits["eval"]}["00.png"][1][features.LANDMARKS].float_list.value
    eyes = np.reshape(landmarks, [5, 2])[:2]
    np.testing.assert_allclose(eyes.mean(0), [0.5, 0.48], atol=0.03)


def test_too_many_unusable_pictures_fail_the_step_with_the_first_reasons(tmp_path):
    folder = tmp_path / "photographs"
    _faces(folder, 12)
    _break_some(folder)
    with pytest.raises(ValueError, match=r"7 of 19 pictures could not be used \(36.8%\), more than the 1.0%") as error:
        _run(tmp_path, images=str(folder), eval_percent=40)
    named = [name for name in _BROKEN if f"\n  {name}: " in str(error.value)]
    assert len(named) == 5


def test_a_listed_picture_that_is_missing_is_set_aside(tmp_path):
    folder = tmp_path / "photographs"
    _faces(folder, 3)
    (folder / "attributes.csv").write_text(
        "image,Male,split\n00.png,1,train\n01.png,0,eval\ngone.png,0,train\n", encoding="utf-8"
    )
    artifact = _run(tmp_path, images=str(folder), max_rejected=0.5)
    splits = _read(artifact)
    assert (set(splits["train"]), set(splits["eval"]), set(_rejected(artifact))) == (
        {"00.png"},
        {"01.png"},
        {"gone.png"},
    )
    labels = dict(zip(features.ATTRIBUTE_NAMES, splits["train"]["00.png"][1][features.ATTRIBUTES].int64_list.value))
    assert labels["Male"] == 1 and labels["Smiling"] == features.UNKNOWN


def test_an_empty_split_fails_the_step(tmp_path):
    folder = tmp_path / "photographs"
    _faces(folder, 2)
    (folder / "attributes.csv").write_text("image,split\n00.png,train\n01.png,train\n", encoding="utf-8")
    with pytest.raises(ValueError, match="none of 2 pictures is in the split 'eval'"):
        _run(tmp_path, images=str(folder))


def test_workers_in_processes_of_their_own_count_and_set_aside_alike(tmp_path):
    folder = tmp_path / "photographs"
    _faces(folder, 12)
    _break_some(folder)
    workers = ("--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2")
    artifact = _run(tmp_path, workers, images=str(folder), eval_percent=40, max_rejected=0.5)
    splits = _read(artifact)
    counts = {name: artifact.get_int_custom_property(name) for name in ("train", "eval", "rejected")}
    assert counts == {"train": len(splits["train"]), "eval": len(splits["eval"]), "rejected": len(_BROKEN)}
    assert counts["train"] + counts["eval"] == 12 and set(_rejected(artifact)) == _BROKEN


def test_an_identity_is_never_in_both_splits_and_the_share_is_kept():
    people = [f"person {index}" for index in range(2000)]
    pictures = [sources.Picture(f"{name}/{n}.jpg", "s", b"", {}, identity=name) for name in people for n in range(2)]
    splits = {}
    for picture in pictures:
        splits.setdefault(picture.identity, set()).add(preprocess.split_of(picture, 10))
    assert all(len(found) == 1 for found in splits.values())
    assert 0.08 < sum(found == {"eval"} for found in splits.values()) / len(people) < 0.12


def test_copies_of_a_picture_are_never_in_both_splits():
    files_of = {f"{number}": f"picture {number}".encode() for number in range(200)}
    copies = [
        sources.Picture(f"{name} ({copy}).jpg", "s", data, {}) for name, data in files_of.items() for copy in "ab"
    ]
    splits = [preprocess.split_of(picture, 50) for picture in copies]
    assert splits[::2] == splits[1::2] and 80 < splits[::2].count("eval") < 120


def test_procedural_faces_come_through_tfds_with_their_labels(tmp_path):
    artifact = _run(tmp_path, dataset="procedural_faces/64-24", eval_percent=40)
    splits = _read(artifact)
    found = {**splits["train"], **splits["eval"]}
    assert len(found) == 24
    for index in (0, 7, 23):
        traits = face_drawing.sample_traits(0, index)
        pixels, feature = found[f"{index:06d}.png"]
        np.testing.assert_array_equal(pixels, face_drawing.draw(traits, 64))
        expected = features.attributes_from(traits.labels())
        assert list(feature[features.ATTRIBUTES].int64_list.value) == expected
    assert (tmp_path / "FaceExampleGen" / "tfds" / "procedural_faces" / "64-24").is_dir()


@pytest.mark.parametrize("dataset, config", [("procedural_faces", "128"), ("procedural_faces/64", "64")])
def test_a_listed_config_is_found_by_name_and_again_after_pickling(tmp_path, dataset, config):
    builder = sources._builder(dataset, 100, str(tmp_path))
    assert builder.builder_config.name == pickle.loads(pickle.dumps(builder)).builder_config.name == config


def test_a_limit_holds_for_a_tfds_data_set(tmp_path):
    artifact = _run(tmp_path, dataset="procedural_faces/64-24", eval_percent=40, limit=10)
    assert sum(artifact.get_int_custom_property(split) for split in ("train", "eval")) == 10


@pytest.mark.parametrize(
    "sizes, limit, kept",
    [
        ((8, 8), 3, ["train[:2]", "test[:1]"]),
        ((30_000, 10), 100, ["train[:99]", "test[:1]"]),
        ((5, 5, 5), 2, ["train[:1]", "test[:1]"]),
        ((8, 0, 3), None, ["train[:8]", "validation[:3]"]),
    ],
)
def test_of_several_splits_no_more_are_kept_than_the_limit_says(sizes, limit, kept):
    names = ("train", "test", "validation")
    splits = {name: SimpleNamespace(num_examples=size) for name, size in zip(names, sizes)}
    builder = SimpleNamespace(info=SimpleNamespace(splits=splits))
    assert [part for _, part, _ in sources._tfds_parts(builder, limit)] == kept


class NamelessPictures(tfds.core.GeneratorBasedBuilder):
    """A data set with splits of its own and no names: greys 0 to 7 in train, 100 to 103 in test."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        picture = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(40, 40, 3), encoding_format="png")})
        return tfds.core.DatasetInfo(builder=self, features=picture)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(8)), "test": self._generate_examples(range(100, 104))}

    def _generate_examples(self, greys):
        for grey in greys:
            yield grey, {"image": np.full((40, 40, 3), grey, np.uint8)}


@pytest.mark.parametrize("limit, train, test", [(None, 8, 4), (6, 4, 2)])
def test_a_data_set_keeps_its_own_splits_and_gets_ids_where_it_has_no_names(tmp_path, limit, train, test):
    builder = NamelessPictures(data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare()
    with beam.Pipeline("FnApiRunner", argv=[]) as pipeline:
        preprocess.write_examples(pipeline, sources.ReadTfds(builder, "nameless", limit), str(tmp_path), 40, 50)
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path)
    greys = {split: [pixels[0, 0, 0] for pixels, _ in found.values()] for split, found in _read(artifact).items()}
    assert (len(greys["train"]), len(greys["eval"])) == (train, test)  # Ids are unique: none was lost in _read's dict.
    assert max(greys["train"]) < 100 <= min(greys["eval"])


def _write_archive(path, faces):
    with tarfile.open(path, "w") as archive:
        for name, pixels in faces.items():
            data = images.encode_png(pixels)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_celeb_a_hq_is_made_from_its_archive_in_manual_dir(tmp_path):
    manual = tmp_path / "manual"
    faces = _faces(tmp_path / "unused", 12)
    manual.mkdir()
    _write_archive(manual / "data64x64.tar", faces)
    options = {"dataset": "celeb_a_hq/64", "data_dir": str(tmp_path / "tfds"), "eval_percent": 40}
    splits = _read(_run(tmp_path / "first", manual_dir=str(manual), **options))
    found = {**splits["train"], **splits["eval"]}
    assert set(found) == set(faces)
    for name, pixels in faces.items():
        np.testing.assert_array_equal(found[name][0], pixels)
    assert found["00.png"][1][features.SOURCE].bytes_list.value[0] == b"celeb_a_hq/64"
    again = _read(_run(tmp_path / "second", **options))  # Prepared by now: the archive is no longer needed.
    assert {split: set(pictures) for split, pictures in again.items()} == {s: set(p) for s, p in splits.items()}


@pytest.mark.parametrize("given", [False, True])
def test_a_missing_archive_is_named_with_what_to_do(tmp_path, given):
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / "other.txt").write_text("")
    manual_dir = str(tmp_path / "manual") if given else None
    with pytest.raises(
        ValueError, match="data64x64.tar is missing: fetch it, put it there and pass that folder as manual_dir"
    ):
        _run(tmp_path, dataset="celeb_a_hq/64", manual_dir=manual_dir)


def test_a_truncated_archive_fails_and_leaves_no_half_prepared_data_set(tmp_path):
    manual = tmp_path / "manual"
    manual.mkdir()
    _write_archive(manual / "data64x64.tar", _faces(tmp_path / "unused", 4))
    with open(manual / "data64x64.tar", "r+b") as file:
        file.truncate(3000)
    options = {"dataset": "celeb_a_hq/64", "data_dir": str(tmp_path / "tfds"), "manual_dir": str(manual)}
    for _ in range(2):  # The second time must not find the first one's remains.
        with pytest.raises(ValueError, match="'celeb_a_hq/64' could not be prepared"):
            _run(tmp_path, **options)


def test_an_unknown_data_set_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="data set 'no_such_faces/64'"):
        _run(tmp_path, dataset="no_such_faces/64")


def test_the_component_refuses_what_cannot_work(tmp_path):
    (tmp_path / "empty").mkdir()
    for options, message in [
        ({"images": str(tmp_path / "missing")}, "no such folder"),
        ({"images": str(tmp_path / "empty")}, "no photographs in it"),
        ({"dataset": "procedural_faces/63"}, "expected procedural_faces/64"),
        ({"image_size": 8}, "image_size: expected a whole number from 16 to 1024, found 8"),
        ({"eval_percent": 0}, "eval_percent: expected a whole number from 1 to 99, found 0"),
        ({"eval_percent": True}, "eval_percent: expected a whole number from 1 to 99, found True"),
        ({"max_rejected": 1.5}, "max_rejected: expected a number from 0 to 1, found 1.5"),
        ({"limit": 1}, "limit: expected a whole number at least 2 or null, found 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            FaceExampleGen(**options)


def test_the_component_s_properties_change_only_with_what_was_asked_for_or_the_folder_s_content(tmp_path):
    folder = tmp_path / "photographs"
    _faces(folder, 3)
    first = FaceExampleGen(images=str(folder)).exec_properties
    assert FaceExampleGen(images=str(folder)).exec_properties == first
    os.utime(folder / "00.png", ns=(5, 5))
    changed = FaceExampleGen(images=str(folder)).exec_properties
    assert changed != first
    assert FaceExampleGen(images=str(folder), limit=2).exec_properties != changed
    assert executor.unpack(changed["custom_config"]).images == str(folder)


def test_real_photographs_keep_the_split_of_their_list(tmp_path, photographs):
    artifact = _run(tmp_path, images=photographs, limit=60)
    splits = _read(artifact)
    assert len(splits["train"]) + len(splits["eval"]) == 60 and _rejected(artifact) == {}
    with open(os.path.join(photographs, "attributes.csv"), encoding="utf-8") as file:
        listed = {line.split(",")[0]: line.strip().split(",")[-1] for line in file}
    assert all(listed[name] == split for split, pictures in splits.items() for name in pictures)
