"""Writing a Picture (picture.py) in a picture format, with what its file held besides pixels.

PNG and TIFF are written here: Pillow keeps neither 16 bits of colour nor chunks as they were, and holds a picture a
second time. Sources: PNG (W3C, third edition), TIFF 6.0 and its technical note on deflate.
"""

import io
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from faketagger.components.contract import containers
from faketagger.components.contract.picture import STRIP_ROWS, ImageError, JpegCoding, Picture
from faketagger.components.contract.picture_decoding import TIFF_DIRECTORIES, TIFF_LAYOUT, text_as_it_was

# Of formats that are written: the endings of names, of which the first is given where a name is made.
ENDINGS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
}
WRITTEN_ENDINGS = tuple(ending for endings in ENDINGS.values() for ending in endings)
# Of files that picture_decoding reads, where nobody has opened them yet.
READABLE_ENDINGS = (*WRITTEN_ENDINGS, ".gif", ".avif", ".heic", ".heif")
# Where a JPEG is made of something else, or a lossy WebP, which does not say its quality.
_JPEG_QUALITY, _WEBP_QUALITY = 95, 90
_LONGEST_SIDES = {"JPEG": 65500, "WEBP": 16383}  # Pixels: libjpeg's limit, and the format's.
# A progressive JPEG is coded all at once: larger ones come out baseline, with the very same pixels.
_MOST_PROGRESSIVE_PIXELS = 50_000_000
_GOES_ALONG = (containers.EXIF_PREFIX, b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TEXTS_THAT_GO_ALONG = (containers.PNG_XMP, b"Raw profile type exif\0")
_CODED = ("AVIF", "HEIF")  # Of which code points say what colours are.
_PIL_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_PNG_AVERAGE = 3  # The filter that leaves photographs smallest, of those that need no loop over the pixels.
_JFIF_DENSITY_AT = 13
_DEFLATE, _HORIZONTAL_DIFFERENCE, _UNASSOCIATED_ALPHA = 8, 2, 2
_BYTE, _SHORT, _LONG, _UNDEFINED = 1, 3, 4, 7
_TIFF_HEADER_BYTES, _TIFF_XMP, _TIFF_ICC = 8, 700, 34675


def format_by_name(path: str) -> str | None:
    """The format that a name's ending stands for; None for others."""
    return next((format for format, endings in ENDINGS.items() if path.lower().endswith(endings)), None)


def own_format(picture: Picture) -> str:
    """The format that a picture is written in where none is asked for: its own, or PNG where that is not written."""
    return picture.format if picture.format in ENDINGS and not _lacks(picture, picture.format) else "PNG"


def encode(picture: Picture, file: BinaryIO, format: str | None = None) -> None:
    """Writes a picture.

    Args:
      picture: its pixels go with what is kept of its file.
      file: where it goes, at its beginning; it can seek.
      format: one of ENDINGS; own_format by default. JPEG keeps its tables and subsampling, or has quality 95 without
        subsampling; WebP is lossless where it was, otherwise of quality 90; the others lose nothing.

    Raises:
      ImageError: the format cannot hold the picture.
      OSError: it cannot be written.
    """
    format = format or own_format(picture)
    check(picture, format)
    try:
        _WRITERS[format](picture, file)
    except (ValueError, SyntaxError, struct.error) as error:  # So encoders tell of what they cannot take.
        raise ImageError(f"{picture.name}: cannot be written as {format} ({error})") from error


def check(picture: Picture, format: str) -> None:
    """ImageError where a format cannot hold a picture."""
    if lacking := _lacks(picture, format):
        raise ImageError(f"{picture.name}: {format} holds no {lacking}; PNG does")


def _lacks(picture: Picture, format: str) -> str | None:
    """What of a picture a format cannot hold; None where it can hold it all."""
    if picture.deep and format not in ("PNG", "TIFF"):
        return "16 bits a channel"
    if picture.deep and format == "TIFF" and picture.pixels.shape[2] == 2:  # Pillow does not read it.
        return "16 bits of grey with transparent parts"
    if max(picture.pixels.shape) > _LONGEST_SIDES.get(format, math.inf):
        return f"side of more than {_LONGEST_SIDES[format]} pixels"
    return "transparent parts" if picture.has_alpha and format in ("JPEG", "BMP") else None


def changes(picture: Picture, format: str) -> list[str]:
    """What its owner should know of a picture that is written in a format, a phrase each."""
    if format == picture.format:
        return picture.changes
    left = [f"{what}: {format} has no place for it" for what in _left_behind(picture, format)]
    if format != own_format(picture):  # The owner chose so.
        return picture.changes + left
    return [*picture.changes, f"{picture.format} becomes {format}: {picture.format} is not written here", *left]


def _left_behind(picture: Picture, format: str) -> list[str]:
    """What of a file does not go along into another format."""
    chunks = picture.native if picture.format == "PNG" else []
    texts = any(kind in _TEXTS and not content.startswith(_TEXTS_THAT_GO_ALONG) for kind, content in chunks)
    coded = (
        any(kind == b"cICP" for kind, _ in chunks) or picture.format in _CODED and picture.native and format != "PNG"
    )
    broken = format == "TIFF" and _exif_tags(picture) is None
    bare = format == "BMP" and (picture.exif or picture.xmp or picture.icc)
    said = {
        "comments, IPTC or other data of the JPEG are not kept": _has_own_segments(picture),
        "texts of the PNG are not kept": texts,
        "what it says of its colours (cICP, nclx) is not kept": coded,
        "EXIF data too broken to be a TIFF's are not kept": broken,
        "EXIF, XMP and colour profile are not kept": bare,
    }
    return [what for what, there in said.items() if there]


def _has_own_segments(picture: Picture) -> bool:
    if not isinstance(picture.native, JpegCoding):
        return False
    segments = containers.jpeg_segments(io.BytesIO(b"\xff\xd8" + picture.native.segments))
    return any(not content.startswith(_GOES_ALONG) for _, content in segments)


def _image(picture: Picture) -> Image.Image:
    height, width, channels = picture.pixels.shape
    mode = _PIL_MODES[channels]
    return Image.frombuffer(mode, (width, height), np.ascontiguousarray(picture.pixels), "raw", mode, 0, 1)


def _write_jpeg(picture: Picture, file: BinaryIO) -> None:
    coding = picture.native if picture.format == "JPEG" else None
    if not isinstance(coding, JpegCoding):
        kept = _common(picture, exif_prefix=True)
        _image(picture).save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0, **kept)
        return
    height, width = picture.pixels.shape[:2]
    tables = coding.tables if picture.pixels.shape[2] == 3 else coding.tables[:1]
    options: dict[str, Any] = {"qtables": tables} if tables else {"quality": _JPEG_QUALITY}
    options |= {"subsampling": coding.subsampling, "keep_rgb": coding.rgb, "comment": b""}
    options["progressive"] = coding.progressive and height * width <= _MOST_PROGRESSIVE_PIXELS
    begun = file.tell()
    _image(picture).save(file, "JPEG", extra=coding.segments, **options)
    if coding.density and not coding.rgb:
        file.seek(begun + _JFIF_DENSITY_AT)
        file.write(coding.density)
        file.seek(0, 2)


