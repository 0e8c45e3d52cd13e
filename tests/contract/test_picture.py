"""Every kind of picture file: what its pixels are, what is kept of it, and that what is written holds both."""

import base64
import io
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, ImageOps, JpegImagePlugin, TiffImagePlugin, WebPImagePlugin

from faketagger.components.contract import containers, picture, picture_decoding, picture_encoding
from faketagger.tests import helpers

RED = (200, 10, 30)
EXIF = Image.Exif()
EXIF[0x8298] = "nobody"
EXIF.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description rating='5'/></x:xmpmeta>"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# 64 rows of 48: red, from row 32 on green added, from column 24 on blue. Nothing here can write HEIC.
HEIC = base64.b85decode(
    "0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<0004fZDn*}000000000XXk=`10000000000aA{+700000000000000000000B57=IV*mgE07O6l0RRC"
    "200001p#T8@00000004Xd001LtX>Mi!000000RR916=`l}WdZ;I000310BCk&F#rGn01j|zbZr0t000010002}X>f9I0002pX>en20001XXm(>m0R"
    "wOV0058x000009`FGC{rLC*01pFT0096PKmiN^|NjGU00093kN^M!000939=ZZRVE_RDDnbDP18@KU0|1Z!00RI30{|YNAb|yz>g1-mxCm%4AOHX"
    "Z10VnZ0{|gn00967L;=Bbz=;3=025<xY;ta6Y<K_x01W^JfB*mh6lrsCWdHyG00000KmY&$KmY&$C}V74Z~y=RFaQ7m0RR91KmY&$0ssI1@Bjb+0ssI"
    "2000000ssI25O8UDX#fBK00RgJ2mk;87-?{AVE_OC000000RRC7fdT^sga7~lgl%MDbN~PVcqjp{1o%NR0&o6-zyJSQk=cISdP+P__d5oi_u~D(`)8+"
    "h%h#w!6U`0wlI*~o3Ca$>H5d>uTY?0yi@jpUp4era8*3WQYHD%UqDd--Q?bLT*^g_t|DabObAl&0)#%n5rR0S_%P3F(r)}^5952N+|Nko)`~"
)


def _noise(height=40, width=60, channels=3, dtype=np.uint8):
    values = np.random.default_rng(3).integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)
    return values


def _smooth(height=64, width=96):
    """Of little detail, which JPEG keeps well."""
    return np.uint8(helpers.smooth_pictures(np.random.default_rng(5), 1, 96)[0][:height, :width] * 255)


def _written(found, format=None):
    file = io.BytesIO()
    picture_encoding.encode(found, file, format)
    return file.getvalue()


def _again(data, format=None):
    """A file decoded, and what was written of it, decoded."""
    found = picture_decoding.decode(data)
    return found, picture_decoding.decode(_written(found, format))


def _deep_file(ending, pixels):
    """A file of 16 bits a channel, as OpenCV writes it."""
    order = [2, 1, 0, 3][: pixels.shape[2]] if pixels.shape[2] > 2 else [0]
    return cv2.imencode(ending, pixels[..., order])[1].tobytes()


def _with_chunks(png, *chunks):
    """A PNG with chunks after its header."""
    return png[:33] + b"".join(containers.png_chunk(kind, content) for kind, content in chunks) + png[33:]


def _oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769).update({0xA002: 96, 0xA003: 64})
    return exif


# Pixels


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_a_lossless_file_comes_out_in_its_format_with_the_same_pixels(format, mode):
    if (format, mode) in {("BMP", "RGBA"), ("BMP", "LA"), ("WEBP", "L"), ("WEBP", "LA")}:
        pytest.skip("there are no such files")
    image = Image.fromarray(_noise(70, 90, 4), "RGBA").convert(mode)
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    before, after = _again(helpers.file_of(image, format, **options))
    assert before.format == after.format == format
    np.testing.assert_array_equal(before.pixels, np.asarray(image).reshape(70, 90, len(mode)))
    np.testing.assert_array_equal(after.pixels, before.pixels)


@pytest.mark.parametrize("ending", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_a_channel_come_out_as_they_were(ending, channels):
    pixels = _noise(70, 50, channels, np.uint16)
    before, after = _again(_deep_file(ending, pixels))
    assert before.deep and after.format == before.format
    np.testing.assert_array_equal(before.pixels, pixels)
    np.testing.assert_array_equal(after.pixels, pixels)


def test_grey_and_alpha_of_16_bits_come_out_as_they_were():
    pixels = _noise(9, 7, 2, np.uint16)
    data = _written(picture.Picture("deep", "PNG", pixels, native=[]))
    assert data[24:26] == b"\x10\x04"  # 16 bits, grey and alpha.
    before, after = _again(data)
    np.testing.assert_array_equal(before.pixels, pixels)
    np.testing.assert_array_equal(after.pixels, pixels)


def test_a_deep_picture_looks_as_its_upper_bits_say():
    pixels = np.uint16([[[0, 128, 129], [65535, 65407, 32768]]])
    assert picture.Picture("deep", "PNG", pixels).rgb().tolist() == [[[0, 0, 1], [255, 255, 128]]]


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"compress_level": 1}])
def test_written_pngs_are_read_by_other_decoders(options):
    pixels = _noise(130, 31)
    data = _written(picture_decoding.decode(helpers.file_of(pixels, **options)))
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1], pixels)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_written_tiffs_are_read_by_other_decoders_and_compressed_where_they_were(compression):
    pixels = _noise(130, 31)
    data = _written(picture_decoding.decode(helpers.file_of(pixels, "TIFF", compression=compression)))
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1], pixels)
    assert Image.open(io.BytesIO(data)).info["compression"] == ("tiff_adobe_deflate" if compression else "raw")


