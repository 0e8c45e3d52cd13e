"""What picture files may ask of a server, told from their headers before anything is unpacked."""

import io
from collections.abc import Sequence

from faketagger.components.contract import containers, picture_decoding

MAX_PIXELS = 50_000_000
# Of a progressive JPEG each scan goes over all of the picture: twelve are usual, thousands fit into a small file.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 1_000_000_000  # Scans times pixels, of one call: 10 s of a core (docs/serving.md).

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # T.81, table B.1: markers that state a size.
_JPEG_MAGIC = b"\xff\xd8\xff"
_BROKEN = _JPEG_MAGIC + bytes(40)


def pixels_of(data: bytes) -> int | None:
    """How many pixels a PNG's or JPEG's header states; None where it states none, or is of another kind."""
    if data.startswith(containers.PNG_MAGIC) and len(data) >= 24:
        return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")
    if not data.startswith(_JPEG_MAGIC):
        return None
    for marker, content in containers.jpeg_segments(io.BytesIO(data)):
        if marker in _FRAMES and len(content) >= 5:
            return int.from_bytes(content[1:3], "big") * int.from_bytes(content[3:5], "big")
    return None


def checked(files: Sequence[bytes], most_pixels: int = MAX_PIXELS, each_is_told: bool = False) -> list[bytes]:
    """The pictures of one call as the model may see them: broken ones as a file that is known for broken at once.

    TensorFlow never frees the picture that it was making of a file when the file turns out to be broken.

    Args:
      files: the pictures.
      most_pixels: that they may have together.
      each_is_told: the model itself says of each picture what is wrong with it.

    Raises:
      ValueError: with a sentence: they ask for more than is given, or one is broken and the model would fail the call.
    """
    wrong = [_wrong_by_header(data) for data in files]
    if not each_is_told and any(wrong):
        raise ValueError(next(filter(None, wrong)))
    pixels = [pixels_of(data) or 0 for data in files]
    if sum(pixels) > most_pixels:
        raise ValueError(f"{sum(pixels):,} pixels in one call are over {most_pixels:,}: shrink pictures or send fewer")
    scanned = sum(_scans(data) * each for data, each, said in zip(files, pixels, wrong) if not said)
    if scanned > MAX_SCANNED_PIXELS:
        raise ValueError(f"{scanned:,} pixels in all scans of one call are over {MAX_SCANNED_PIXELS:,}: send fewer")
    # What is wrong by its header the model tells itself, before it decodes.
    taken = [data if said or picture_decoding.is_whole(data) else _BROKEN for data, said in zip(files, wrong)]
    if not each_is_told and _BROKEN in taken:
        raise ValueError("image is broken: it cannot be decoded")
    return taken


def _wrong_by_header(data: bytes) -> str:
    pixels = pixels_of(data)
    if pixels is None:
        return "image is neither JPEG nor PNG, or its header states no size"
    return f"image is {said}" if (said := too_many_scans(data, pixels)) else ""


def too_many_scans(data: bytes, pixels: int) -> str:
    """What a file is, in words, where it is a JPEG of so many scans that it is not decoded; empty for all others."""
    if not data.startswith(_JPEG_MAGIC):
        return ""
    scans = _scans(data)
    if scans > MAX_SCANS or scans * pixels > MAX_SCANNED_PIXELS:
        return f"a JPEG of {scans} scans over {pixels:,} pixels, more than are decoded"
    return ""


def _scans(data: bytes) -> int:
    return data.count(b"\xff\xda") if data.startswith(_JPEG_MAGIC) else 1