def _write_webp(picture: Picture, file: BinaryIO) -> None:
    lossless = picture.format != "WEBP" or bool(picture.native)
    kept = _common(picture, exif_prefix=False)
    kept.pop("dpi", None)
    # `exact`: colours below transparent parts stay what they were.
    _image(picture).save(file, "WEBP", lossless=lossless, quality=_WEBP_QUALITY, method=2, exact=True, **kept)


def _write_bmp(picture: Picture, file: BinaryIO) -> None:
    _image(picture).save(file, "BMP", **({"dpi": picture.dpi} if picture.dpi else {}))


def _common(picture: Picture, exif_prefix: bool) -> dict[str, object]:
    """Pillow's options for what is kept across formats."""
    exif = picture.exif and (containers.EXIF_PREFIX + picture.exif if exif_prefix else picture.exif)
    found = {"exif": exif, "xmp": picture.xmp, "icc_profile": picture.icc, "dpi": picture.dpi}
    return {name: value for name, value in found.items() if value}


# PNG


def _write_png(picture: Picture, file: BinaryIO) -> None:
    height, width, channels = picture.pixels.shape
    file.write(containers.PNG_MAGIC)
    header = struct.pack(">IIBBBBB", width, height, 16 if picture.deep else 8, _PNG_COLOUR_TYPES[channels], 0, 0, 0)
    file.write(containers.png_chunk(b"IHDR", header))
    for kind, content in picture.native if picture.format == "PNG" else _png_chunks(picture):
        file.write(containers.png_chunk(kind, content))
    # Level 1 loses nothing either. Photographs have no long repetitions to look for: runs are found in half the time.
    deflater = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    for rows in _filtered_rows(picture.pixels):
        if data := deflater.compress(rows):
            file.write(containers.png_chunk(b"IDAT", data))
    file.write(containers.png_chunk(b"IDAT", deflater.flush()))
    file.write(containers.png_chunk(b"IEND", b""))


