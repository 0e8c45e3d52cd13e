"""Names and shapes of the SavedModels' signatures (docs/design.md), and the check that a loaded one has them."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

SIMULATE = "simulate"
TAG = "tag"
READ = "read"
ENCODE = "encode"
DECODE = "decode"
DESCRIBE = "describe"

IMAGES = "images"
CONDITION = "condition"
MAX_FILES = 64  # Of a call of `tag` or `read`: each picture, however small its file, takes a network's memory.
STATUS = "status"  # Of each picture: why there is nothing for it, or "". Taggers exported before it was lack it.
_TRIED = 8  # Conditions at a time: a manifest may name more than fit.


class ContractError(ValueError):
    """A SavedModel does not keep the contract; the message says what was expected and what was found."""


def describe(specs: Mapping[str, tf.TensorSpec]) -> str:
    """What goes into a signature, or comes out, as errors say it: names, types and shapes."""
    return ", ".join(f"{name}: {spec.dtype.name} {spec.shape}" for name, spec in sorted(specs.items())) or "nothing"


def _takes(found: tf.TensorSpec, wanted: tf.TensorSpec) -> bool:
    fixed_batch = found.shape.rank is not None and found.shape.rank > 0 and found.shape[0] is not None
    return found.dtype == wanted.dtype and found.shape.is_compatible_with(wanted.shape) and not fixed_batch


def check_simulator(model: Any, image_size: int, conditions: int, where: str) -> None:
    """Checks a loaded simulator against docs/design.md: its signature, then its output on one grey picture a condition.

    Args:
      model: what tf.saved_model.load returned.
      image_size: the side of the pictures it will be given.
      conditions: how many conditions its manifest names.
      where: what to call it in errors.

    Raises:
      ContractError: a missing signature, other names, dtypes, shapes or range, or an output that is not finite.
    """
    signature = getattr(model, "signatures", {}).get(SIMULATE)
    if signature is None:
        found = ", ".join(sorted(getattr(model, "signatures", {}))) or "none"
        raise ContractError(f"{where}: expected a signature '{SIMULATE}', found {found}")
    expected = {
        IMAGES: tf.TensorSpec([None, image_size, image_size, 3], tf.float32),
        CONDITION: tf.TensorSpec([None], tf.int32),
    }
    found = signature.structured_input_signature[1]
    if set(found) != set(expected) or not all(_takes(found[name], spec) for name, spec in expected.items()):
        raise ContractError(f"{where}: expected inputs {describe(expected)}; found {describe(found)}")
    outputs = signature.structured_outputs
    if IMAGES not in outputs or not expected[IMAGES].is_compatible_with(outputs[IMAGES]):
        raise ContractError(
            f"{where}: expected output {describe({IMAGES: expected[IMAGES]})}; found {describe(outputs)}"
        )
    for start in range(0, conditions, _TRIED):
        tried = tf.range(start, min(start + _TRIED, conditions))
        _check_made(signature, tf.fill([len(tried), image_size, image_size, 3], 0.5), tried, where)


def _check_made(signature: Any, images: tf.Tensor, condition: tf.Tensor, where: str) -> None:
    try:
        made = signature(images=images, condition=condition)[IMAGES]
    except tf.errors.OpError as error:
        raise ContractError(f"{where}: expected to simulate a grey picture; found {error.message}") from error
    if made.shape != images.shape:
        raise ContractError(f"{where}: expected output of the input's shape {images.shape}; found {made.shape}")
    lowest, highest = float(tf.reduce_min(made)), float(tf.reduce_max(made))
    if not (-1e-3 <= lowest and highest <= 1 + 1e-3):  # Written so that NaN fails too.
        raise ContractError(f"{where}: expected output in [0, 1]; found [{lowest:.3g}, {highest:.3g}]")