def test_grey_stays_grey_and_looks_grey():
    found = picture_decoding.decode(helpers.file_of(Image.new("L", (9, 7), 77), "JPEG"))
    assert found.pixels.shape == (7, 9, 1) and found.rgb().shape == (7, 9, 3)
    assert Image.open(io.BytesIO(_written(found))).mode == "L"


@pytest.mark.parametrize("transparency", [0, bytes([0, 255])])
def test_a_palette_becomes_true_colour_and_is_told(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, 0, 0, 255])
    image.putdata([0, 1])
    before, after = _again(helpers.file_of(image, transparency=transparency))
    assert before.changes == ["its palette becomes true colour"]
    assert after.pixels.tolist() == [[[*RED, 0], [0, 0, 255, 255]]]


@pytest.mark.parametrize("format", ["GIF", "AVIF"])
def test_formats_that_would_lose_the_tag_come_out_as_png_and_that_is_told(format):
    before, after = _again(helpers.file_of(Image.new("RGB", (16, 8), RED), format))
    assert (before.format, after.format) == (format, "PNG")
    np.testing.assert_array_equal(after.pixels, before.pixels)
    assert np.abs(after.pixels.astype(int) - RED).max() <= 4
    assert picture_encoding.changes(before, "PNG")[-1].startswith(f"{format} becomes PNG: ")


def test_heic_is_read_where_its_package_is_installed_and_comes_out_as_png():
    before, after = _again(HEIC)
    assert (before.format, after.format, before.pixels.shape) == ("HEIF", "PNG", (64, 48, 3))
    for (row, column), colour in {(8, 8): (200, 0, 0), (8, 40): (200, 0, 220), (56, 40): (200, 150, 220)}.items():
        assert np.abs(after.pixels[row, column].astype(int) - colour).max() < 12


def test_heic_without_its_package_is_refused_with_the_packages_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(picture.ImageError, match="^phone: HEIC, .*pi-heif"):
        picture_decoding.decode(HEIC, "phone")


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_of_the_same_colours_and_that_is_told(format):
    before, after = _again(helpers.file_of(Image.new("RGB", (16, 16), RED).convert("CMYK"), format))
    assert after.pixels.shape == (16, 16, 3) and np.abs(after.pixels.astype(int) - RED).max() <= 4
    assert before.changes == ["CMYK becomes RGB"]


@pytest.mark.parametrize("colours, said", [("LAB", "LAB"), ("F", "32 bits"), ("I", "32 bits")])
def test_colours_without_an_agreed_meaning_are_refused_and_not_called_damaged(colours, said):
    with pytest.raises(picture.ImageError, match=f"^scan.tif: .*{said}.*: save it") as refused:
        picture_decoding.decode(helpers.file_of(Image.new(colours, (4, 4)), "TIFF"), "scan.tif")
    assert not isinstance(refused.value, picture.DamagedError)


