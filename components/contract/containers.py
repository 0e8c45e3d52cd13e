"""What picture files hold beside pixels: segments of JPEG, chunks of PNG and WebP, orientation in EXIF and XMP.

Nothing here decodes pixels. Sources: ITU-T T.81, annex B; PNG (W3C, third edition), section 5; the WebP container
(RFC 9649); Exif 2.32 (CIPA DC-008), section 4.6.
"""

import re
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_XMP = b"XML:com.adobe.xmp\0"
JPEG_END = b"\xff\xd9"
EXIF_PREFIX = b"Exif\0\0"
TIFF_MAGICS = (b"II*\0", b"MM\0*")
ORIENTATION = 0x0112
_EXIF_IFD, _EXIF_WIDTH, _EXIF_HEIGHT = 0x8769, 0xA002, 0xA003
_MOST_PROFILE_BYTES = 1 << 26
_START_OF_SCAN, _RESTARTS_AND_START = 0xDA, range(0xD0, 0xD9)
_MOTION = re.compile(rb"((?:MotionPhoto|MicroVideo)(?:\s*=\s*[\"']|>)\s*)1")
_SAMSUNGS_END = b"SEFT"
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]")


def jpeg_segments(file: BinaryIO) -> list[tuple[int, bytes]]:
    """Marker and content of each segment before a JPEG's first scan; those before the damage, where there is some."""
    file.seek(2)
    found: list[tuple[int, bytes]] = []
    while file.read(1) == b"\xff":
        marker = file.read(1)
        while marker == b"\xff":  # Filling.
            marker = file.read(1)
        if not marker or marker[0] == _START_OF_SCAN:
            break
        if marker[0] in _RESTARTS_AND_START:
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        content = file.read(max(length, 0))
        if length < 0 or len(content) < length:
            break
        found.append((marker[0], content))
    return found


def jpeg_segment(marker: int, content: bytes) -> bytes:
    """A segment as a JPEG holds it."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind, content and whether the checksum is right, of each whole chunk of a PNG, and of pixels that are cut off."""
    for kind, content, checksum in _raw_chunks(file):
        yield kind, content, checksum == struct.pack(">I", zlib.crc32(kind + content))


def _raw_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes, bytes]]:
    file.seek(len(PNG_MAGIC))
    while len(header := file.read(8)) == 8:
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        content = file.read(length)
        checksum = file.read(4)
        if len(content) == length or kind == b"IDAT":
            yield kind, content, checksum
        if kind == b"IEND":
            return


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk as a PNG holds it."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_xmp(xmp: bytes) -> bytes:
    """The content of a PNG's chunk iTXt that holds XMP data."""
    return PNG_XMP + b"\0\0\0\0" + xmp


def png_without(file: BinaryIO, kinds: Collection[bytes]) -> bytes:
    """A PNG without its chunks of some kinds, the others as they are."""
    kept = [
        struct.pack(">I", len(content)) + kind + content + checksum
        for kind, content, checksum in _raw_chunks(file)
        if kind not in kinds
    ]
    return PNG_MAGIC + b"".join(kept)


def png_profile(content: bytes) -> bytes | None:
    """The colour profile in the content of a PNG's chunk iCCP; None where it is broken or over 64 MB."""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(content.partition(b"\0")[2][1:], _MOST_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflater.eof else None


def png_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height that a PNG's header claims, whatever its checksum; None where it is cut off."""
    file.seek(len(PNG_MAGIC) + 8)
    sides = file.read(8)
    return struct.unpack(">II", sides) if len(sides) == 8 else None


def mend_png(file: BinaryIO) -> tuple[bytes, float] | None:
    """A damaged PNG made whole, black below the rows that are there; and the share of those.

    It takes memory for as many pixels as png_size claims: ask that first. None where not even its header is, or no
    row, or it is interlaced: then rows do not follow each other.
    """
    chunks = list(png_chunks(file))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return None
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour)
    if interlaced or samples is None or depth not in (1, 2, 4, 8, 16) or not width * height:
        return None
    row = 1 + (width * depth * samples + 7) // 8
    inflater, rows = zlib.decompressobj(), bytearray()
    for kind, content, _ in chunks:
        if kind == b"IDAT" and len(rows) < row * height:
            try:
                rows += inflater.decompress(content, row * height - len(rows))
            except zlib.error:
                break
    there = min(len(rows) // row, height)
    if not there:
        return None
    whole = zlib.compress(bytes(rows[: there * row]) + bytes((height - there) * row), 1)
    kept = [png_chunk(kind, content) for kind, content, right in chunks if right and kind not in (b"IDAT", b"IEND")]
    mended = b"".join([PNG_MAGIC, *kept, png_chunk(b"IDAT", whole), png_chunk(b"IEND", b"")])
    return mended, there / height


def webp_header(file: BinaryIO) -> tuple[int, int, bool] | None:
    """Width, height and whether it is lossless, of a WebP, from its headers alone; None where they are broken."""
    file.seek(12)
    size = None
    while len(header := file.read(8)) == 8:
        kind, length = header[:4], int.from_bytes(header[4:], "little")
        begun = file.tell()
        start = file.read(10)
        if len(start) < 5:
            return None
        if kind == b"VP8X" and len(start) == 10:
            size = 1 + int.from_bytes(start[4:7], "little"), 1 + int.from_bytes(start[7:10], "little")
        elif kind == b"VP8L":
            bits = int.from_bytes(start[1:5], "little")
            return *(size or (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))), True
        elif kind == b"VP8 " and len(start) == 10:
            width, height = struct.unpack("<HH", start[6:10])
            return *(size or (width & 0x3FFF, height & 0x3FFF)), False
        elif kind == b"ANMF" and size:
            return *size, False
        file.seek(begun + length + length % 2)
    return None


