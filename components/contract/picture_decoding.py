"""Decodes picture files: the only place where one is opened, so that one decoder decides what is a picture.

Kinds are told by content, never by a name's ending.
"""

import functools
import io
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from faketagger.components.contract import containers
from faketagger.components.contract.picture import STRIP_ROWS, DamagedError, ImageError, JpegCoding, Picture, strips

# What a picture may have at most where nothing else is said, read in its header before anything is unpacked.
MAX_PIXELS = 200_000_000
HEAD_BYTES = 32  # Tell what kind a file is.
_MOST_DPI = 65535  # That every format can say.
_MOST_MENDED_BYTES = 1 << 28  # What lies behind is not looked at.

_MODES = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "YCbCr": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "CMYK": "RGB",
}
_BECOMES = {
    "1": "black and white becomes grey",
    "P": "its palette becomes true colour",
    "PA": "its palette becomes true colour",
    "CMYK": "CMYK becomes RGB",
}
_MEANINGLESS = dict.fromkeys(("I", "F"), "numbers that are signed or have 32 bits have no agreed white")
# What Pillow says of whole files whose pixels it does not take.
_SAVE_IT = "save it as grey or RGB with 8 or 16 bits"
_NOT_TAKEN = re.compile(r"unknown pixel mode|cannot handle \d+-bit layers")
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA"}
_QUARTER_TURNED = (5, 6, 7, 8)
# The view of an upright array that has the rows and columns of the file, by EXIF's orientation.
_AS_STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: np.rot90(upright, -1),
}
_DEEP_LAYOUT = "16 bits a channel in a layout that cannot be kept: save it with 8, or as PNG"
_PNG_DEPTH_AT, _PNG_COLOUR_AT = 24, 25  # In the header, which comes first.
_TIFF_BITS, _TIFF_COMPRESSION, _TIFF_PHOTOMETRIC, _TIFF_ICC, _TIFF_C2PA = 258, 259, 262, 34675, 52545
_TIFF_KIND, _TIFF_SAMPLES, _TIFF_FURTHER, _TIFF_XMP, _TIFF_DNG = 254, 277, 330, 700, 50706
_REDUCED = 1  # Of _TIFF_KIND: a preview of another picture in the file.
_WHITE_IS_ZERO, _WHITE_16 = 0, 65535
# Of a TIFF's tags, those that say how its pixels lie in it; all others are kept.
TIFF_LAYOUT = frozenset(
    [*range(254, 260), 262, 266, 273, containers.ORIENTATION, *range(277, 282), 284, 292, 293, 297, 317, 320]
    + [*range(322, 326), 330, 332, 333, 334, 336, 338, 339, 347, *range(512, 522), *range(529, 533), _TIFF_C2PA]
)
TIFF_DIRECTORIES = (0x8769, 0x8825)  # EXIF's and GPS' own.
_PNG_TEXTS = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}  # Of which Pillow refuses large ones; they are kept without it.
_PNG_COLOURS = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"tIME"}
# Primaries and transfer (ITU-T H.273) that mean nothing else than sRGB to a viewer: unknown, BT.709's, sRGB's.
_USUAL_CODES = {None, *((primaries, transfer) for primaries in (1, 2) for transfer in (1, 2, 6, 13, 14))}
_C2PA = "its C2PA manifest is dropped: it vouches for the untagged picture"


def decode(source: bytes | BinaryIO, name: str = "picture", lenient: bool = False, most: int = MAX_PIXELS) -> Picture:
    """Decodes a picture file.

    Args:
      source: the file's bytes, or the open file, which can seek.
      name: what to call the picture in errors.
      lenient: takes what there is of a damaged JPEG or PNG, and the first picture of several, and says so in `damage`.
      most: pixels that it may have, by its header, before anything is unpacked.

    Raises:
      DamagedError: not a picture, or a broken one.
      ImageError: animated, several pages, too large, or of colours that are not known here.
    """
    file: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        return _decode(file, name, lenient, most)
    except _BrokenError as error:
        mended = _mended(file, error.kind, name, most) if lenient else None
        if mended is None:
            raise DamagedError(f"{name}: {error}") from error
    data, note = mended
    try:
        found = _decode(io.BytesIO(data), name, lenient, most)
    except _BrokenError as error:
        raise DamagedError(f"{name}: {error}") from error
    found.damage = [note, *found.damage]
    return found


