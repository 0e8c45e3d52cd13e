"""Reads TF1 checkpoints of the official STGAN (csmliu/STGAN) and AttGAN (LynnHo/AttGAN-Tensorflow).

Liu et al. 2019, "STGAN", CVPR; He et al. 2019, "AttGAN", IEEE TIP. The networks are rebuilt from the checkpoint's
variables, named as tf.contrib.slim names them (`Genc/Conv_1/weights`, …; AttGAN's last version has `UNetGenc`, …):
widths, layers, normalisation, shortcuts and injected attributes show in names and shapes. What shows in no variable is
taken to be the official default: STGAN's `--label diff`, `--stu_state stu`, `--multi_inputs 1`.

Labels go in as ±0.5 (AttGAN's last version: ±1). At test, the official code multiplies that of the inverted attribute:
by 1 for STGAN, by 2 for AttGAN (`intensity`).
"""

import glob
import os
import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from faketagger.components.simulator import library
from faketagger.components.simulator.foreign import base
from faketagger.components.simulator.foreign.tf1_networks import Classifier, Decoder, Encoder, TransferUnits

DEFAULT_ATTRIBUTES = (
    "Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Eyeglasses", "Male",
    "Mouth_Slightly_Open", "Mustache", "No_Beard", "Pale_Skin", "Young",
)  # fmt: skip

_INDEX = ".index"
_OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"  # AttGAN's last version saves by object, the objects named as variables.
_LATER_SCOPES = {"UNetGenc": "Genc", "UNetGdec": "Gdec", "ConvD": "D"}
_SCOPES = ("Genc", "Gstu", "Gdec", "D")
_OPTIMISER = re.compile(r"/Adam(_\d+)?$")


def is_checkpoint(path: str) -> bool:
    """Whether it is a checkpoint's prefix, its .index file, or a folder of checkpoints."""
    return path.endswith(_INDEX) or os.path.exists(path + _INDEX) or bool(_checkpoints(path))


