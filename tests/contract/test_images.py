"""Reading pictures as people have them: odd modes, rotation, damage, and sizes that must be refused unread."""

import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from faketagger.components.contract import images
from faketagger.tests import helpers

RED = (200, 10, 30)


def _noise(height=40, width=60):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_comes_back_as_it_was_saved():
    pixels = _noise()
    loaded = images.load_image(images.encode_png(pixels))
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, pixels)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_all_known_formats_are_read_from_paths(tmp_path, format):
    path = tmp_path / "face"
    path.write_bytes(helpers.file_of(Image.new("RGB", (9, 7), RED), format))
    loaded = images.load_image(str(path))
    assert loaded.shape == (7, 9, 3)
    assert np.abs(loaded.astype(int) - RED).max() <= 4


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_keeps_its_colours(format):
    loaded = images.load_image(helpers.file_of(Image.new("RGB", (16, 16), RED).convert("CMYK"), format))
    assert np.abs(loaded.astype(int) - RED).max() <= 4


def test_grey_becomes_three_equal_channels():
    assert images.load_image(helpers.file_of(Image.new("L", (2, 2), 77))).tolist() == [[[77] * 3] * 2] * 2


def test_16_bits_are_scaled_to_8():
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    assert images.load_image(helpers.file_of(Image.fromarray(values)))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_a_dark_16_bit_picture_stays_dark():
    values = np.full((2, 2), 200, np.uint16)
    assert images.load_image(helpers.file_of(Image.fromarray(values))).max() == 1


@pytest.mark.parametrize("values", [np.full((2, 2), 70_000, np.int32), np.full((2, 2), 0.5, np.float32)])
def test_32_bits_a_channel_are_refused_rather_than_guessed(values):
    with pytest.raises(images.ImageError, match="scan.tif.*32 bits"):
        images.load_image(helpers.file_of(Image.fromarray(values), "TIFF"), "scan.tif")


def test_transparent_parts_of_a_palette_become_white():
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, 0, 0, 255])
    picture.putdata([0, 1])
    loaded = images.load_image(helpers.file_of(picture, transparency=0))
    assert loaded[0].tolist() == [[255, 255, 255], [0, 0, 255]]


def test_half_transparent_pixels_are_mixed_with_white():
    loaded = images.load_image(helpers.file_of(Image.new("RGBA", (1, 1), (0, 100, 200, 128))))
    assert np.abs(loaded[0, 0].astype(int) - [127, 177, 227]).max() <= 1


@pytest.mark.parametrize(
    "orientation, turns, mirrored", [(1, 0, False), (2, 0, True), (3, 2, False), (6, 3, False), (8, 1, False)]
)
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_exif_rotation_is_applied(format, orientation, turns, mirrored):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = np.rot90(pixels[:, ::-1] if mirrored else pixels, turns)
    options = {"quality": 95} if format == "JPEG" else {}
    loaded = images.load_image(helpers.file_of(Image.fromarray(pixels), format, exif=exif, **options))
    assert loaded.shape == expected.shape
    assert np.abs(loaded.astype(int) - expected).mean() < 2


def test_one_pixel_is_a_picture():
    assert images.load_image(helpers.file_of(Image.new("RGB", (1, 1), RED))).tolist() == [[list(RED)]]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused_by_name(format, kept):
    whole = helpers.file_of(Image.fromarray(_noise()), format)
    with pytest.raises(images.ImageError, match="^holiday: "):
        images.load_image(whole[: int(kept * len(whole))], "holiday")


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(50)])
def test_what_is_no_picture_is_refused_by_name(data):
    with pytest.raises(images.ImageError, match="^note: not a .*picture"):
        images.load_image(data, "note")


def test_missing_empty_and_directory_paths_are_refused_by_name(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    for path, said in ((tmp_path / "gone", "No such file"), (tmp_path / "empty", "empty"), (tmp_path, "directory")):
        with pytest.raises(images.ImageError, match=said) as caught:
            images.load_image(str(path))
        assert str(caught.value).startswith(str(path))


def test_a_file_over_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "huge"
    with open(path, "wb") as file:
        file.truncate(images.MAX_FILE_BYTES + 1)  # Sparse: takes no room.
    with pytest.raises(images.ImageError, match="bytes is over"):
        images.load_image(str(path))


@pytest.mark.parametrize("read", [images.load_image, images.to_network_bytes])
@pytest.mark.parametrize("width, height", [(60_000, 60_000), (16_000, 13_000)])
def test_a_small_file_that_claims_a_huge_picture_is_refused_before_it_is_unpacked(monkeypatch, read, width, height):
    unpacked = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: unpacked.append(self.size))
    with pytest.raises(images.ImageError, match="^bomb: .*200,000,000 pixels"):
        read(helpers.png_claiming(width, height), "bomb")
    assert not unpacked


@pytest.mark.parametrize("read", [images.load_image, images.to_network_bytes])
def test_large_pictures_cause_no_warnings(read):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(images.ImageError):
            read(helpers.png_claiming(14_000, 14_000))
    assert not caught


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_plain_files_go_to_the_network_untouched(format):
    data = helpers.file_of(Image.fromarray(_noise()), format)
    assert images.to_network_bytes(data) is data


def test_everything_else_goes_to_the_network_as_the_viewer_shows_it():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(_noise())
    for data in (
        helpers.file_of(picture, "JPEG", exif=exif),
        helpers.file_of(picture, "WEBP", lossless=True),
        helpers.file_of(picture.convert("RGBA")),
        helpers.file_of(picture.convert("CMYK"), "JPEG"),
        helpers.file_of(picture.convert("L")),
    ):
        sent = images.to_network_bytes(data)
        assert sent.startswith(b"\x89PNG")
        np.testing.assert_array_equal(images.load_image(sent), images.load_image(data))


def test_a_broken_picture_does_not_reach_the_network():
    with pytest.raises(images.ImageError, match="^cut: "):
        images.to_network_bytes(helpers.file_of(Image.fromarray(_noise()), "JPEG")[:-200], "cut")


@pytest.mark.parametrize("height, width", [(40, 90), (90, 40), (40, 40)])
def test_square_takes_the_centre(height, width):
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = (height - 40) // 2, (width - 40) // 2
    pixels[top : top + 40, left : left + 40] = RED
    squared = images.square(pixels, 20)
    assert squared.shape == (20, 20, 3)
    # The filter looks three of the new pixels beyond the square's edges, where there is something.
    assert (squared[3:-3, 3:-3] == RED).all()
    assert np.abs(squared.astype(int) - RED).max() < 20


def test_square_averages_what_it_shrinks():
    chequered = np.uint8(np.indices((64, 64)).sum(0) % 2 * 255)[:, :, None].repeat(3, 2)
    assert np.abs(images.square(chequered, 8).astype(int) - 127.5).max() < 10


def test_every_8_bit_value_survives_floats():
    values = np.arange(256, dtype=np.uint8)
    assert images.to_float(values).dtype == np.float32
    np.testing.assert_array_equal(images.to_uint8(images.to_float(values)), values)


def test_floats_out_of_range_are_clipped_and_others_rounded():
    assert images.to_uint8(np.array([-0.3, 1.7, 0.4 / 255, 0.6 / 255])).tolist() == [0, 255, 0, 1]
