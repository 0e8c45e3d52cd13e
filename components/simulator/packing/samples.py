"""The sheet that shows what a simulator does: its inputs in the first row, each condition below."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from faketagger.components.contract import images

FILE = "samples.png"
_CELL = 128
_MARGIN = 150  # For the names at the left.
_FONT_SIZE = 15


def draw_samples(pictures: np.ndarray, made: dict[str, np.ndarray]) -> bytes:
    """Draws pictures and what a simulator made of them.

    Args:
      pictures: float32 [N, S, S, 3] in [0, 1], the inputs.
      made: by condition, the same shape and range.

    Returns:
      A PNG.
    """
    rows = {"input": pictures, **made}
    sheet = Image.new("RGB", (_MARGIN + _CELL * len(pictures), _CELL * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for row, (name, batch) in enumerate(rows.items()):
        pen.text((4, _CELL * row + _CELL // 2 - _FONT_SIZE), name, "black", font)
        for column, picture in enumerate(images.to_uint8(batch)):
            cell = Image.fromarray(picture).resize((_CELL, _CELL), Image.Resampling.BICUBIC)
            sheet.paste(cell, (_MARGIN + _CELL * column, _CELL * row))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
