"""Pictures: reading what people really have, value range, resizing. The only place where a picture file is opened."""

import io
import os
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# A photograph of 100 megapixels takes 300 MB as RGB; anything larger is refused before it is unpacked.
MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 200 * 1024 * 1024

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
_EXIF_ORIENTATION = 0x0112


class ImageError(ValueError):
    """A picture cannot be read; the message names it and says why."""


def load_image(source: str | bytes, name: str = "") -> np.ndarray:
    """Reads a picture as the viewer shows it: EXIF rotation applied; CMYK, 16-bit, palette, grey and alpha made RGB.

    Args:
      source: a path, or the file's bytes.
      name: what to call the picture in errors; the path by default.

    Returns:
      uint8 [height, width, 3].

    Raises:
      ImageError: missing, empty, truncated, not a picture, or too large.
    """
    name = name or (source if isinstance(source, str) else "picture")
    data = read_file(source, name) if isinstance(source, str) else source
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures and odd metadata; the size is checked below, odd metadata is harmless.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(f"{name}: {image.width}×{image.height} is over {MAX_PIXELS:,} pixels: shrink it")
                return np.asarray(_as_rgb(ImageOps.exif_transpose(image)))
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: over {MAX_PIXELS:,} pixels: shrink it") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not a picture in a known format ({', '.join(_FORMATS)})") from None
    except Exception as error:  # Pillow's decoders raise many kinds on broken files; all mean the same to the caller.
        raise ImageError(f"{name}: not a readable picture ({error or type(error).__name__})") from error


def read_file(path: str, name: str = "") -> bytes:
    """The bytes of a picture file; ImageError as load_image where it is missing, empty or too large."""
    name = name or path
    try:
        size = os.path.getsize(path)
        if size == 0:
            raise ImageError(f"{name}: the file is empty")
        if size > MAX_FILE_BYTES:
            raise ImageError(f"{name}: {size:,} bytes is over {MAX_FILE_BYTES:,}")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"{name}: {error.strerror or error}") from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a channel have no agreed white: save it with 8 or 16")
    if image.mode.startswith("I;16"):  # Grey: Pillow's own conversion would clip instead of scaling.
        image = Image.fromarray(np.round(np.asarray(image, np.float64) / 65535 * 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # As in load_image.
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
                plain = image.mode == "RGB" and image.width * image.height <= MAX_PIXELS
                # The size comes first: a PNG is unpacked to find its EXIF data.
                plain = plain and "transparency" not in image.info and image.getexif().get(_EXIF_ORIENTATION, 1) == 1
                if plain:
                    image.load()
    except Exception:
        plain = False
    return data if plain else encode_png(load_image(data, name))


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