def test_a_jpeg_of_12_bits_is_refused_and_not_called_damaged():
    data = bytearray(helpers.file_of(_smooth(), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(picture.ImageError, match="^scan: a JPEG of pixels that are not taken .*12-bit") as refused:
        picture_decoding.decode(bytes(data), "scan")
    assert not isinstance(refused.value, picture.DamagedError)


def _grey_tiff(bits, photometric, pixels):
    """One strip of `pixels`, 2 wide and 1 high."""
    tags = {256: 2, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


@pytest.mark.parametrize(
    "bits, photometric, pixels, white_at",
    [
        (16, 1, b"\0\0\xff\xff", 1),
        (16, 0, b"\0\0\xff\xff", 0),  # 0 is white.
        (12, 1, b"\x00\x0f\xff\0", 1),
        (8, 0, b"\0\xff", 0),
    ],
)
def test_grey_of_a_tiff_goes_from_black_to_white_however_its_numbers_are_meant(bits, photometric, pixels, white_at):
    before, after = _again(_grey_tiff(bits, photometric, pixels))
    for found in (before, after):
        assert found.rgb()[0, :, 0].tolist() == [255 * (place == white_at) for place in (0, 1)]


def test_a_lossless_jpeg_comes_out_as_a_usual_one_and_that_is_told():
    """T.81, annex H: every pixel is as the one before, which takes a bit each."""
    frame = struct.pack(">BHHB", 8, 8, 8, 1) + b"\1\x11\0"
    table = b"\0\1" + bytes(15) + b"\0"
    segments = ((0xC3, frame), (0xC4, table), (0xDA, b"\1\1\0\1\0\0"))
    data = b"\xff\xd8" + b"".join(containers.jpeg_segment(*it) for it in segments) + bytes(8) + b"\xff\xd9"
    before, after = _again(data)
    assert (before.format, after.format) == ("JPEG", "JPEG") and "lossless" in before.changes[0]
    assert np.unique(before.pixels).tolist() == np.unique(after.pixels).tolist() == [128]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_several_pictures_in_a_file_are_refused_and_read_leniently_as_the_first(format):
    frames = [Image.fromarray(frame) for frame in (_smooth(), 255 - _smooth())]
    options = {"lossless": True} if format == "WEBP" else {}
    data = helpers.file_of(frames[0], format, save_all=True, append_images=frames[1:], **options)
    with pytest.raises(picture.ImageError, match="^film: 2 pictures in one file"):
        picture_decoding.decode(data, "film")
    found = picture_decoding.decode(data, "film", lenient=True)
    assert found.damage == ["of 2 pictures in it, the first was taken"]
    assert np.abs(found.rgb().astype(int) - _smooth()).mean() < 6


# What is added


@pytest.mark.parametrize("dtype, white", [(np.uint8, 255), (np.uint16, 65535)])
def test_what_is_added_is_rounded_and_clipped_in_the_files_own_depth(dtype, white):
    pixels = np.full((3, 2, 3), 1000 % (white + 1), dtype)
    pixels[0], pixels[1] = 0, white
    found = picture.Picture("any", "PNG", pixels.copy())
    found.add([(0, np.full([2, 2, 3], -0.01, np.float32)), (2, np.full([1, 2, 3], 10.4 / white, np.float32))])
    assert found.pixels.dtype == dtype
    assert found.pixels[0].max() == 0 and (found.pixels[1] == round(white * 0.99)).all()
    np.testing.assert_array_equal(found.pixels[2], pixels[2] + dtype(10))


def test_grey_takes_what_a_grey_copy_shows_and_alpha_stays():
    pixels = np.uint8([[[100, 255], [100, 7], [100, 0]]])
    found = picture.Picture("any", "PNG", pixels.copy())
    found.add([(0, np.float32([[[0.1, 0.2, 0.0]] * 3]))])
    assert found.pixels.tolist() == [[[138, 255], [138, 7], [100, 0]]]


def test_a_cutouts_visible_part_is_a_view_without_its_transparent_rim():
    pixels = _noise(10, 12, 4)
    pixels[..., 3] = 0
    pixels[2:5, 3:9, 3] = 7
    found = picture.Picture("any", "PNG", pixels)
    assert found.is_cutout and found.visible().pixels.shape == (3, 6, 4)
    assert found.visible_corner() == (3, 2)
    found.visible().pixels[0, 0, 0] = 5
    assert found.pixels[2, 3, 0] == 5
    pixels[..., 3] = 0
    assert found.visible().rgb().size == 0 and found.visible_corner() == (0, 0)
    pixels[..., 3] = 1
    assert not found.is_cutout and found.visible().pixels.shape == pixels.shape


# JPEG


@pytest.mark.parametrize("quality", [5, 30, 75, 100])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_jpeg_keeps_its_tables_and_subsampling(quality, subsampling):
    data = helpers.file_of(_smooth(), "JPEG", quality=quality, subsampling=subsampling)
    before, after = (Image.open(io.BytesIO(it)) for it in (data, _written(picture_decoding.decode(data))))
    assert before.quantization == after.quantization
    assert JpegImagePlugin.get_sampling(after) == subsampling
    assert np.abs(np.asarray(after).astype(int) - np.asarray(before)).mean() < 1.5


@pytest.mark.parametrize("progressive", [True, False])
def test_a_jpeg_stays_progressive_or_not(progressive):
    data = _written(picture_decoding.decode(helpers.file_of(_smooth(), "JPEG", progressive=progressive)))
    assert bool(Image.open(io.BytesIO(data)).info.get("progressive")) == progressive


def test_a_large_progressive_jpeg_comes_out_baseline_with_the_same_pixels(monkeypatch):
    data = helpers.file_of(_smooth(), "JPEG", progressive=True)
    small = _written(picture_decoding.decode(data))
    monkeypatch.setattr(picture_encoding, "_MOST_PROGRESSIVE_PIXELS", 64 * 96 - 1)
    large = _written(picture_decoding.decode(data))
    assert "progressive" not in Image.open(io.BytesIO(large)).info
    np.testing.assert_array_equal(picture_decoding.decode(large).pixels, picture_decoding.decode(small).pixels)


def test_a_jpeg_of_rgb_stays_one():
    data = helpers.file_of(_smooth(), "JPEG", keep_rgb=True, quality=95)
    written = _written(picture_decoding.decode(data))
    assert Image.open(io.BytesIO(written)).info["adobe_transform"] == 0
    assert np.abs(picture_decoding.decode(written).pixels.astype(int) - _smooth()).max() <= 8


def test_a_jpegs_segments_come_out_byte_by_byte():
    kept = {
        0xE1: [
            containers.EXIF_PREFIX + EXIF.tobytes()[6:],
            b"http://ns.adobe.com/xap/1.0/\0" + XMP,
            b"x/extension/\0...",
        ],
        0xE2: [b"ICC_PROFILE\0\1\1" + PROFILE],
        0xED: [b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0"],
        0xFE: [b"a comment", b"and another"],
    }
    segments = b"".join(containers.jpeg_segment(marker, it) for marker, all_of in kept.items() for it in all_of)
    written = _written(picture_decoding.decode(helpers.file_of(_smooth(), "JPEG", extra=segments, dpi=(300, 200))))
    found = containers.jpeg_segments(io.BytesIO(written))
    assert {marker: [it for one, it in found if one == marker] for marker in kept} == kept
    assert Image.open(io.BytesIO(written)).info["dpi"] == (300, 200)


def test_manifests_and_second_pictures_of_a_jpeg_are_dropped_and_that_is_told():
    dropped = ((0xEB, b"JP\0\1\0\0\0\1" + b"jumbc2pa"), (0xE2, b"MPF\0" + bytes(20)))
    segments = b"".join(containers.jpeg_segment(*it) for it in dropped)
    found = picture_decoding.decode(helpers.file_of(_smooth(), "JPEG", extra=segments))
    assert len(found.changes) == 2 and "C2PA" in found.changes[0] and "only the first" in found.changes[1]
    assert not [it for it in containers.jpeg_segments(io.BytesIO(_written(found))) if it in dropped]


# Other metadata


def test_a_resolution_that_says_nothing_is_left_out():
    for across in (0.0, 4e9):
        data = helpers.file_of(_smooth(), "TIFF", tiffinfo={282: across, 283: across, 296: 2})
        picture = picture_decoding.decode(data)
        assert (
            picture.dpi is None
            and Image.open(io.BytesIO(_written(picture, "PNG"))).size == (picture.pixels.shape[1::-1])
        )


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF"])
def test_exif_xmp_profile_and_dpi_come_out_as_they_were(format):
    dpi = {} if format in ("WEBP", "AVIF") else {"dpi": (300, 300)}
    image = Image.fromarray(_smooth())
    if format == "PNG":
        data = _with_chunks(
            helpers.file_of(image, exif=EXIF, icc_profile=PROFILE, **dpi),
            (b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP),
        )
    elif format == "TIFF":
        tags = {700: XMP, 0x8298: "nobody", 0x8769: dict(EXIF.get_ifd(0x8769))}
        data = helpers.file_of(image, format, icc_profile=PROFILE, tiffinfo=tags, **dpi)
    else:
        data = helpers.file_of(image, format, exif=EXIF, xmp=XMP, icc_profile=PROFILE, **dpi)
    before, after = _again(data)
    assert before.xmp == after.xmp == XMP
    assert before.icc == after.icc == PROFILE
    assert before.exif == after.exif
    assert b"2024:01:02 03:04:05" in after.exif and b"nobody" in after.exif
    assert after.dpi == (pytest.approx((300, 300), abs=0.01) if dpi else None)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_metadata_goes_along_to_other_formats(format):
    data = helpers.file_of(_smooth(), "JPEG", exif=EXIF, xmp=XMP, icc_profile=PROFILE, dpi=(300, 300))
    before, after = _again(data, format)
    assert (after.format, after.xmp, after.icc) == (format, XMP, PROFILE)
    assert b"2024:01:02 03:04:05" in after.exif and b"nobody" in after.exif
    assert format == "WEBP" or after.dpi == pytest.approx((300, 300), abs=0.01)


def test_what_goes_along_into_no_other_format_is_told():
    segments = b"".join(containers.jpeg_segment(*each) for each in ((0xFE, b"a comment"), (0xED, b"Photoshop 3.0\0")))
    with_more = picture_decoding.decode(helpers.file_of(_smooth(), "JPEG", exif=EXIF, xmp=XMP, extra=segments))
    without = picture_decoding.decode(helpers.file_of(_smooth(), "JPEG", exif=EXIF, xmp=XMP, icc_profile=PROFILE))
    assert picture_encoding.changes(with_more, "JPEG") == picture_encoding.changes(without, "PNG") == []
    assert "comments, IPTC" in picture_encoding.changes(with_more, "PNG")[0]
    xmp = (b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP)
    chunks = (b"tEXt", b"Title\0one"), (b"cICP", b"\x0c\x0d\0\1")
    with_more, without = (
        picture_decoding.decode(_with_chunks(helpers.file_of(_smooth()), *each)) for each in ((xmp, *chunks), (xmp,))
    )
    assert picture_encoding.changes(with_more, "PNG") == picture_encoding.changes(without, "JPEG") == []
    texts, colours = picture_encoding.changes(with_more, "JPEG")
    assert "texts" in texts and "cICP" in colours


def test_a_pngs_chunks_come_out_byte_by_byte_and_those_about_the_untagged_picture_do_not():
    kept = [(b"gAMA", bytes(3) + b"\1"), (b"tEXt", b"Title\0one"), (b"tEXt", b"Title\0two"), (b"zuBl", b"unknown")]
    dropped = [(b"caBX", b"c2pa"), (b"bKGD", bytes(6)), (b"zuBL", b"unknown")]
    found = picture_decoding.decode(_with_chunks(helpers.file_of(_noise()), *kept, *dropped))
    written = list(containers.png_chunks(io.BytesIO(_written(found))))
    assert [it[:2] for it in written if it[0] not in (b"IHDR", b"IDAT", b"IEND")] == kept
    assert len(found.changes) == 1 and "C2PA" in found.changes[0]


@pytest.mark.parametrize("text", [b"zTXt", b"iTXt"])
def test_large_texts_and_profiles_of_a_png_are_kept_and_a_bomb_among_them_is_not_unpacked(text):
    profile = PROFILE + np.random.default_rng(0).bytes(2**21)
    bomb = zlib.compress(bytes(2**24), 9)
    kept = [
        (b"iCCP", b"large\0\0" + zlib.compress(profile)),
        (text, b"Comment\0" + {b"zTXt": b"\0", b"iTXt": b"\1\0\0\0"}[text] + bomb),
    ]
    before, after = _again(_with_chunks(helpers.file_of(_noise()), *kept))
    for found in (before, after):
        np.testing.assert_array_equal(found.pixels, _noise())
        assert found.icc == profile and found.native == kept and not found.damage


def test_of_many_profiles_of_a_png_one_is_unpacked(monkeypatch):
    unpacked = []
    monkeypatch.setattr(containers, "png_profile", lambda content: unpacked.append(content))
    chunks = [(b"iCCP", b"%d\0\0" % number + zlib.compress(bytes(2**23))) for number in range(5)]
    picture_decoding.decode(_with_chunks(helpers.file_of(_noise()), *chunks))
    assert len(unpacked) <= 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_data_that_are_none_do_no_harm(format):
    before = picture_decoding.decode(helpers.file_of(_smooth(), format, exif=b"Exif\0\0no data at all"))
    assert before.exif is None
    for other in ("PNG", "WEBP", "TIFF", "JPEG"):
        assert picture_decoding.decode(_written(before, other)).pixels.shape == before.pixels.shape


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_comes_out_upright_and_says_so(format, orientation):
    data = helpers.file_of(_smooth(), format, exif=_oriented(orientation))
    seen = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    before, after = _again(data)
    np.testing.assert_array_equal(before.pixels, np.asarray(seen))
    written = Image.open(io.BytesIO(_written(before)))
    assert written.getexif().get(0x0112, 1) == 1 and written.size == seen.size
    assert np.abs(np.asarray(written.convert("RGB")).astype(int) - before.pixels).mean() < (
        3 if format == "WEBP" else 1
    )
    if format != "TIFF":
        inner = after.exif and Image.Exif()
        inner.load(containers.EXIF_PREFIX + after.exif)
        sides = inner.get_ifd(0x8769)
        assert (sides[0xA002], sides[0xA003]) == seen.size


@pytest.mark.parametrize("order", ["<", ">"])
def test_resetting_the_orientation_changes_nothing_else(order):
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112], exif[0x8298] = 6, "nobody"
    before = exif.tobytes()[6:]
    after = containers.reset_orientation(before, turned=False)
    assert sum(one != other for one, other in zip(before, after)) == 1 and len(before) == len(after)
    broken = before[:12]
    assert containers.reset_orientation(broken, turned=True) == broken


def test_the_orientation_in_xmp_is_reset():
    xmp = b"<rdf:Description tiff:Orientation='6'/><tiff:Orientation>8</tiff:Orientation>"
    reset = b"<rdf:Description tiff:Orientation='1'/><tiff:Orientation>1</tiff:Orientation>"
    assert containers.reset_xmp_orientation(xmp) == reset


# Damage


@pytest.mark.parametrize("cut", [2, 400])
def test_a_cut_jpeg_is_refused_and_read_leniently_as_far_as_it_goes(cut):
    data = helpers.file_of(_smooth(), "JPEG", quality=98)
    with pytest.raises(picture.ImageError, match="^cut: not a readable picture"):
        picture_decoding.decode(data[:-cut], "cut")
    found = picture_decoding.decode(data[:-cut], "cut", lenient=True)
    assert found.damage == ["damaged: what is there of it was taken"]
    assert np.abs(found.pixels[:32].astype(int) - _smooth()[:32]).mean() < 2


def test_a_cut_png_is_refused_and_read_leniently_as_far_as_it_goes():
    data = helpers.file_of(_noise(), compress_level=0)
    cut = data[: len(data) // 2]
    with pytest.raises(picture.ImageError, match="^cut: not a readable picture"):
        picture_decoding.decode(cut, "cut")
    found = picture_decoding.decode(cut, "cut", lenient=True)
    assert found.damage == ["damaged: 48% of its rows were taken"]
    np.testing.assert_array_equal(found.pixels[:19], _noise()[:19])
    assert found.pixels[19:].max() == 0


def test_a_damaged_png_with_more_than_its_rows_is_read_leniently_as_those():
    rows, packer = np.pad(_noise().reshape(40, 180), [(0, 0), (1, 0)]).tobytes(), zlib.compressobj()
    data = [packer.compress(each) + packer.flush(zlib.Z_SYNC_FLUSH) for each in (rows, b"more", b"and more")]
    header = containers.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 8, 2, 0, 0, 0))
    palette = containers.png_chunk(b"PLTE", bytes(3))[:-1] + b"?"  # Its checksum is wrong: Pillow gives up.
    chunks = [header, palette, *(containers.png_chunk(b"IDAT", each) for each in data)]
    found = picture_decoding.decode(containers.PNG_MAGIC + b"".join(chunks), "long", lenient=True)
    assert found.damage == ["damaged: 100% of its rows were taken"]
    np.testing.assert_array_equal(found.pixels, _noise())


@pytest.mark.parametrize("spoil", ["data", "end", "missing end"])
def test_a_png_whose_pixels_are_all_there_is_taken_and_its_damage_told(spoil):
    data = helpers.file_of(_noise())
    if spoil == "missing end":
        data = data[:-12]
    else:
        at = -1 if spoil == "end" else -13
        data = data[:at] + bytes([data[at] ^ 1]) + (data[at + 1 :] if at + 1 else b"")
    found = picture_decoding.decode(data)
    np.testing.assert_array_equal(found.pixels, _noise())
    assert len(found.damage) == 1 and "checksum or the end" in found.damage[0]
    assert not picture_decoding.decode(_written(found)).damage


def test_leniency_is_over_with_the_call():
    data = helpers.file_of(_smooth(), "JPEG")[:-100]
    picture_decoding.decode(data, lenient=True)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with pytest.raises(picture.ImageError):
        picture_decoding.decode(data)


@pytest.mark.parametrize("kept", [0, 3, 40, 0.5])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_damaged_files_are_refused_by_name_whatever_is_asked(format, kept):
    data = helpers.file_of(_smooth(), format)
    cut = data[: kept if kept > 1 else int(kept * len(data))]
    for lenient in (False, True):
        try:
            picture_decoding.decode(cut, "torn", lenient)
        except picture.ImageError as error:
            assert str(error).startswith("torn: not a ")
        else:
            assert lenient and format in ("JPEG", "PNG")


# Size


def test_the_limit_is_of_the_call_and_is_met_before_anything_is_unpacked(monkeypatch):
    unpacked = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: unpacked.append(self.size))
    with pytest.raises(picture.ImageError, match="^bomb: 20000×20000 is over 200,000,000 pixels"):
        picture_decoding.decode(helpers.png_claiming(20_000, 20_000), "bomb")
    with pytest.raises(picture.ImageError, match="is over 100 pixels"):
        picture_decoding.decode(helpers.png_claiming(11, 10), most=100)
    assert not unpacked


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (struct.pack(">IIBBBBB", 400, 400, 8, 2, 0, 0, 0), "^bomb: 400×400 is over 1,000 pixels"),
        (struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0), "^bomb: 2147483647×2147483647 is over"),
        (struct.pack(">IIBBBBB", 0, 2**31 - 1, 8, 2, 0, 0, 0), "^bomb: not a readable picture"),
        (struct.pack(">IIBBBBB", 10, 10, 255, 2, 0, 0, 0), "^bomb: not a readable picture"),
    ],
)
def test_a_damaged_png_that_claims_too_much_is_refused_before_it_is_unpacked_to_be_mended(monkeypatch, header, said):
    unpacked = []
    monkeypatch.setattr(containers.zlib, "decompressobj", lambda: unpacked.append(header))
    chunks = [containers.png_chunk(b"IHDR", header), containers.png_chunk(b"IDAT", zlib.compress(bytes(100)))]
    data = bytearray(containers.PNG_MAGIC + b"".join(chunks))
    data[32] ^= 1  # The header's checksum: Pillow does not come as far as the size.
    with pytest.raises(picture.ImageError, match=said):
        picture_decoding.decode(bytes(data), "bomb", lenient=True, most=1000)
    assert not unpacked