def _filtered_rows(pixels: np.ndarray) -> Iterator[bytes]:
    """The rows of a PNG, each with its filter before it, in strips."""
    height, width, channels = pixels.shape
    pixel_bytes = channels * pixels.itemsize
    above = np.zeros([1, width * pixel_bytes], np.uint8)
    for top in range(0, height, STRIP_ROWS):
        strip = np.ascontiguousarray(pixels[top : top + STRIP_ROWS].astype(pixels.dtype.newbyteorder(">"), copy=False))
        rows = strip.reshape(len(strip), -1).view(np.uint8)
        up = np.concatenate([above, rows[:-1]])
        left = np.zeros_like(rows)
        left[:, pixel_bytes:] = rows[:, :-pixel_bytes]
        filtered = np.empty([len(rows), 1 + rows.shape[1]], np.uint8)
        filtered[:, 0] = _PNG_AVERAGE
        filtered[:, 1:] = rows - ((up & left) + ((up ^ left) >> 1))  # The mean, rounded down, within 8 bits.
        above = rows[-1:]
        yield filtered.tobytes()


def _png_chunks(picture: Picture) -> Iterator[tuple[bytes, bytes]]:
    if picture.format in _CODED and picture.native:
        yield b"cICP", bytes([*picture.native, 0, 1])  # RGB, of which all numbers are used.
    if picture.icc:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc)
    if picture.dpi:
        yield b"pHYs", struct.pack(">IIB", *(round(dots / 0.0254) for dots in picture.dpi), 1)
    if picture.exif:
        yield b"eXIf", picture.exif
    if picture.xmp:
        yield b"iTXt", containers.png_xmp(picture.xmp)


# TIFF


