"""Pictures as arrays: loaded as viewers show them, value range, resizing. picture_decoding.py opens files."""

import io
import os

import numpy as np
from PIL import Image

from faketagger.components.contract import picture, picture_decoding

MAX_FILE_BYTES = 200 * 1024 * 1024
ImageError = picture.ImageError


def load_image(source: str | bytes, name: str = "") -> np.ndarray:
    """Reads a picture as the viewer shows it: EXIF rotation applied; CMYK, 16-bit, palette, grey and alpha made RGB.

    Args:
      source: a path, or the file's bytes.
      name: what to call the picture in errors; the path by default.

    Returns:
      uint8 [height, width, 3].

    Raises:
      ImageError: missing, empty, truncated, animated, not a picture, or too large.
    """
    name = name or (source if isinstance(source, str) else "picture")
    return picture_decoding.decode(read_file(source, name) if isinstance(source, str) else source, name).rgb()


def read_file(path: str, name: str = "") -> bytes:
    """The bytes of a picture file; ImageError as load_image where it is missing, empty or too large."""
    name = name or path
    try:
        size = os.path.getsize(path)
        if size == 0:
            raise picture.DamagedError(f"{name}: the file is empty")
        if size > MAX_FILE_BYTES:
            raise ImageError(f"{name}: {size:,} bytes is over {MAX_FILE_BYTES:,}")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"{name}: {error.strerror or error}") from error


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 [height, width, 3] as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def to_network_bytes(data: bytes, name: str = "") -> bytes:
    """A picture file as the served signatures take it: plain JPEG and PNG go as they are, the rest becomes PNG.

    Raises:
      ImageError: as load_image.
    """
    found = picture_decoding.decode(data, name)
    plain = found.format in ("JPEG", "PNG") and found.pixels is found.rgb() and found.orientation == 1
    return data if plain and not found.damage and not found.changes else encode_png(found.rgb())


def square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of a uint8 picture, resized with antialiasing to uint8 [size, size, 3]."""
    image = Image.fromarray(pixels)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS, box=box))


def to_float(pixels: np.ndarray) -> np.ndarray:
    """uint8 → float32 in [0, 1]."""
    return pixels.astype(np.float32) / 255.0


def to_uint8(values: np.ndarray) -> np.ndarray:
    """float in [0, 1] → uint8, clipped and rounded: what a saved file holds."""
    return np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
