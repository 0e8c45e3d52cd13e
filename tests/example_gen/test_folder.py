"""Folders of photographs: what is listed, how a broken attributes.csv is refused, when the digest changes."""

import os

import pytest

from faketagger.components.example_gen import image_folder


def _touch(folder, *names):
    for name in names:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")


def _csv(folder, text, encoding="utf-8"):
    with open(os.path.join(folder, "attributes.csv"), "wb") as file:
        file.write(text.encode(encoding))


def _names(folder, **options):
    return {entry.name for entry in image_folder.list_folder(str(folder), **options)}


def test_a_folder_is_searched_recursively_by_extension_in_any_case(tmp_path):
    _touch(tmp_path, "a.JPG", "b/c.Png", "b/d/é.webp", "b/notes.txt", ".hidden.jpg", ".cache/x.jpg", "b/._c.png")
    assert _names(tmp_path) == {"a.JPG", "b/c.Png", "b/d/é.webp"}


def test_every_kind_of_picture_that_can_be_opened_is_found_by_its_extension(tmp_path):
    kinds = {"a.heic", "a.HEIF", "a.avif", "a.gif", "a.jfif", "a.jpe", "a.dib", "a.tiff"}
    _touch(tmp_path, *kinds, "a.psd")
    assert _names(tmp_path) == kinds


def test_a_folder_linked_into_itself_is_read_once(tmp_path):
    _touch(tmp_path, "a/x.jpg")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    assert _names(tmp_path) == {"a/x.jpg"}


def test_a_limit_keeps_a_stable_sample(tmp_path):
    _touch(tmp_path, *(f"{index}.jpg" for index in range(20)))
    kept = _names(tmp_path, limit=5)
    assert len(kept) == 5 and kept == _names(tmp_path, limit=5) and kept < _names(tmp_path, limit=6)


@pytest.mark.parametrize("make, message", [(False, "no such folder"), (True, "no photographs in it")])
def test_a_missing_or_empty_folder_is_refused(tmp_path, make, message):
    folder = tmp_path / "photographs"
    if make:
        _touch(folder, "readme.txt")
    with pytest.raises(ValueError, match=message) as error:
        image_folder.list_folder(str(folder))
    assert str(folder) in str(error.value)


def test_a_csv_chooses_the_images_and_gives_labels_split_and_identity(tmp_path):
    _touch(tmp_path, "a/x.jpg", "y.jpg", "unlisted.jpg")
    _csv(
        tmp_path,
        "image,Smiling,Male,split,identity\r\n./a/x.jpg,1,-1,eval,Ann\r\n\r\ny.jpg,0,1,train,\r\n",
        "utf-8-sig",
    )
    entries = {entry.name: entry for entry in image_folder.list_folder(str(tmp_path))}
    assert entries == {
        "a/x.jpg": image_folder.Entry("a/x.jpg", {"Smiling": 1, "Male": 0}, "eval", "Ann"),
        "y.jpg": image_folder.Entry("y.jpg", {"Smiling": 0, "Male": 1}, "train", None),
    }


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("", 1, "the first column must be 'image'"),
        ("file,Male\nx.jpg,1\n", 1, "the first column must be 'image', found 'file'"),
        ("image,Tall\nx.jpg,1\n", 1, "unknown columns \\['Tall'\\]"),
        ("image,Male,Male\nx.jpg,1,1\n", 1, "a column is there twice"),
        ("image,Male\nx.jpg,1\ny.jpg,2\n", 3, "Male must be 0 or 1"),
        ("image,Male\nx.jpg\n", 2, "expected 2 values, found 1"),
        ("image,split\nx.jpg,test\n", 2, "split must be 'train' or 'eval', found 'test'"),
        ("image\nx.jpg\n./x.jpg\n", 3, "'x.jpg' is listed already in line 2"),
        ("image\na/../../x.jpg\n", 2, "not the path of a file below the folder"),
        ("image\n/etc/passwd\n", 2, "not the path of a file below the folder"),
        ('image\n"x.jpg\n', 2, "unexpected end of data"),
    ],
)
def test_a_broken_csv_is_refused_with_its_line(tmp_path, text, line, message):
    _csv(tmp_path, text)
    with pytest.raises(ValueError, match=f"attributes.csv, line {line}: .*{message}"):
        image_folder.list_folder(str(tmp_path))