def _write_tiff(picture: Picture, file: BinaryIO) -> None:
    tags, compressed = picture.native if picture.format == "TIFF" else (_tiff_tags(picture), True)
    begun, strips = file.tell(), -(-len(picture.pixels) // STRIP_ROWS)
    # The directory comes first, as Pillow serialises it; it is as long before its numbers are known.
    directory = _serialised(tags, _tiff_layout(picture.pixels, compressed, [0] * strips, [0] * strips))
    file.write(directory)
    offsets, sizes = [], []
    for strip in _tiff_strips(picture.pixels, compressed):
        offsets.append(file.tell() - begun - len(directory))
        sizes.append(file.write(strip))
    file.seek(begun)
    file.write(_serialised(tags, _tiff_layout(picture.pixels, compressed, offsets, sizes)))
    file.seek(0, 2)


def _serialised(tags: TiffImagePlugin.ImageFileDirectory_v2, layout: Mapping[int, tuple[int, Any]]) -> bytes:
    """A TIFF up to its first strip: header and directory; offsets of strips in `layout` count from behind it."""
    header = b"II*\0" + struct.pack("<I", _TIFF_HEADER_BYTES)
    directory = TiffImagePlugin.ImageFileDirectory_v2(header)
    for tag, value in tags.items():
        if tag in tags.tagtype:
            directory.tagtype[tag] = tags.tagtype[tag]
        directory[tag] = value
    for tag, (kind, value) in layout.items():
        directory.tagtype[tag] = kind
        directory[tag] = value
    return header + directory.tobytes(_TIFF_HEADER_BYTES)


def _tiff_layout(
    pixels: np.ndarray, compressed: bool, offsets: list[int], sizes: list[int]
) -> dict[int, tuple[int, Any]]:
    """Type and value of each tag that says how the pixels lie."""
    height, width, channels = pixels.shape
    colour, alpha = channels >= 3, channels in (2, 4)
    return {
        256: (_LONG, width),
        257: (_LONG, height),
        258: (_SHORT, (8 * pixels.itemsize,) * channels),
        259: (_SHORT, _DEFLATE if compressed else 1),
        262: (_SHORT, 2 if colour else 1),
        273: (_LONG, tuple(offsets)),
        277: (_SHORT, channels),
        278: (_LONG, STRIP_ROWS),
        279: (_LONG, tuple(sizes)),
        284: (_SHORT, 1),
        **({317: (_SHORT, _HORIZONTAL_DIFFERENCE)} if compressed else {}),
        **({338: (_SHORT, _UNASSOCIATED_ALPHA)} if alpha else {}),
    }


def _tiff_strips(pixels: np.ndarray, compressed: bool) -> Iterator[bytes]:
    for top in range(0, len(pixels), STRIP_ROWS):
        strip = np.ascontiguousarray(pixels[top : top + STRIP_ROWS].astype(pixels.dtype.newbyteorder("<"), copy=False))
        if compressed:
            strip = np.concatenate([strip[:, :1], strip[:, 1:] - strip[:, :-1]], axis=1)
        yield zlib.compress(strip.tobytes(), 1) if compressed else strip.tobytes()


def _tiff_tags(picture: Picture) -> TiffImagePlugin.ImageFileDirectory_v2:
    """What is kept of another format."""
    tags = _exif_tags(picture) or TiffImagePlugin.ImageFileDirectory_v2()
    for tag, kind, value in ((_TIFF_XMP, _BYTE, picture.xmp), (_TIFF_ICC, _UNDEFINED, picture.icc)):
        if value:
            tags.tagtype[tag] = kind
            tags[tag] = value
    if picture.dpi:
        tags[282], tags[283], tags[296] = *picture.dpi, 2
    return tags


def _exif_tags(picture: Picture) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """EXIF data as a TIFF's tags; None where they are too broken."""
    tags, exif = TiffImagePlugin.ImageFileDirectory_v2(), Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of what is broken and can be passed over.
            if picture.exif:
                exif.load(containers.EXIF_PREFIX + picture.exif)
            for tag, value in exif.items():
                if tag not in TIFF_LAYOUT and tag not in TIFF_DIRECTORIES:
                    tags[tag] = text_as_it_was(value)
            for tag in TIFF_DIRECTORIES:
                if directory := exif.get_ifd(tag):
                    tags[tag] = text_as_it_was(dict(directory))
            tags.tobytes()
    except Exception:  # Pillow raises many kinds over broken EXIF data.
        return None
    return tags


_WRITERS: dict[str, Callable[[Picture, BinaryIO], None]] = {
    "JPEG": _write_jpeg,
    "PNG": _write_png,
    "WEBP": _write_webp,
    "TIFF": _write_tiff,
    "BMP": _write_bmp,
}