def test_a_webp_that_claims_too_much_is_refused_before_its_decoder_is_made(monkeypatch):
    data = bytearray(helpers.file_of(Image.new("RGBA", (40, 30), (1, 2, 3, 4)), "WEBP", exif=EXIF))
    data[24:30] = bytes([0xFF, 0x3F, 0, 0xFF, 0x3F, 0])
    monkeypatch.setattr(WebPImagePlugin, "WebPImageFile", None)
    with pytest.raises(picture.ImageError, match="16384×16384 is over"):
        picture_decoding.decode(bytes(data))


def test_kinds_are_told_by_content(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(helpers.file_of(_smooth(), "JPEG"))
    with open(path, "rb") as file:
        assert picture_decoding.decode(file).format == "JPEG"


def test_what_a_format_cannot_hold_is_refused():
    for format, pixels, said in (
        ("JPEG", _noise(4, 4, 4), "transparent parts"),
        ("JPEG", _noise(4, 4, 3, np.uint16), "16 bits"),
        ("TIFF", _noise(4, 4, 2, np.uint16), "16 bits of grey with transparent parts"),
        ("WEBP", _noise(1, 16384), "side of more than 16383 pixels"),
        ("JPEG", _noise(65501, 1), "side of more than 65500 pixels"),
    ):
        with pytest.raises(picture.ImageError, match=f"^face: {format} holds no {said}"):
            picture_encoding.encode(picture.Picture("face", "PNG", pixels, native=[]), io.BytesIO(), format)


def test_whole_files_are_told_from_broken_ones_without_being_kept():
    pixels = np.random.default_rng(4).integers(0, 256, [200, 120, 3], np.uint8)
    for kind, options in (("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True})):
        data = helpers.file_of(pixels, kind, **options)
        middle = len(data) * 4 // 5
        assert picture_decoding.is_whole(data)
        assert not picture_decoding.is_whole(data, most=200 * 120 - 1)
        assert not picture_decoding.is_whole(data[:middle])
        assert not picture_decoding.is_whole(data[:middle] + bytes(40) + b"\xff\xbc" + data[middle:])
    assert not picture_decoding.is_whole(b"") and not picture_decoding.is_whole(b"a letter, no picture")


def _exif_with_text(text):
    """EXIF data whose artist is `text`, 9 bytes, and so is the lens' model."""
    exif = Image.Exif()
    exif[0x013B] = "X" * 9
    exif.get_ifd(0x8769).update({0xA434: "X" * 9, 0x9010: "+01:00"})
    return exif.tobytes().replace(b"X" * 9, text)


def test_text_of_exif_data_and_tiff_tags_keeps_its_bytes():
    text = "Zoë Größ".encode()[:9]
    jpeg = helpers.file_of(_noise(), "JPEG", exif=_exif_with_text(text))
    tiff = _written(picture_decoding.decode(jpeg), "TIFF")
    assert tiff.count(text) == 2
    before, after = _again(tiff)
    assert before.exif.count(text) == after.exif.count(text) == 2
    assert Image.open(io.BytesIO(_written(before))).getexif().get_ifd(0x8769)[0x9010] == "+01:00"


def test_exif_data_too_broken_for_a_tiff_are_left_out_and_told():
    found = picture_decoding.decode(helpers.file_of(_noise(), "JPEG"))
    broken = bytearray(EXIF.tobytes().removeprefix(containers.EXIF_PREFIX))
    broken[13] = 11  # Its copyright is floating-point numbers.
    found.exif = bytes(broken)
    assert picture_encoding.changes(found, "TIFF") == [
        "EXIF data too broken to be a TIFF's are not kept: TIFF has no place for it"
    ]
    assert picture_encoding.changes(found, "WEBP") == []
    assert picture_decoding.decode(_written(found, "TIFF")).format == "TIFF"


def test_grey_of_16_bits_with_a_transparent_value_has_alpha():
    pixels = _noise(5, 7, 1, np.uint16)
    header = struct.pack(">IIBBBBB", 7, 5, 16, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))
    chunks = ((b"IHDR", header), (b"tRNS", struct.pack(">H", pixels[2, 3, 0])), (b"IDAT", rows), (b"IEND", b""))
    before, after = _again(containers.PNG_MAGIC + b"".join(containers.png_chunk(*chunk) for chunk in chunks))
    np.testing.assert_array_equal(before.pixels[..., :1], pixels)
    np.testing.assert_array_equal(before.pixels[..., 1:], np.where(pixels == pixels[2, 3], 0, 65535))
    np.testing.assert_array_equal(after.pixels, before.pixels)


@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_data_that_a_png_has_as_text_turn_it_and_go_along(orientation):
    exif = EXIF.tobytes()
    if orientation != 1:
        exif = _oriented(orientation).tobytes()
    lines = [exif.hex()[at : at + 72] for at in range(0, 2 * len(exif), 72)]
    text = "Raw profile type exif\0" + "\n".join(["", "exif", f"{len(exif):8}", *lines])
    pixels = _noise(40, 60)
    before, after = _again(_with_chunks(helpers.file_of(pixels), (b"tEXt", text.encode())))
    assert before.orientation == orientation and after.orientation == 1
    np.testing.assert_array_equal(before.pixels, pixels if orientation == 1 else np.rot90(pixels, -1))
    np.testing.assert_array_equal(after.pixels, before.pixels)
    kept = picture_decoding.decode(_written(before, "JPEG")).exif
    assert kept == before.exif and kept[:4] in containers.TIFF_MAGICS
    assert (b"nobody" in kept) == (orientation == 1) and (b"nobody" in after.exif) == (orientation == 1)


@pytest.mark.parametrize("says", [b"<x GCamera:MotionPhoto='1'/>", b'<x GCamera:MicroVideo="1"/>', None])
def test_the_clip_of_a_motion_photo_is_told_to_be_dropped(says):
    still = helpers.file_of(_noise(), "JPEG", **({"xmp": says} if says else {}))
    found = picture_decoding.decode(still + b"\0\0\0\x18ftypmp42" + (b"" if says else b"SEFT"))
    assert found.changes == ["the clip of its motion photo is dropped"]
    assert (
        picture_decoding.decode(_written(found)).changes
        == picture_decoding.decode(_written(found, "PNG")).changes
        == []
    )
    assert picture_decoding.decode(helpers.file_of(_noise(), "JPEG", xmp=XMP)).changes == []


def test_colours_of_an_avif_that_are_not_srgb_go_along_into_a_png_and_into_nothing_else():
    avif = helpers.file_of(_noise(), "AVIF")
    assert picture_decoding.decode(avif).native is None
    found = picture_decoding.decode(avif.replace(b"colrnclx\0\1\0\x0d", b"colrnclx\0\x09\0\x10"))
    assert containers.png_chunk(b"cICP", bytes([9, 16, 0, 1])) in _written(found, "PNG")
    assert not any("cICP" in told for told in picture_encoding.changes(found, "PNG"))
    assert any("cICP" in told for told in picture_encoding.changes(found, "JPEG"))


def _box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (_box(b"av1C", b"\x81\x00\x00\x00"), (8, None)),
        (_box(b"av1C", b"\x81\x00\x40\x00") + _box(b"colr", b"nclx\0\x09\0\x12\0\x09\x80"), (10, (9, 18))),
        (_box(b"av1C", b"\x81\x40\x60\x00") + _box(b"colr", b"prof1234"), (12, None)),
        (_box(b"hvcC", bytes(17) + b"\xfa" + bytes(5)), (10, None)),
        (_box(b"hvcC", bytes(3)), (8, None)),
    ],
)
def test_bits_and_colours_of_iso_pictures(boxes, expected):
    meta = _box(b"meta", bytes(4) + _box(b"hdlr", bytes(9)) + _box(b"iprp", _box(b"ipco", boxes)))
    file = _box(b"ftyp", b"avif") + meta + _box(b"mdat", b"1234")
    assert containers.iso_colours(io.BytesIO(file)) == expected
    for cut in range(len(file)):  # What is cut off says nothing, and ends.
        containers.iso_colours(io.BytesIO(file[:cut]))
    containers.iso_colours(io.BytesIO(b"\0\0\0\1" + bytes(40)))


