"""A decoded picture file: its pixels, and what else its file holds; what is added is added in the file's own depth.

Pixels stay in the file's own colours: a profile is kept, and what is added is added to the numbers that the file
holds. Pictures are handled in strips, so that one of 100 megapixels takes 300 MB.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np

STRIP_ROWS = 64

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601, by which JPEG and Pillow make grey.
_PAGE = 255.0  # Of the viewer's page, on which a picture with transparent parts lies.


class ImageError(ValueError):
    """A picture cannot be read or written; the message names it and says why."""


class DamagedError(ImageError):
    """The file is no picture, or a broken one."""


@dataclasses.dataclass
class JpegCoding:
    """How a JPEG is coded: quantisation tables [64] by component, Pillow's subsampling, segments as they were."""

    tables: list[list[int]]
    subsampling: int
    progressive: bool
    rgb: bool
    density: bytes | None
    segments: bytes


@dataclasses.dataclass
class Picture:
    """A decoded picture file.

    Attributes:
      name: what errors call it.
      format: JPEG, PNG, WEBP, BMP, TIFF, GIF, AVIF or HEIF.
      pixels: uint8 or uint16 [H, W, C], as a viewer turns it, in the file's own colours: grey (C = 1), grey and alpha
        (2), RGB (3), RGBA (4), not multiplied by alpha.
      damage: what was wrong with the file, a phrase each.
      changes: what is not kept or comes out otherwise when it is written, a phrase each.
      exif, xmp, icc: as the file holds them, but for the orientation, which is «upright»; None where it has none.
      orientation: EXIF's, of the file, by which `pixels` were turned.
      dpi: horizontal and vertical; None where the file does not say.
      native: what only its own format holds: a JpegCoding, a PNG's chunks, whether a WebP is lossless, a TIFF's tags,
        the primaries and transfer (ITU-T H.273) of an AVIF's or HEIC's colours where they are unusual.
    """

    name: str
    format: str
    pixels: np.ndarray
    damage: list[str] = dataclasses.field(default_factory=list)
    changes: list[str] = dataclasses.field(default_factory=list)
    exif: bytes | None = None
    xmp: bytes | None = None
    icc: bytes | None = None
    orientation: int = 1
    dpi: tuple[float, float] | None = None
    native: Any = None

    @property
    def deep(self) -> bool:
        """Whether it has 16 bits a channel."""
        return self.pixels.dtype == np.uint16

    @property
    def has_alpha(self) -> bool:
        """Whether it has transparent parts."""
        return self.pixels.shape[2] in (2, 4)

    @property
    def is_cutout(self) -> bool:
        """Whether parts of it are wholly transparent."""
        return self.has_alpha and not self.pixels[..., -1].all()

    def visible(self) -> "Picture":
        """The same pixels, not a copy, without rims that are wholly transparent; without pixels where all of it is."""
        return dataclasses.replace(self, pixels=self.pixels[self._seen()]) if self.has_alpha else self

    def visible_corner(self) -> tuple[int, int]:
        """Where in the picture `visible` begins: (x, y)."""
        rows, columns = self._seen() if self.has_alpha else (slice(0, 0), slice(0, 0))
        return columns.start, rows.start

    def _seen(self) -> tuple[slice, slice]:
        """Rows and columns between which something is to be seen."""
        seen = self.pixels[..., -1] > 0
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        if not len(rows):
            return slice(0, 0), slice(0, 0)
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def rgb(self) -> np.ndarray:
        """uint8 [H, W, 3], as it looks on a white page; a plain picture's own pixels, not a copy."""
        if self.pixels.dtype == np.uint8 and self.pixels.shape[2] == 3:
            return self.pixels
        seen = np.empty([*self.pixels.shape[:2], 3], np.uint8)
        for rows in strips(len(seen)):
            seen[rows] = _on_page(self.pixels[rows])
        return seen

    def add(self, strips: Iterable[tuple[int, np.ndarray]]) -> None:
        """Adds to the pixels, in their own depth, rounded and clipped; grey takes what a grey copy would show of it.

        Alpha stays as it is, and so does what is wholly transparent.

        Args:
          strips: first row, and float32 [rows, W, 3] on the scale of [0, 1]; none twice.
        """
        white, kind = (65535.0, cv2.CV_16U) if self.deep else (255.0, cv2.CV_8U)
        for top, residual in strips:
            own = self.pixels[top : top + len(residual)]
            colours = own.shape[2] - self.has_alpha
            change = residual * white if colours == 3 else (residual @ _LUMA)[..., np.newaxis] * white
            if self.has_alpha:
                change *= own[..., -1:] > 0
            # OpenCV adds, rounds and saturates in one pass; it drops a last axis of one.
            added = cv2.add(np.ascontiguousarray(own[..., :colours]), np.ascontiguousarray(change), dtype=kind)
            own[..., :colours] = added.reshape(own.shape[:2] + (colours,))


def strips(height: int) -> Iterator[slice]:
    """The rows of a picture, STRIP_ROWS at a time."""
    return (slice(top, min(top + STRIP_ROWS, height)) for top in range(0, height, STRIP_ROWS))


def _on_page(pixels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 [h, W, C] → uint8 [h, W, 3] on a white page."""
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / np.float32(257.0)).astype(np.uint8)
    colours, alpha = (pixels[..., :-1], pixels[..., -1:]) if pixels.shape[2] in (2, 4) else (pixels, None)
    if alpha is not None:
        share = alpha / np.float32(255.0)
        colours = np.rint(colours * share + _PAGE * (1 - share)).astype(np.uint8)
    return np.broadcast_to(colours, [*colours.shape[:2], 3])