def test_empty_cells_leave_label_split_and_identity_unknown(tmp_path):
    _csv(tmp_path, "image,Male,Young,split,identity\nx.jpg,,1,,\ny.jpg,0,,eval,7\n")
    entries = {entry.name: entry for entry in image_folder.list_folder(str(tmp_path))}
    assert entries["x.jpg"] == image_folder.Entry("x.jpg", {"Young": 1})
    assert entries["y.jpg"] == image_folder.Entry("y.jpg", {"Male": 0}, "eval", "7")


def test_who_is_put_into_a_split_once_is_in_it_with_every_picture(tmp_path):
    _csv(tmp_path, "image,split,identity\na.jpg,,Ann\nb.jpg,eval,Ann\nc.jpg,,Ann\nd.jpg,,Bob\ne.jpg,,\nf.jpg,train,\n")
    splits = {entry.name: entry.split for entry in image_folder.list_folder(str(tmp_path))}
    assert splits == {
        "a.jpg": "eval", "b.jpg": "eval", "c.jpg": "eval", "d.jpg": None, "e.jpg": None, "f.jpg": "train",
    }  # fmt: skip


def test_who_is_put_into_both_splits_is_refused_by_name(tmp_path):
    _csv(tmp_path, "image,split,identity\na.jpg,eval,Ann\nb.jpg,train,Bob\nc.jpg,train,Ann\n")
    with pytest.raises(
        ValueError, match="attributes.csv: 'Ann' is in two splits: 'a.jpg' in 'eval', 'c.jpg' in 'train'"
    ):
        image_folder.list_folder(str(tmp_path))


def test_a_csv_in_another_encoding_is_refused_with_its_line(tmp_path):
    _csv(tmp_path, "image\nx.jpg\né.jpg\n", "latin-1")
    with pytest.raises(ValueError, match="line 3: not UTF-8"):
        image_folder.list_folder(str(tmp_path))


def test_a_csv_without_rows_is_refused(tmp_path):
    _csv(tmp_path, "image,Male\n")
    with pytest.raises(ValueError, match="no photographs listed in its attributes.csv"):
        image_folder.list_folder(str(tmp_path))


def test_a_file_name_that_is_not_utf8_is_refused_by_name(tmp_path):
    with open(os.path.join(os.fsencode(tmp_path), b"\xff.jpg"), "wb"):
        pass
    with pytest.raises(ValueError, match="not UTF-8"):
        image_folder.list_folder(str(tmp_path))


def test_the_digest_changes_with_the_content_and_only_then(tmp_path):
    _touch(tmp_path, "a.jpg", "b.jpg")
    seen = [image_folder.digest(str(tmp_path))]
    assert image_folder.digest(str(tmp_path)) == seen[0]
    _touch(tmp_path, "notes.txt")
    assert image_folder.digest(str(tmp_path)) == seen[0]
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    seen.append(image_folder.digest(str(tmp_path)))
    _touch(tmp_path, "c.jpg")
    seen.append(image_folder.digest(str(tmp_path)))
    os.rename(tmp_path / "c.jpg", tmp_path / "d.jpg")
    seen.append(image_folder.digest(str(tmp_path)))
    _csv(tmp_path, "image,Male\na.jpg,1\nmissing.jpg,0\n")
    seen.append(image_folder.digest(str(tmp_path)))
    _csv(tmp_path, "image,Male\na.jpg,0\nmissing.jpg,0\n")
    seen.append(image_folder.digest(str(tmp_path)))
    assert len(set(seen)) == len(seen)
