"""What picture files may ask of a server, told from their headers before anything is unpacked."""

import io
from collections.abc import Sequence

from faketagger.components.contract import containers

MAX_PIXELS = 50_000_000
# Of a progressive JPEG each scan goes over all of the picture: twelve are usual, thousands fit into a small file.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 1_000_000_000  # Scans times pixels.

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # T.81, table B.1: markers that state a size.
_JPEG_MAGIC = b"\xff\xd8\xff"


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


def check(files: Sequence[bytes], most_pixels: int = MAX_PIXELS, each_is_told: bool = False) -> None:
    """ValueError, with a sentence, where the pictures of one call ask for more than is given.

    Args:
      files: the pictures.
      most_pixels: that they may have together.
      each_is_told: the model itself says of each picture what is wrong with it; only their sum is looked at.
    """
    together = 0
    for data in files:
        pixels = pixels_of(data)
        if not each_is_told:
            _check_alone(data, pixels)
        together += pixels or 0
    if together > most_pixels:
        raise ValueError(f"{together:,} pixels in one call are over {most_pixels:,}: shrink pictures or send fewer")


def _check_alone(data: bytes, pixels: int | None) -> None:
    if pixels is None:
        raise ValueError("image is neither JPEG nor PNG, or its header states no size")
    scans = data.count(b"\xff\xda") if data.startswith(_JPEG_MAGIC) else 1
    if scans > MAX_SCANS or scans * pixels > MAX_SCANNED_PIXELS:
        raise ValueError(f"image is a JPEG of {scans} scans over {pixels:,} pixels, more than are decoded")
