"""What picture files may ask of a server, told from their headers before anything is unpacked."""

import re
from collections.abc import Sequence

from faketagger.components.contract import containers, picture_decoding
from faketagger.serving import decoding

MAX_PIXELS = 50_000_000
# Of a progressive JPEG each scan goes over all of the picture: twelve are usual, thousands fit into a small file.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 500_000_000  # Scans times pixels, of one call: 5 s of a core (docs/serving.md).
# Of images as numbers, in a call of more than signatures.MAX_FILES: each takes a network's memory.
MAX_IMAGES_BYTES = 64 * 2**20

# Up to these a file takes a fraction of a second (docs/serving.md).
_QUICK_BYTES, _QUICK_PIXELS = 8 * 2**20, 20_000_000
# Segments, bytes of filling and chunks are walked through in Python; usual are dozens, of chunks thousands.
_MOST_SEGMENTS, _MOST_CHUNKS = 1000, 20_000
_MOST_WALKED_BYTES = 64 * 2**20  # More than a JPEG of MAX_PIXELS usually has.

_MOST_PROCESSES = 4  # Of a call: each may take decoding.SECONDS.

# T.81, table B.1: markers that state a size, those that stand alone, and all that are met before a scan.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_CONTENT, _START_OF_SCAN, _END_OF_IMAGE = frozenset(range(0xD0, 0xD9)), 0xDA, 0xD9
_USUAL = _FRAMES | {0xC4, 0xDB, 0xDD, 0xFE} | frozenset(range(0xE0, 0xF0))
# The next one that has content or ends the image, over coded pixels and what decoders pass by among them.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
_JPEG_MAGIC = b"\xff\xd8\xff"
_SCAN = bytes([0xFF, _START_OF_SCAN])
_BROKEN = _JPEG_MAGIC + bytes(40)


def pixels_of(data: bytes) -> int | None:
    """How many pixels a PNG's or JPEG's header states; None where it states none, or is of another kind."""
    if data.startswith(containers.PNG_MAGIC) and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")
    return _jpeg_header(data)[0] if data.startswith(_JPEG_MAGIC) else None


def _jpeg_header(data: bytes) -> tuple[int | None, bool]:
    """The pixels that it states; whether it leads to the first scan in not too many steps, none of them odd."""
    at, pixels, usual = 2, None, True
    for _ in range(_MOST_SEGMENTS):
        if data[at : at + 1] != b"\xff" or at + 10 > len(data):
            break
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            return pixels, usual
        usual &= marker in _USUAL
        if pixels is None and marker in _FRAMES:
            pixels = int.from_bytes(data[at + 5 : at + 7], "big") * int.from_bytes(data[at + 7 : at + 9], "big")
        if marker == 0xFF:  # Filling.
            at += 1
        else:
            at += 2 if marker in _WITHOUT_CONTENT else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return pixels, False


def _has_few_chunks(data: bytes) -> bool:
    at = len(containers.PNG_MAGIC)
    for _ in range(_MOST_CHUNKS):
        if at >= len(data):
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def is_quick(data: bytes) -> bool:
    """Whether a file is a PNG or JPEG that cannot have been made to take long."""
    pixels = pixels_of(data)
    if pixels is None or len(data) > _QUICK_BYTES or pixels * _scans(data) > _QUICK_PIXELS:
        return False
    return _jpeg_header(data)[1] if data.startswith(_JPEG_MAGIC) else _has_few_chunks(data)


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
    whole = _whole([data for data, said in zip(files, wrong) if not said])
    taken = [_refused(data) if said else data if data in whole else _BROKEN for data, said in zip(files, wrong)]
    if not each_is_told and _BROKEN in taken:
        raise ValueError("image is broken: it cannot be decoded")
    return taken


def _refused(data: bytes) -> bytes:
    """A file of which the model says what is wrong before it decodes, though it sees less wrong with `data`."""
    if not data.startswith((_JPEG_MAGIC, containers.PNG_MAGIC)):
        return data
    return data + _SCAN * (MAX_SCANS + 1) if _scans(data) > 1 else _BROKEN


def _whole(files: Sequence[bytes]) -> set[bytes]:
    """Those that decode to their ends; what may take long is decoded apart."""
    quick = {data for data in files if is_quick(data)}
    slow = [data for data in files if data not in quick]
    return {data for data in quick if picture_decoding.is_whole(data)} | {
        data for data, is_whole in zip(slow, _are_whole_apart(slow)) if is_whole
    }


def _are_whole_apart(files: Sequence[bytes]) -> list[bool]:
    """Whether each decodes to its end; not where it takes all of a process, or none is left for it.

    What is behind one in which a process was ended goes on in another, so that it does not fail its neighbours.
    """
    found: list[bool] = []
    for _ in range(_MOST_PROCESSES):
        if len(found) < len(files):
            rest = [(data,) for data in files[len(found) :]]
            # Where there is no answer at all, the first has had the process to itself.
            found += decoding.each_apart(picture_decoding.is_whole, rest) or [False]
    return found + [False] * (len(files) - len(found))


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
    """Of a JPEG those of its first image: behind its end phones put clips, and within segments there are thumbnails.

    Of one with segments or bytes without end, what looks like a scan in the rest counts as one.
    """
    if not data.startswith(_JPEG_MAGIC):
        return 1
    at, scans = 2, 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, at, _MOST_WALKED_BYTES)
        if found is None:
            break
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return scans
        scans += marker == _START_OF_SCAN
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return scans + data.count(_SCAN, at)