def is_whole(data: bytes, most: int = MAX_PIXELS) -> bool:
    """Whether a file is a picture of at most so many pixels that decodes to its end.

    It takes less than `decode`: of a JPEG all is read, but an eighth of the side is computed.
    """
    kind = kind_of(data[:32])
    if kind is None:
        return False
    try:
        with _opener(kind, "")(io.BytesIO(data)) as image:
            _check_size("", most, *image.size)
            image.draft(None, (1, 1))
            image.load()
            return True
    except Exception:  # As in _decode.
        return False


class _BrokenError(Exception):
    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


def _decode(file: BinaryIO, name: str, lenient: bool, most: int, bare: BinaryIO | None = None) -> Picture:
    """As decode; Pillow is given `bare`, the file without what it holds besides pixels, where there is such."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head:
        raise DamagedError(f"{name}: not a picture, it is empty")
    kind = kind_of(head)
    if kind is None:
        raise DamagedError(f"{name}: not a picture in a known format ({', '.join(_KINDS)})")
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which is harmless.
            warnings.simplefilter("ignore")
            if kind == "WEBP":  # Its decoder takes room for the picture as soon as it is made.
                header = containers.webp_header(file)
                _check_size(name, most, *(header[:2] if header else (0, 0)))
            file.seek(0)
            with _opener(kind, name)(bare or file) as image:
                _check_size(name, most, *image.size)
                return _decode_image(file, image, name, lenient)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on broken files; all mean the same to the caller.
        if kind == "PNG" and bare is None and "MAX_TEXT" in str(error):
            return _decode(file, name, lenient, most, io.BytesIO(containers.png_without(file, _PNG_TEXTS)))
        if _NOT_TAKEN.match(str(error)):
            raise ImageError(f"{name}: a {kind} of pixels that are not taken ({error}): {_SAVE_IT}") from error
        raise _BrokenError(f"not a readable picture ({error or type(error).__name__})", kind) from error


def _check_size(name: str, most: int, width: int, height: int) -> None:
    if width * height > most:
        raise ImageError(f"{name}: {width}×{height} is over {most:,} pixels: shrink it, or allow more")


def _decode_image(file: BinaryIO, image: ImageFile.ImageFile, name: str, lenient: bool) -> Picture:
    if isinstance(image, TiffImagePlugin.TiffImageFile) and (
        _TIFF_DNG in image.tag_v2 or image.tag_v2.get(_TIFF_KIND, 0) & _REDUCED
    ):
        raise ImageError(
            f"{name}: a camera's raw file, or else only a preview in it can be read: develop it as JPEG or TIFF"
        )
    damage = _first_of_several(image, name, lenient)
    image.load()
    orientation = _orientation(image)
    deep = _is_deep(file, image)
    pixels = _deep_pixels(file, image, orientation, name) if deep else _pixels(image, orientation, name)
    picture = Picture(name, str(image.format), pixels, damage, icc=image.info.get("icc_profile"))
    picture.orientation = orientation
    if dpi := image.info.get("dpi"):
        across, down = float(dpi[0]), float(dpi[1])
        if 0.0 < across <= _MOST_DPI and 0.0 < down <= _MOST_DPI:  # What no format can say, 0/0 too, says nothing.
            picture.dpi = (across, down)
    exif = (image.info.get("exif") or _exif_as_text(image.info)).removeprefix(containers.EXIF_PREFIX)
    if exif.startswith(containers.TIFF_MAGICS):  # Else it is none, and would break what it is put into.
        picture.exif = containers.reset_orientation(exif, orientation in _QUARTER_TURNED)
    if xmp := image.info.get("xmp"):
        picture.xmp = containers.reset_xmp_motion(containers.reset_xmp_orientation(xmp))
    if image.mode in _BECOMES:
        picture.changes.append(_BECOMES[image.mode])
    if image.mode == "CMYK":  # Its profile has done its work.
        picture.icc = None
    _KEEPERS.get(picture.format, _keep_nothing)(picture, file, image, orientation)
    return picture


def _orientation(image: ImageFile.ImageFile) -> int:
    try:
        orientation = image.getexif().get(containers.ORIENTATION, 1)
    except Exception:  # Broken EXIF data, which raise many kinds: nobody turns a picture by them.
        return 1
    return orientation if orientation in _AS_STORED else 1


def _exif_as_text(info: Mapping[Any, Any]) -> bytes:
    """EXIF data as ImageMagick writes them into a PNG: a name, their length, and hexadecimal lines."""
    lines = str(info.get("Raw profile type exif", "")).split("\n")
    try:
        return bytes.fromhex("".join(lines[3:]))
    except ValueError:
        return b""


def _first_of_several(image: ImageFile.ImageFile, name: str, lenient: bool) -> list[str]:
    frames = getattr(image, "n_frames", 1)
    if frames == 1:
        return []
    if not lenient and image.format != "HEIF":  # A HEIC names one of its pictures as the one to show.
        raise ImageError(f"{name}: {frames} pictures in one file, an animation or pages: only single ones are taken")
    return [f"of {frames} pictures in it, the first was taken"]


def _pixels(image: Image.Image, orientation: int, name: str) -> np.ndarray:
    """Of a picture whose channels Pillow holds in full."""
    sixteen = image.mode.startswith("I;16")
    if not sixteen and image.mode not in _MODES:
        raise ImageError(f"{name}: {_MEANINGLESS.get(image.mode, image.mode)}: {_SAVE_IT}")
    mode = "L" if sixteen else _MODES[image.mode]
    if mode in _WITH_ALPHA and (image.has_transparency_data or "transparency" in image.info):
        mode = _WITH_ALPHA[mode]
    to_mode = _by_profile(image) if image.mode == "CMYK" else functools.partial(Image.Image.convert, mode=mode)
    sides = image.size if orientation in _QUARTER_TURNED else image.size[::-1]
    upright = np.empty([*sides, _CHANNELS[mode]], np.uint16 if sixteen else np.uint8)
    stored = _AS_STORED[orientation](upright)
    for rows in strips(image.height):
        strip = image.crop((0, rows.start, image.width, min(rows.stop, image.height)))
        if sixteen:
            grey = np.asarray(strip)
            stored[rows][..., 0] = grey
            if mode == "LA":
                stored[rows][..., 1] = np.where(grey == image.info["transparency"], 0, _WHITE_16)
        else:
            stored[rows] = np.asarray(to_mode(strip)).reshape(stored[rows].shape)
    if sixteen and isinstance(image, TiffImagePlugin.TiffImageFile):
        _spread_grey(upright, image.tag_v2)
    return upright


def _spread_grey(pixels: np.ndarray, tags: Mapping[int, Any]) -> None:
    """Grey that Pillow takes from a TIFF as its numbers are: from black to white over all of uint16, in place."""
    if tags.get(_TIFF_BITS, (16,))[0] == 12:
        pixels[:] = pixels << 4 | pixels >> 8
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        np.invert(pixels, out=pixels)


def _by_profile(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """From CMYK to sRGB: by the picture's profile, without one by the formula that every viewer uses."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    except (KeyError, OSError, ImageCms.PyCMSError):
        return lambda strip: strip.convert("RGB")
    return lambda strip: ImageCms.applyTransform(strip, transform) or strip  # None is of transforms in place.


