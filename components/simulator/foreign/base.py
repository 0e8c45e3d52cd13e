"""What the readers of generators made elsewhere share: what they return, size limits, the labels of attribute editors.

An attribute editor is told which attributes the made picture shall show. A simulator gets a picture and a condition
alone, so what the picture shows before the edit is read from it by the attribute classifier that was trained beside the
generator (the head of its discriminator), or, where there is none, taken to be the same for every picture
(`source_attributes`).
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from faketagger.components.simulator import library
from faketagger.components.simulator.generators.attribute_editing import condition_name, exclusions, invert_labels

Labeller = Callable[[tf.Tensor], tf.Tensor]  # Pictures [B, S, S, 3] in [0, 1] → float32 [B, A] of 0 and 1.

_NAMES_SHOWN = 40
MAX_VALUES = 2**28  # Of one tensor on the way, for one picture: 1 GiB; 64 channels at 1024² take a quarter.
_MOST_VALUES_IN_ALL = 2**31  # A gradient keeps nearly all of them.


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A generator made elsewhere, as a function.

    Attributes:
      simulate: float32 [B, S, S, 3] in [0, 1] and int32 [B] → float32 [B, s, s, 3], about in [0, 1].
      conditions: the names of the second argument's values.
      tracked: the variables or the loaded model that it uses.
      side: S, where it takes but one; None where it takes any multiple of `multiple`.
      multiple: what S must be a multiple of.
    """

    simulate: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    conditions: tuple[str, ...]
    tracked: Any
    side: int | None = None
    multiple: int = 1


def check_size(paths: Iterable[str], where: str) -> None:
    """Raises ValueError when the files together are larger than a simulator may be; OSError when one is missing."""
    size = sum(os.path.getsize(path) for path in paths)
    if size > library.MAX_SAVED_MODEL_BYTES:
        raise ValueError(f"{where}: {size:,} bytes is over the {library.MAX_SAVED_MODEL_BYTES:,} a simulator may have")


def check_tensors(traced: Any) -> None:
    """ValueError where a traced function makes more values of one picture than one tensor, or all, may have."""
    total = 0
    for operation in traced.graph.get_operations():
        for tensor in operation.outputs:
            values = tensor.shape.num_elements() or 0
            total += values
            if values > MAX_VALUES:
                raise ValueError(
                    f"{operation.name} makes {tensor.shape} of one picture, expected at most {MAX_VALUES:,} values"
                )
    if total > _MOST_VALUES_IN_ALL:
        raise ValueError(f"it makes {total:,} values of one picture, expected at most {_MOST_VALUES_IN_ALL:,}")


def listed(names: Iterable[str], limit: int | None = _NAMES_SHOWN) -> str:
    """Names for an error message, sorted; None for `limit` shows all."""
    names = sorted(names)
    shown = names if limit is None else names[:limit]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "") or "none"


def check_match(tensors: Mapping[str, Any], shapes: dict[str, tuple], what: str) -> None:
    """Raises ValueError that lists all tensors (they have a `shape`) that are missing, of another one, or of no use."""
    wrong = [
        f"{name} {tensors[name].shape} instead of {shape}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    found = {"missing": set(shapes) - set(tensors), "of another shape": wrong, "unused": set(tensors) - set(shapes)}
    if any(found.values()):
        problems = [f"{kind}: {listed(names, None)}" for kind, names in found.items()]
        raise ValueError(f"{what}: {'; '.join(problems)}")


def attribute_names(given: Sequence[str] | None, default: Sequence[str], count: int, where: str) -> tuple[str, ...]:
    """The names of a network's `count` attributes: those given, or the official code's default list where it fits."""
    names = tuple(default if given is None else given)
    if len(names) != count or len(set(names)) != count:
        said = "the official default has" if given is None else "--attributes names"
        raise ValueError(
            f"{where}: edits {count} attributes, {said} {len(names)} ({', '.join(names)}): give --attributes with "
            f"{count} different names in the order of its training"
        )
    return names


def edit_conditions(attributes: Sequence[str]) -> tuple[str, ...]:
    """One condition for each attribute, named as the papers do."""
    return tuple(condition_name(each) for each in attributes)


def fixed_labels(shown: Sequence[str], attributes: Sequence[str]) -> Labeller:
    """Every picture shows the attributes of `shown` and no others; ValueError when one is none of `attributes`."""
    unknown = set(shown) - set(attributes)
    if unknown:
        raise ValueError(f"--source_attributes: {listed(unknown)} is none of {', '.join(attributes)}")
    labels = np.float32([[each in shown for each in attributes]])
    return lambda images: tf.repeat(tf.constant(labels), tf.shape(images)[0], 0)


def classified_labels(logits: Callable[[tf.Tensor], tf.Tensor]) -> Labeller:
    """The labels that a classifier, pictures in [−1, 1] → logits [B, A], finds more likely than not."""
    return lambda images: tf.stop_gradient(tf.cast(logits(images * 2.0 - 1.0) > 0.0, tf.float32))


def invert(labels: tf.Tensor, condition: tf.Tensor, attributes: Sequence[str]) -> tf.Tensor:
    """Labels float32 [B, A] of 0 and 1 with the attribute of `condition` [B] inverted; what it excludes is unset."""
    return invert_labels(labels, condition, exclusions(attributes, _ONE_OF))


# One of a group sets the others to 0, as the official STGAN's and AttGAN's tests do; StarGAN's knows the first alone.
_ONE_OF = (
    ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
    ("Straight_Hair", "Wavy_Hair"),
    ("Bald", "Bangs"),
    ("Receding_Hairline", "Bangs"),
)
