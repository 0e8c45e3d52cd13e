"""One picture that shows what happens to a tag: original, tagged, residual ×10, after each simulator, what was read."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from faketagger.components.contract import images
from faketagger.components.evaluator.config import EvaluatorConfig, slice_of
from faketagger.components.evaluator.measure import models
from faketagger.components.evaluator.measure.batch import draw
from faketagger.components.evaluator.measure.slices import CONDITION, Slice

_CELL = 192
_HEADING = 42
_CAPTION = 44
_FONT_SIZE = 15  # Of Pillow's own font, which has ASCII alone.
_GAIN = 10
_SEED = 20


class Cell(NamedTuple):
    """A picture, uint8 [H, W, 3], and the lines below it."""

    picture: np.ndarray
    caption: str


def make_sheet(
    model_dir: str, simulators_dir: str, pictures: Sequence[np.ndarray], slices: Sequence[str] = ()
) -> bytes:
    """Tags pictures, puts them through simulators, reads them under random keys, and draws it all.

    Args:
      model_dir: the tagger's SavedModel.
      simulators_dir: the simulators.
      pictures: uint8 [H, W, 3], any sizes.
      slices: `<simulator>/<condition>`; the first condition of each simulator by default.

    Returns:
      A PNG: one row a picture.

    Raises:
      ValueError: a slice that is not there.
    """
    inputs = models.read_inputs(model_dir, simulators_dir, EvaluatorConfig())
    known = {each.name: each for each in inputs.slices if each.kind == CONDITION}
    slices = slices or [slice_of(name, simulator.conditions[0]) for name, simulator in inputs.simulators.items()]
    missing = [name for name in slices if name not in known]
    if missing:
        raise ValueError(f"no slice {', '.join(missing)}; there are {', '.join(known)}")
    tagger = models.Tagger(inputs)
    simulators = models.Simulators(simulators_dir, list(inputs.simulators))
    wanted = [known[name] for name in slices]
    squares = [images.square(picture, inputs.image_size)[None] for picture in pictures]
    rows = [_row(tagger, simulators, str(index), square, wanted) for index, square in enumerate(squares)]
    return _draw(["original", "tagged", f"residual x {_GAIN}", *slices], rows)


def _row(
    tagger: models.Tagger, simulators: models.Simulators, name: str, original: np.ndarray, wanted: Sequence[Slice]
) -> list[Cell]:
    drawn = draw(_SEED, [name], 0, tagger.code_matrix)
    tagged, _ = tagger.encode(original, drawn.codewords)
    difference = tagged.astype(np.float32) - original
    residual = np.clip(128 + _GAIN * difference, 0, 255).astype(np.uint8)
    psnr = 20 * np.log10(255) - 10 * np.log10(np.mean(difference**2) + 1e-12)

    def read(pictures: np.ndarray) -> Cell:
        found = tagger.decode(pictures, drawn.masks)
        wrong = int(np.sum(found["message"][0] != drawn.messages[0]))
        message = "message right" if not wrong else f"{wrong} of {len(drawn.messages[0])} bits wrong"
        return Cell(pictures[0], f"{message}\np <= {found['p_value'][0]:.0e}")

    simulated = [simulators.simulate(*each.through, tagged)[0] for each in wanted]
    untagged = Cell(original[0], f"untagged\np <= {tagger.decode(original, drawn.masks)['p_value'][0]:.0e}")
    return [untagged, read(tagged), Cell(residual[0], f"PSNR {psnr:.1f} dB"), *map(read, simulated)]


def _draw(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
    sheet = Image.new("RGB", (_CELL * len(headings), _HEADING + (_CELL + _CAPTION) * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for column, heading in enumerate(headings):
        # A slice's condition below its simulator: together they are wider than a cell.
        pen.multiline_text((_CELL * column + 4, 4), heading.replace("/", "\n"), "black", font, spacing=2)
    for index, row in enumerate(rows):
        top = _HEADING + (_CELL + _CAPTION) * index
        for column, cell in enumerate(row):
            enlarged = Image.fromarray(cell.picture).resize((_CELL - 4, _CELL - 4), Image.Resampling.BICUBIC)
            sheet.paste(enlarged, (_CELL * column + 2, top))
            pen.multiline_text((_CELL * column + 4, top + _CELL - 2), cell.caption, "black", font, spacing=2)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