def _is_deep(file: BinaryIO, image: ImageFile.ImageFile) -> bool:
    """Whether the file has 16 bits a channel of which Pillow would keep 8."""
    if image.mode not in ("RGB", "RGBA", "RGBX", "LA"):
        return False
    if image.format == "PNG":
        file.seek(_PNG_DEPTH_AT)
        return file.read(1) == b"\x10"
    return isinstance(image, TiffImagePlugin.TiffImageFile) and 16 in image.tag_v2.get(_TIFF_BITS, ())


def _deep_pixels(file: BinaryIO, image: ImageFile.ImageFile, orientation: int, name: str) -> np.ndarray:
    """uint16, as OpenCV decodes them; Pillow, which decides, has their upper 8 bits to compare with."""
    upper = np.asarray(image.crop((0, 0, image.width, min(STRIP_ROWS, image.height))).convert("RGBA"))[..., :3]
    file.seek(0)
    deep = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16 or deep.ndim != 3 or deep.shape[:2] != image.size[::-1]:
        raise ImageError(f"{name}: {_DEEP_LAYOUT}")
    for rows in strips(len(deep)):
        deep[rows, :, :3] = deep[rows, :, 2::-1].copy()  # OpenCV's order is BGR.
    if not np.array_equal(deep[: len(upper), :, :3] // 256, upper):
        raise ImageError(f"{name}: {_DEEP_LAYOUT}")
    if image.format == "PNG" and file.seek(_PNG_COLOUR_AT) and file.read(1) == b"\x04":  # Grey and alpha.
        deep = deep[..., [0, 3]]
    # A fourth channel has no meaning then; in a PNG it is OpenCV's, of the transparent colour.
    if image.mode == "RGB" and image.format == "TIFF":
        deep = deep[..., :3]
    # Pillow has turned a TIFF when it is loaded, and so has OpenCV.
    return deep if orientation == 1 else _upright(deep, orientation)


def _upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    turned = orientation in _QUARTER_TURNED
    upright = np.empty([*(stored.shape[1::-1] if turned else stored.shape[:2]), stored.shape[2]], stored.dtype)
    _AS_STORED[orientation](upright)[...] = stored
    return upright


def _mended(file: BinaryIO, kind: str, name: str, most: int) -> tuple[bytes, str] | None:
    if kind not in ("JPEG", "PNG"):
        return None
    file.seek(0)
    data = file.read(_MOST_MENDED_BYTES)
    if kind == "JPEG":
        return data + containers.JPEG_END, "damaged: what is there of it was taken"
    there = io.BytesIO(data)
    # Mending unpacks it, and Pillow may have failed before it told the size.
    _check_size(name, most, *(containers.png_size(there) or (0, 0)))
    mended = containers.mend_png(there)
    return mended and (mended[0], f"damaged: {mended[1]:.0%} of its rows were taken")


# What is kept of each format, beside what all have in common.


def _keep_nothing(picture: Picture, file: BinaryIO, image: Any, orientation: int) -> None:
    del picture, file, image, orientation


def _keep_jpeg(picture: Picture, file: BinaryIO, image: JpegImagePlugin.JpegImageFile, orientation: int) -> None:
    segments, kept, density = containers.jpeg_segments(file), [], None
    several = False
    for marker, content in segments:
        if marker == 0xE0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            density = content[7:12]
        elif marker == 0xEB and content.startswith(b"JP"):
            picture.changes += [] if _C2PA in picture.changes else [_C2PA]
        elif marker == 0xE2 and content.startswith(b"MPF\0"):
            several = True
        elif marker == 0xE2 and content.startswith(b"ICC_PROFILE\0") and picture.icc is None:
            continue
        elif marker == 0xFE or marker in range(0xE1, 0xF0) and marker != 0xEE:
            kept.append(containers.jpeg_segment(marker, _upright_segment(marker, content, orientation)))
    if several:
        picture.changes.append("of its pictures (a preview, depth or light besides) only the first is kept")
    if containers.has_motion(file, image.info.get("xmp") or b""):
        picture.changes.append("the clip of its motion photo is dropped")
    tables = [list(image.quantization[layer[3]]) for layer in image.layer if layer[3] in image.quantization][:3]
    if not tables:
        picture.changes.append("it was lossless and comes out as JPEG of quality 95")
    if tables[1:2] == tables[2:3]:
        del tables[2:]
    subsampling = JpegImagePlugin.get_sampling(image)
    rgb = image.mode == "RGB" and image.info.get("adobe_transform") == 0
    picture.native = JpegCoding(
        tables,
        max(subsampling, 0),  # Rarer ones, which Pillow does not write, lose nothing without subsampling.
        bool(image.info.get("progressive")),
        rgb,
        density,
        b"".join(kept),
    )


def _upright_segment(marker: int, content: bytes, orientation: int) -> bytes:
    content = containers.reset_xmp_motion(content) if marker == 0xE1 else content
    if marker != 0xE1 or orientation == 1:
        return content
    if content.startswith(containers.EXIF_PREFIX):
        exif = content[len(containers.EXIF_PREFIX) :]
        return containers.EXIF_PREFIX + containers.reset_orientation(exif, orientation in _QUARTER_TURNED)
    return containers.reset_xmp_orientation(content)


def _keep_png(picture: Picture, file: BinaryIO, image: PngImagePlugin.PngImageFile, orientation: int) -> None:
    kept, whole, ended, profiles = [], True, False, 0
    for kind, content, right in containers.png_chunks(file):
        ended = ended or kind == b"IEND"
        whole = whole and right
        if kind == b"caBX":
            picture.changes.append(_C2PA)
        if kind == b"iCCP" and right:
            profiles += 1
            if profiles == 1 and picture.icc is None:  # There may be one, and each takes time.
                picture.icc = containers.png_profile(content)
        # The fourth letter is small where a chunk may be copied by who does not know it (section 5.4).
        if not right or not (kind in _PNG_COLOURS or kind[0:1].islower() and kind[3:4].islower()):
            continue
        if orientation != 1 and kind == b"eXIf":
            content = containers.reset_orientation(content, orientation in _QUARTER_TURNED)
        elif orientation != 1 and kind == b"iTXt":
            if picture.xmp and content.startswith(containers.PNG_XMP + b"\1"):  # Compressed.
                content = containers.png_xmp(picture.xmp)
            content = containers.reset_xmp_orientation(content)
        elif orientation != 1 and content.startswith(b"Raw profile type exif\0") and picture.exif:
            kind, content = b"eXIf", picture.exif
        kept.append((kind, content))
    if not (whole and ended):
        picture.damage.append("damaged: a checksum or the end is wrong, though all of the picture is there")
    picture.native = kept


class _Text(str):
    """Text of a TIFF tag, which Pillow reads as Latin-1 and would write as ASCII: the bytes stay what they were."""

    def encode(self, encoding: str = "latin-1", errors: str = "replace") -> bytes:
        del encoding
        return super().encode("latin-1", errors)


def text_as_it_was(value: Any) -> Any:
    """A TIFF tag's value, or a directory of them, as Pillow read it, so that its text is written as it was."""
    if isinstance(value, dict):
        return {tag: text_as_it_was(within) for tag, within in value.items()}
    return _Text(value) if isinstance(value, str) else value


def _keep_webp(picture: Picture, file: BinaryIO, image: Any, orientation: int) -> None:
    header = containers.webp_header(file)
    picture.native = header is not None and header[2]


def _keep_tiff(picture: Picture, file: BinaryIO, image: TiffImagePlugin.TiffImageFile, orientation: int) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    exif = image.getexif()
    for tag in image.tag_v2:
        if tag in TIFF_LAYOUT or tag in TIFF_DIRECTORIES or tag == _TIFF_ICC and picture.icc is None:
            continue
        tags.tagtype[tag] = image.tag_v2.tagtype[tag]
        tags[tag] = picture.xmp if tag == _TIFF_XMP and picture.xmp else text_as_it_was(image.tag_v2[tag])
    for tag in TIFF_DIRECTORIES:
        if directory := exif.get_ifd(tag):
            tags[tag] = text_as_it_was(dict(directory))
    if _TIFF_C2PA in image.tag_v2:
        picture.changes.append(_C2PA)
    if _TIFF_FURTHER in image.tag_v2:
        picture.changes.append("of its pictures (previews, a pyramid) only the first is kept")
    if image.mode != "CMYK" and image.tag_v2.get(_TIFF_SAMPLES, 1) > picture.pixels.shape[2]:
        picture.changes.append("channels that are neither colour nor transparency are left out")
    picture.native = (tags, image.tag_v2.get(_TIFF_COMPRESSION, 1) != 1)
    picture.exif = _exif_of(tags)


def _exif_of(tags: TiffImagePlugin.ImageFileDirectory_v2) -> bytes | None:
    exif = Image.Exif()
    for tag, value in tags.items():
        if tag in TIFF_DIRECTORIES:
            exif.get_ifd(tag).update(value)
        elif tag not in (700, _TIFF_ICC):
            exif[tag] = value
    return exif.tobytes().removeprefix(containers.EXIF_PREFIX) if tags else None


def _keep_gif(picture: Picture, file: BinaryIO, image: GifImagePlugin.GifImageFile, orientation: int) -> None:
    if image.info.get("comment"):
        picture.changes.append("its comment is not kept")


def _keep_iso(picture: Picture, file: BinaryIO, image: Any, orientation: int) -> None:
    bits, coded = containers.iso_colours(file)
    if bits > 8:
        picture.changes.append(f"{bits} bits a channel become 8")
    picture.native = None if picture.icc or coded in _USUAL_CODES else coded


_KEEPERS: dict[str, Callable[[Picture, BinaryIO, Any, int], None]] = {
    "JPEG": _keep_jpeg,
    "PNG": _keep_png,
    "WEBP": _keep_webp,
    "TIFF": _keep_tiff,
    "GIF": _keep_gif,
    "AVIF": _keep_iso,
    "HEIF": _keep_iso,
}


# Kinds of files


def kind_of(head: bytes) -> str | None:
    """The kind of a file by its first HEAD_BYTES; None for what is no picture of a known kind."""
    return next((kind for kind, (begins, _) in _KINDS.items() if begins(head)), None)


def _opener(kind: str, name: str) -> Callable[[BinaryIO], ImageFile.ImageFile]:
    """Pillow's reader, by itself: Image.open would apply a fixed limit of its own, which is global."""
    return _KINDS[kind][1]() if kind != "HEIF" else _heif_opener(name)


def _heif_opener(name: str) -> Callable[[BinaryIO], ImageFile.ImageFile]:
    try:
        import pi_heif
    except ImportError:
        raise ImageError(f"{name}: HEIC, for which the package pi-heif must be installed") from None
    return pi_heif.HeifImageFile


def _iso_brand(*brands: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[4:8] == b"ftyp" and any(head[at : at + 4] in brands for at in (8, 16, 20, 24, 28))


_KINDS: dict[str, tuple[Callable[[bytes], bool], Callable[[], Any]]] = {
    "JPEG": (lambda head: head.startswith(b"\xff\xd8\xff"), lambda: JpegImagePlugin.JpegImageFile),
    "PNG": (lambda head: head.startswith(containers.PNG_MAGIC), lambda: PngImagePlugin.PngImageFile),
    "WEBP": (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", lambda: WebPImagePlugin.WebPImageFile),
    "BMP": (lambda head: head.startswith(b"BM"), lambda: BmpImagePlugin.BmpImageFile),
    "TIFF": (
        lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        lambda: TiffImagePlugin.TiffImageFile,
    ),
    "GIF": (lambda head: head[:6] in (b"GIF87a", b"GIF89a"), lambda: GifImagePlugin.GifImageFile),
    "AVIF": (_iso_brand(b"avif", b"avis"), lambda: AvifImagePlugin.AvifImageFile),
    "HEIF": (_iso_brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), lambda: None),
}
