"""A directory of simulators: listing it, loading from it, checking what came from elsewhere."""

import dataclasses
import os
from typing import Any

import tensorflow as tf

from faketagger.components.contract import manifest, signatures
from faketagger.components.faces import alignment
from faketagger.components.perturbations import draws
from faketagger.components.simulator import landmark_swap, tools

# More than any generator of the papers needs (StyleGAN at 1024² has 30 M parameters, 120 MB).
MAX_SAVED_MODEL_BYTES = 2 * 1024**3


@dataclasses.dataclass(frozen=True)
class Simulator:
    """A loaded simulator. Holds the loaded object itself: its variables live only as long as it does.

    Attributes:
      manifest: its simulator.json.
      model: what tf.saved_model.load returned.
      has_gradient: whether one comes through; if not, a tagger trains straight through it.
    """

    manifest: manifest.SimulatorManifest
    model: Any
    has_gradient: bool = True

    def __call__(
        self, images: tf.Tensor, way: tf.Tensor, landmarks: tf.Tensor | None = None, fixed: bool = True
    ) -> tf.Tensor:
        """Simulates. Gradients flow through.

        Args:
          images: float32 [B, S, S, 3] in [0, 1].
          way: int32 [B], indices of the manifest's `ways`: all conditions, or all one and the same tool.
          landmarks: float32 [B, 5, 2] of the faces as shares of the side, for tools; NaN, or None, where CelebA-HQ's
            alignment is to be assumed.
          fixed: whether the condition that a tool asks for is a function of the landmarks, as evaluations need; else
            it is random.

        Returns:
          The same shape and range.
        """
        if not self.manifest.tools:
            return self._whole(images, way)
        if landmarks is None:
            landmarks = tf.fill([tf.shape(images)[0], *alignment.SHAPE], float("nan"))
        landmarks = alignment.or_template(landmarks)
        tool = way[0] - len(self.manifest.conditions)
        as_tool, size = tool >= 0, self.manifest.image_size
        chosen = tools.Chosen([tools.TOOLS[name] for name in self.manifest.tools], tf.maximum(tool, 0), size)
        # Around one call of the generator: a copy of it for each tool would make a training's graph slow to build.
        condition = tf.cond(as_tool, lambda: self._asked_for_by_tools(landmarks, fixed), lambda: way)
        crops, transform = tf.cond(
            as_tool,
            lambda: chosen.cut(images, landmarks),
            lambda: (images, tf.zeros([tf.shape(images)[0], 2, 3])),
        )
        crops = tf.ensure_shape(crops, [None, size, size, 3])
        made = self._whole(crops, condition)
        made = tf.cond(as_tool, lambda: chosen.paste(images, transform, crops, made), lambda: made)
        return tf.ensure_shape(made, images.shape)

    def _whole(self, images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        made = self.model.signatures[signatures.SIMULATE](images=images, condition=condition)
        return made[signatures.IMAGES]

    def _asked_for_by_tools(self, landmarks: tf.Tensor, fixed: bool) -> tf.Tensor:
        """A condition for each face, int32 [B]."""
        names = self.manifest.tool_conditions or self.manifest.conditions
        numbers = tf.constant([self.manifest.conditions.index(name) for name in names])
        if fixed:
            # Tagging leaves the landmarks as they are: the tagged picture goes through what its original did.
            drawn = tf.math.floormod(tf.cast(tf.reduce_sum(landmarks, [1, 2]) * 1e4, tf.int32), len(names))
        else:
            drawn = draws.uniform([tf.shape(landmarks)[0]], 0, len(names), tf.int32)
        return tf.gather(numbers, drawn)


def names(directory: str) -> list[str]:
    """The simulators in a directory, sorted; ValueError when it has none."""
    found = [
        name.rstrip("/")
        for name in (sorted(tf.io.gfile.listdir(directory)) if tf.io.gfile.isdir(directory) else [])
        # Hidden ones are unfinished: an export that was killed leaves them.
        if not name.startswith(".")
        and tf.io.gfile.exists(os.path.join(directory, name, manifest.SimulatorManifest.FILE))
    ]
    if not found:
        raise ValueError(
            f"{directory}: no simulators; expected folders that each hold a SavedModel and a "
            f"{manifest.SimulatorManifest.FILE}"
        )
    return found


def read(directory: str) -> manifest.SimulatorManifest:
    """A simulator's manifest.

    Raises:
      ValueError: it is missing or wrong, or names the simulator otherwise than its folder does.
    """
    described = manifest.read(manifest.SimulatorManifest, directory)
    folder = os.path.basename(os.path.abspath(directory))
    # A hidden folder is an export at work, which gets its name at the end.
    if described.name != folder and not folder.startswith("."):
        raise ValueError(
            f"{directory}: the folder is named '{folder}', and its {described.FILE} says name '{described.name}': "
            "change either, so that a tagger's training and its evaluation mean the same simulator"
        )
    return described


def load(directory: str) -> Simulator:
    """Loads one simulator and checks it against the contract.

    Raises:
      ValueError: as `read`, or the SavedModel is too large or unreadable.
      signatures.ContractError: the SavedModel does not keep the contract.
    """
    described = read(directory)
    size = sum(
        tf.io.gfile.stat(os.path.join(folder, name)).length
        for folder, _, found in tf.io.gfile.walk(directory)
        for name in found
    )
    if size > MAX_SAVED_MODEL_BYTES:
        raise ValueError(f"{directory}: {size:,} bytes is over the {MAX_SAVED_MODEL_BYTES:,} a simulator may have")
    if described.name == manifest.UNSEEN and not tf.saved_model.contains_saved_model(directory):
        # Here alone: taggers are trained and served without PyAV.
        from faketagger.components.perturbations import unseen

        return Simulator(described, unseen.Model(), has_gradient=False)
    if landmark_swap.has_donors(directory):
        return Simulator(described, landmark_swap.Model(directory), has_gradient=False)
    model = load_saved_model(directory)
    unknown = sorted(set(described.tools) - set(tools.TOOLS))
    if unknown:
        raise ValueError(f"{directory}: no tools {', '.join(unknown)}; there are {', '.join(tools.TOOLS)}")
    signatures.check_simulator(model, described.image_size, len(described.conditions), directory)
    return Simulator(described, model)


def load_saved_model(path: str) -> Any:
    """tf.saved_model.load's object; ValueError for whatever it raises, which for damaged files is nearly anything."""
    try:
        return tf.saved_model.load(path)
    except Exception as error:
        raise ValueError(f"{path}: not a loadable SavedModel: {error}") from error


def load_all(directory: str) -> list[Simulator]:
    """Loads every simulator of a directory, in the order of `names`; errors as `load`."""
    return [load(os.path.join(directory, name)) for name in names(directory)]
