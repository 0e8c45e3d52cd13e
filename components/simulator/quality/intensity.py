"""How far an attribute editor goes at simulation: until its edits are seen, and no further; and which edits it offers.

STGAN's authors draw their samples with such an intensity, one for all attributes. Small networks learn one attribute
boldly and another timidly: here each gets its own, chosen on photographs of the train split. What is not seen there at
any intensity is no edit, and is left out.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from faketagger.components.contract import features, images
from faketagger.components.simulator.generators.attribute_editing import AttributeEditor
from faketagger.components.simulator.generators.base import Faces
from faketagger.components.simulator.quality.judge import Judge

INTENSITIES = (0.7, 0.85, 1.0, 1.15, 1.3)  # Those tried.
_SEEN = 0.9  # The share of edits to be seen; the judge, trained on these photographs, sees fewer on others.
_OFFERED = 0.7  # The least share of an edit that is kept.
_MIN_PSNR = 18.0  # dB that an edit keeps of the picture, on average.
_PICTURES = 128
_BATCH = 32


class Tried(NamedTuple):
    """Attributes:
    seen: the share of edits that the judge sees.
    psnr: dB between the pictures and the edited ones, a mean.
    """

    seen: float
    psnr: float


def calibrate(model: AttributeEditor, faces: Faces, judge: Judge) -> None:
    """Sets the intensity of each attribute that is judged and labelled, and leaves out those whose edits are not seen.

    Those that nobody can judge stay as they are, and so do all where no edit is seen.

    Args:
      model: trained.
      faces: of the train split; the first 128 that are labelled are edited.
      judge: says whether an edit is seen.
    """
    faces, before = labelled(faces, model.attributes).first(_PICTURES).resized(model.image_size), model.intensities
    judged = [each for each in judge.attributes if np.any(faces.labels(each) != features.UNKNOWN)]
    known = [index for index, attribute in enumerate(model.attributes) if attribute in judged]
    tried: dict[int, dict[float, Tried]] = {index: {} for index in known}
    model.offer(model.attributes)
    for intensity in INTENSITIES:
        model.intensities = (intensity,) * len(before)
        simulate = tf.function(model.simulate)  # A new one: it keeps what it is traced with.
        for index in [each for each in known if not _settled(tried[each])]:
            edited = _simulate_all(simulate, faces.pictures, index)
            psnr = float(tf.reduce_mean(tf.image.psnr(faces.pictures, edited, 1.0)))
            seen = judge.edit_success(edited, faces, model.attributes[index])
            tried[index][intensity] = Tried(seen, psnr)
    chosen = {index: choose(found) for index, found in tried.items()}
    model.intensities = tuple(chosen.get(index, each) for index, each in enumerate(before))
    unseen = [model.attributes[index] for index, found in tried.items() if found[chosen[index]].seen < _OFFERED]
    model.offer([each for each in model.attributes if each not in unseen] or model.attributes)


def labelled(faces: Faces, attributes: Sequence[str]) -> Faces:
    """Those of which any of the attributes is known; all where none is."""
    known = np.any([faces.labels(each) != features.UNKNOWN for each in attributes], 0)
    if not known.any():
        return faces
    return Faces(faces.pixels[known], faces.attributes[known])


def _settled(tried: dict[float, Tried]) -> bool:
    """Whether nothing more intense need be tried."""
    return any(found.seen >= _SEEN or found.psnr < _MIN_PSNR for found in tried.values())


def _simulate_all(simulate: Callable, pictures: np.ndarray, condition: int) -> np.ndarray:
    batches = np.split(pictures, range(_BATCH, len(pictures), _BATCH))
    made = [simulate(tf.constant(batch), tf.fill([len(batch)], condition)) for batch in batches]
    return images.to_float(images.to_uint8(np.concatenate(made)))


def choose(tried: dict[float, Tried]) -> float:
    """The mildest intensity whose edits are seen often enough, else that whose are seen most.

    Args:
      tried: what came of each intensity. Edits that are too strong are left out; where all are, the mildest is taken.
    """
    bearable = {each: found.seen for each, found in sorted(tried.items()) if found.psnr >= _MIN_PSNR}
    enough = [each for each, seen in bearable.items() if seen >= _SEEN]
    if enough:
        return enough[0]
    return max(bearable, key=bearable.get) if bearable else min(tried)