def test_what_a_bmp_cannot_hold_is_told():
    found = picture_decoding.decode(helpers.file_of(_noise(), "JPEG", exif=EXIF))
    assert picture_encoding.changes(found, "BMP") == [
        "EXIF, XMP and colour profile are not kept: BMP has no place for it"
    ]
    assert picture_encoding.changes(picture_decoding.decode(helpers.file_of(_noise(), "JPEG")), "BMP") == []


def test_a_camera_s_raw_file_is_refused_and_further_pictures_of_a_tiff_are_told():
    for tags in ({50706: b"\1\4\0\0"}, {254: 1}):
        info = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in tags.items():
            info[tag] = value
        with pytest.raises(picture.ImageError, match="a camera's raw file, or else only a preview"):
            picture_decoding.decode(helpers.file_of(_noise(), "TIFF", tiffinfo=info))
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info.tagtype[330], info[330] = 4, 8
    found = picture_decoding.decode(helpers.file_of(_noise(), "TIFF", tiffinfo=info))
    assert found.changes == ["of its pictures (previews, a pyramid) only the first is kept"]


def test_xmp_of_a_turned_tiff_or_png_says_upright():
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description tiff:Orientation='6'/></x:xmpmeta>"
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[274], info.tagtype[700], info[700] = 6, 1, xmp
    tiff = _written(picture_decoding.decode(helpers.file_of(_noise(), "TIFF", tiffinfo=info)))
    assert b"tiff:Orientation='1'" in tiff and b"tiff:Orientation='6'" not in tiff
    packed = (b"iTXt", containers.PNG_XMP + b"\1\0\0\0" + zlib.compress(xmp))
    png = _with_chunks(helpers.file_of(_noise(), exif=_oriented(6)), packed)
    assert b"tiff:Orientation='1'" in _written(picture_decoding.decode(png))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_channel_without_meaning_is_left_out_and_told(dtype):
    pixels = _noise(8, 6, 4, dtype)
    alpha = picture.Picture("four", "TIFF", pixels, native=(TiffImagePlugin.ImageFileDirectory_v2(), False))
    unspecified = _written(alpha).replace(struct.pack("<HHII", 338, 3, 1, 2), struct.pack("<HHII", 338, 3, 1, 0))
    assert unspecified != _written(alpha)
    before, after = _again(unspecified)
    np.testing.assert_array_equal(before.pixels, pixels[..., :3])
    assert before.changes == ["channels that are neither colour nor transparency are left out"] and after.changes == []


def test_tags_of_pixels_that_are_others_now_do_not_stay():
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[281], info[332], info[334] = 1, 1, 4
    after = picture_decoding.decode(_written(picture_decoding.decode(helpers.file_of(_noise(), "TIFF", tiffinfo=info))))
    assert not {281, 332, 334} & set(after.native[0])


def test_the_comment_of_a_gif_is_told_to_be_left_behind():
    assert (
        "its comment is not kept" in picture_decoding.decode(helpers.file_of(_noise(), "GIF", comment=b"hello")).changes
    )
    assert "its comment is not kept" not in picture_decoding.decode(helpers.file_of(_noise(), "GIF")).changes