def read(
    path: str,
    attributes: Sequence[str] | None = None,
    source_attributes: Sequence[str] | None = None,
    intensity: float | None = None,
) -> base.Foreign:
    """Reads a generator.

    Args:
      path: the checkpoint's prefix (what comes before .index), or the folder of the only checkpoint.
      attributes: those it edits, in the order of its training; the official thirteen by default.
      source_attributes: what every picture is taken to show before the edit; by default the attribute head of the
        checkpoint's discriminator says it.
      intensity: factor on the inverted attribute's target label; the official code's by default.

    Raises:
      ValueError: no such checkpoint, variables that do not fit (all are listed), or a missing option.
    """
    tensors = _Tensors(_prefix(path))
    encoder = Encoder(tensors)
    decoder = Decoder(tensors, encoder.depth)
    units = TransferUnits(tensors, encoder.depth) if tensors.has("Gstu/") else None
    classifier = Classifier(tensors) if source_attributes is None and tensors.has("D/") else None
    if not classifier:
        tensors.set_aside("D/")
    tensors.check_all_used()
    try:
        channels, count = encoder.channels(), decoder.attributes(encoder)
        for network in filter(None, (decoder, units, classifier)):
            network.connect(channels, count)
    except ValueError as error:
        raise ValueError(f"{tensors.where}: {error}") from None
    names = base.attribute_names(attributes, DEFAULT_ATTRIBUTES, count, tensors.where)
    label = _labeller(classifier, source_attributes, names, tensors.where)
    unit = 1.0 if tensors.later else 0.5
    intensity = intensity if intensity is not None else 1.0 if units else 2.0

    def simulate(images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        source = label(images)
        target = unit * (2.0 * base.invert(source, condition, names) - 1.0)
        target *= tf.one_hot(condition, len(names), intensity, 1.0)
        features = encoder(images * 2.0 - 1.0)
        if units:
            difference = target - unit * (2.0 * source - 1.0)
            return (decoder(units(features, difference), difference) + 1.0) / 2.0
        return (decoder(features, target) + 1.0) / 2.0

    return base.Foreign(
        simulate,
        base.edit_conditions(names),
        [encoder, decoder, units, classifier],
        classifier.side if classifier else None,
        multiple=2**encoder.depth,
    )


def _labeller(
    classifier: Classifier | None, source_attributes: Sequence[str] | None, names: Sequence[str], where: str
) -> base.Labeller:
    if classifier:
        return base.classified_labels(classifier)
    if source_attributes is None:
        raise ValueError(
            f"{where}: holds no discriminator to say what pictures show before the edit: give --source_attributes, the "
            "attributes that every picture is taken to show (may be empty)"
        )
    return base.fixed_labels(source_attributes, names)


def _checkpoints(folder: str) -> list[str]:
    return sorted(glob.glob(os.path.join(glob.escape(folder), "*" + _INDEX)))


def _prefix(path: str) -> str:
    if os.path.isdir(path):
        found = _checkpoints(path)
        if len(found) != 1:
            names = ", ".join(os.path.basename(each)[: -len(_INDEX)] for each in found)
            raise ValueError(f"{path}: give the prefix of one checkpoint; found {names or 'none'}")
        path = found[0]
    return path[: -len(_INDEX)] if path.endswith(_INDEX) else path


class _Tensors:
    """The variables of a checkpoint's generator and discriminator, each to be taken once."""

    def __init__(self, prefix: str):
        self.where = prefix
        base.check_size(glob.glob(glob.escape(prefix) + ".*"), prefix)
        try:
            self._reader = tf.train.load_checkpoint(prefix)
            shapes = self._reader.get_variable_to_shape_map()
        except (OSError, ValueError, RuntimeError, LookupError, tf.errors.OpError) as error:
            raise ValueError(f"{prefix}: not a readable TF checkpoint: {error}") from error
        self._keys = {name: key for key in shapes if (name := _variable_name(key)).split("/")[0] in _SCOPES}
        self.later = any(key.startswith(tuple(_LATER_SCOPES)) for key in shapes)
        self.shapes = {name: tuple(shapes[key]) for name, key in self._keys.items()}
        if not self.has("Genc/Conv/"):
            raise ValueError(
                f"{prefix}: no official STGAN or AttGAN generator: expected variables such as Genc/Conv/weights; found "
                f"{base.listed(shapes)}"
            )
        # The index may claim any shape: bounded before anything is allocated.
        values = sum(float(np.prod(shape, dtype=np.float64)) for shape in self.shapes.values())
        if 4 * values > library.MAX_SAVED_MODEL_BYTES:
            raise ValueError(f"{prefix}: variables over {library.MAX_SAVED_MODEL_BYTES:,} bytes in all")
        self._unused, self._missing = set(self.shapes), set()

    def has(self, start: str) -> bool:
        return any(name.startswith(start) for name in self.shapes)

    def count(self, layer: str) -> int:
        """How many layers there are of a name as slim numbers them: `Genc/Conv`, `Genc/Conv_1` and so on."""
        matches = [re.match(rf"{layer}(?:_(\d+))?/", name) for name in self.shapes]
        highest = max((int(match[1] or 0) for match in matches if match), default=-1)
        return min(highest + 1, len(self.shapes))  # One missing in between is told of; a wild number is no count.

    def take(self, name: str, rank: int) -> tf.Variable:
        """A variable of the checkpoint, as one of this graph's; a missing one is told of by check_all_used."""
        if len(self.shapes.get(name, ())) != rank:
            self._missing.add(name)
            return tf.Variable(tf.zeros([1] * rank), trainable=False)
        self._unused.discard(name)
        try:
            values = self._reader.get_tensor(self._keys[name])
        except (ValueError, RuntimeError, LookupError, tf.errors.OpError) as error:
            raise ValueError(f"{self.where}: {name} cannot be read: {error}") from error
        return tf.Variable(np.float32(values), trainable=False)

    def set_aside(self, start: str) -> None:
        self._unused -= {name for name in self._unused if name.startswith(start)}

    def check_all_used(self) -> None:
        if self._missing or self._unused:
            raise ValueError(
                f"{self.where}: not the official STGAN's or AttGAN's variables: missing: "
                f"{base.listed(self._missing, None)}; unused: {base.listed(self._unused, None)}"
            )


def _variable_name(key: str) -> str:
    """A checkpoint's key as STGAN and AttGAN's first version name the variable; empty for an optimiser's."""
    name = key.removesuffix(_OBJECT_SUFFIX).replace(".S", "/").removesuffix(":0")
    if _OPTIMISER.search(name):
        return ""
    scope, *rest = name.split("/")
    return "/".join([_LATER_SCOPES.get(scope, scope), *rest])