def has_motion(file: BinaryIO, xmp: bytes) -> bool:
    """Whether a clip lies behind a JPEG's picture, as its XMP (Google's) or its last bytes (Samsung's) say."""
    if _MOTION.search(xmp):
        return True
    size = file.seek(0, 2)
    file.seek(max(size - len(_SAMSUNGS_END), 0))
    return file.read() == _SAMSUNGS_END


def iso_colours(file: BinaryIO) -> tuple[int, tuple[int, int] | None]:
    """Bits a channel of an AVIF or HEIC, the most of its pictures, and its primaries and transfer (ITU-T H.273).

    8 and None where the file does not say. Sources: ISO/IEC 14496-12, 14496-15 (hvcC) and 23008-12; AV1-ISOBMFF (av1C).
    """
    bits, coded = 8, None
    file.seek(0, 2)
    meta = next((span for kind, span in _boxes(file, (0, file.tell())) if kind == b"meta"), (0, 0))
    iprp = next((span for kind, span in _boxes(file, (meta[0] + 4, meta[1])) if kind == b"iprp"), (0, 0))
    ipco = next((span for kind, span in _boxes(file, iprp) if kind == b"ipco"), (0, 0))
    for kind, (start, end) in _boxes(file, ipco):
        file.seek(start)
        head = file.read(min(end - start, 18))
        if kind == b"av1C" and len(head) >= 3:
            bits = max(bits, (12 if head[2] & 0x20 else 10) if head[2] & 0x40 else 8)
        elif kind == b"hvcC" and len(head) == 18:
            bits = max(bits, 8 + (head[17] & 7))
        elif kind == b"colr" and head[:4] == b"nclx" and coded is None and len(head) >= 8:
            primaries, transfer = struct.unpack_from(">HH", head, 4)
            coded = (primaries, transfer) if max(primaries, transfer) < 256 else None
    return bits, coded


def _boxes(file: BinaryIO, span: tuple[int, int]) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Kind, and where the content lies, of each box of an ISO file between two places."""
    at, end = span
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        begins = at + 8
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
            begins += 8
        stop = end if size == 0 else min(at + size, end)
        if stop < begins:
            return
        yield kind, (begins, stop)
        at = stop


def reset_orientation(exif: bytes, turned: bool) -> bytes:
    """EXIF data that says «upright», otherwise as it was; `turned` swaps the width and height that it tells of.

    Args:
      exif: the TIFF structure, without EXIF_PREFIX.
      turned: whether the pixels were turned by a quarter.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return exif
    mended = bytearray(exif)
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, 4)
        entries = _entries(exif, order, first)
        if ORIENTATION in entries:
            struct.pack_into(f"{order}HIHH", mended, entries[ORIENTATION] + 2, 3, 1, 1, 0)
        if turned and _EXIF_IFD in entries:
            (inner,) = struct.unpack_from(f"{order}I", exif, entries[_EXIF_IFD] + 8)
            sides = _entries(exif, order, inner)
            if _EXIF_WIDTH in sides and _EXIF_HEIGHT in sides:
                # Tag numbers stay, in order; type, count and value change places.
                width, height = sides[_EXIF_WIDTH] + 2, sides[_EXIF_HEIGHT] + 2
                mended[width : width + 10], mended[height : height + 10] = (
                    exif[height : height + 10],
                    exif[width : width + 10],
                )
    except struct.error:
        pass  # Broken EXIF data is kept as it is; nobody can read an orientation from it.
    return bytes(mended)


def _entries(exif: bytes, order: str, offset: int) -> dict[int, int]:
    """Where each entry of a directory begins, by tag."""
    (count,) = struct.unpack_from(f"{order}H", exif, offset)
    starts = range(offset + 2, offset + 2 + 12 * count, 12)
    return {struct.unpack_from(f"{order}H", exif, start)[0]: start for start in starts}


def reset_xmp_orientation(xmp: bytes) -> bytes:
    """XMP data that says «upright», otherwise as it was, byte by byte."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def reset_xmp_motion(xmp: bytes) -> bytes:
    """XMP data that says of no clip behind the picture, otherwise as it was, byte by byte."""
    return _MOTION.sub(rb"\g<1>0", xmp)
