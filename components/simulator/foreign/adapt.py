"""Makes a simulator of a generator that was made elsewhere, whichever of the known kinds it is."""

import os
import sys

import numpy as np
import tensorflow as tf

from faketagger.components.contract import features, images, manifest
from faketagger.components.faces import alignment, cutting, detector
from faketagger.components.simulator import library, tools
from faketagger.components.simulator.foreign import base, saved_model, tf1, tfjs, torch
from faketagger.components.simulator.generators.base import Faces, read_faces
from faketagger.components.simulator.packing import export
from faketagger.components.simulator.quality.assess import Assessor

_ASSESSED = 64  # Pictures.
_NO_LANDMARKS = np.full(alignment.SHAPE, np.nan, np.float32)
# How far beyond the range, as a share of it, an output may reach and be clipped: more means a wrong range.
# Networks that end without an activation overshoot: the ESRGANs of npm packages by 0.06 on drawn_picture.
_OVERSHOOT = 0.1

SAVED_MODEL, TF1, TORCH = "a SavedModel", "a TF1 checkpoint", "a PyTorch state dict"
TFJS = "a TensorFlow.js layers model"
_DESCRIBING = (
    "signature",
    "images_input",
    "condition_input",
    "images_output",
    "layout",
    "value_range",
    "output_range",
    "conditions",
)
_OWN_TOOLS = {TF1: ("attgan",), TORCH: ("stargan",)}  # As which their authors apply them.
# Flags that not every kind of model has a use for, and the kinds that have.
_USES = {
    **dict.fromkeys((*_DESCRIBING, "condition_vector"), (SAVED_MODEL, TFJS)),
    "signature": (SAVED_MODEL,),
    **dict.fromkeys(("attributes", "source_attributes"), (TF1, TORCH)),
    "intensity": (TF1,),
    "discriminator": (TORCH,),
}


def adapt(arguments) -> manifest.SimulatorManifest:
    """Reads the model that arguments name and writes it as a simulator; ValueError says what is wrong or missing."""
    if not manifest.is_name(arguments.name) or arguments.name in (manifest.PERTURBATION, manifest.UNSEEN):
        raise ValueError(
            f"--name: {arguments.name}: expected lower-case letters, digits and underscores, and neither "
            f"{manifest.PERTURBATION} nor {manifest.UNSEEN}"
        )
    unknown = sorted(set(arguments.tools or ()) - set(tools.TOOLS))
    if unknown:
        raise ValueError(f"--tools: {', '.join(unknown)}: expected names of {', '.join(tools.TOOLS)}")
    kind = kind_of(arguments.model)
    given = [flag for flag in _USES if getattr(arguments, flag) is not None]
    useless = [f"--{flag}" for flag in given if kind not in _USES[flag]]
    if useless:
        raise ValueError(f"{arguments.model} is {kind}, for which there is no {', '.join(useless)}")
    read = _read(kind, arguments)
    model_size, image_size = _sizes(read, arguments)
    described = manifest.SimulatorManifest(
        name=arguments.name,
        family=arguments.family or "attribute_editing",
        conditions=tuple(read.conditions),
        tools=_OWN_TOOLS.get(kind, ()) if arguments.tools is None else tuple(arguments.tools),
        image_size=image_size,
        training_data=arguments.training_data,
        licence=arguments.licence,
    )
    assessor = _assessor(arguments, image_size)
    check_runs(read, model_size, arguments.model)
    simulate = export.resized(read.simulate, model_size, image_size)
    return export.save(arguments.out, simulate, described, assessor, tracked=read.tracked)


def kind_of(path: str) -> str:
    """Which kind of model a path holds; ValueError when it is none that is known."""
    if tf.saved_model.contains_saved_model(path):
        return SAVED_MODEL
    if tf1.is_checkpoint(path):
        return TF1
    if tfjs.find(path):
        return TFJS
    suffix = os.path.splitext(path)[1].lower()
    if suffix in torch.SUFFIXES:
        return TORCH
    if suffix == ".onnx":
        raise ValueError(
            f"{path}: an ONNX model, which is not read here: make a SavedModel of it with the package onnx2tf, in an "
            f"environment of its own (`onnx2tf -i {os.path.basename(path)} -o DIR -osd`), and give --model=DIR"
        )
    raise ValueError(
        f"{path}: expected the folder of {SAVED_MODEL}, the prefix or folder of {TF1}, the {tfjs.MODEL_FILE} or folder "
        f"of {TFJS}, or {TORCH} ({', '.join(torch.SUFFIXES)})"
    )


def _read(kind: str, arguments) -> base.Foreign:
    if kind == TF1:
        return tf1.read(arguments.model, arguments.attributes, arguments.source_attributes, arguments.intensity)
    if kind == TORCH:
        return torch.read(arguments.model, arguments.attributes, arguments.source_attributes, arguments.discriminator)
    if arguments.family is None:
        raise ValueError(f"{arguments.model}: give --family: {', '.join(manifest.FAMILIES)}")
    said = saved_model.Description(
        **{flag: getattr(arguments, flag) for flag in _DESCRIBING},
        vectors=_vectors(arguments.condition_vector),
    )
    if kind == TFJS:
        return tfjs.read(arguments.model, said, arguments.model_size or arguments.image_size)
    return saved_model.read(arguments.model, said)


def _vectors(pairs: list[tuple[str, list[float]]] | None) -> dict[str, list[float]] | None:
    if pairs is not None and len(dict(pairs)) != len(pairs):
        raise ValueError("--condition_vector: the same name twice")
    return None if pairs is None else dict(pairs)


def _sizes(read: base.Foreign, arguments) -> tuple[int, int]:
    """The sides of the model's pictures and of the simulator's."""
    if read.side and arguments.model_size not in (None, read.side):
        raise ValueError(f"--model_size: {arguments.model} takes {read.side} pixels a side")
    least, most = manifest.MIN_IMAGE_SIZE, manifest.MAX_IMAGE_SIZE
    model_size = read.side or arguments.model_size or arguments.image_size
    if model_size is None:
        raise ValueError(f"{arguments.model}: takes any size: give --model_size, the side of its training's pictures")
    if model_size > most:
        raise ValueError(f"{arguments.model}: takes {model_size} pixels a side, expected at most {most}")
    if model_size < 1 or model_size % read.multiple:
        raise ValueError(f"{arguments.model}: takes sides that are multiples of {read.multiple}, not {model_size}")
    image_size = arguments.image_size or model_size
    if not least <= image_size <= most:
        raise ValueError(f"--image_size: expected {least} to {most}, got {image_size}")
    return model_size, image_size


def check_runs(read: base.Foreign, model_size: int, where: str) -> None:
    """Runs each condition on a drawn picture; ValueError when it fails, leaves the range, or passes no gradient."""
    pictures = tf.constant(drawn_picture(model_size))
    _check_memory(read, model_size, where)
    for index, condition in enumerate(read.conditions):
        try:
            with tf.GradientTape() as tape:
                tape.watch(pictures)
                made = read.simulate(pictures, tf.constant([index]))
                value = tf.reduce_sum(made)
            gradient = tape.gradient(value, pictures)
        except (ValueError, TypeError, LookupError, tf.errors.OpError) as error:
            raise ValueError(f"{where}: {condition}: fails on a picture of {model_size} pixels: {error}") from error
        if made.shape.rank != 4 or made.shape[-1] != 3:
            raise ValueError(f"{where}: {condition}: expected pictures of 3 channels, found {made.shape}")
        low, high = float(tf.reduce_min(made)), float(tf.reduce_max(made))
        if not (-_OVERSHOOT <= low and high <= 1.0 + _OVERSHOOT):  # Written so that NaN fails too.
            raise ValueError(
                f"{where}: {condition}: its output spans {low:.3g} to {high:.3g} of its range, expected 0 to 1: is "
                "--output_range right?"
            )
        if gradient is None or not np.any(gradient) or not np.all(np.isfinite(gradient)):
            raise ValueError(f"{where}: {condition}: no gradient flows through it, which training a tagger needs")


def _check_memory(read: base.Foreign, model_size: int, where: str) -> None:
    """ValueError where it makes more of a picture than fits, before it does; a SavedModel's own functions stay shut."""
    specs = tf.TensorSpec([1, model_size, model_size, 3]), tf.TensorSpec([1], tf.int32)
    try:
        base.check_tensors(tf.function(read.simulate).get_concrete_function(*specs))
    except (ValueError, TypeError, LookupError, tf.errors.OpError) as error:
        raise ValueError(f"{where}: fails on a picture of {model_size} pixels: {error}") from error


def drawn_picture(size: int) -> np.ndarray:
    """Ramps of colour, float32 [1, size, size, 3] in [0, 1]."""
    rows, columns = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    return np.float32(np.stack([rows, columns, (rows + columns) / 2.0], -1))[None]


class _NoAssessor(Assessor):
    """Measures nothing: the pipeline does, when it takes the simulator in."""

    def assess(self, simulator: library.Simulator) -> manifest.SimulatorManifest:
        return simulator.manifest


def _assessor(arguments, image_size: int) -> Assessor:
    if arguments.examples:
        return Assessor(read_faces(arguments.examples, features.EVAL_SPLIT, image_size, _ASSESSED))
    if arguments.images:
        return Assessor(_read_folder(arguments.images, image_size))
    return _NoAssessor(_unlabelled(images.to_uint8(drawn_picture(image_size))))


def _unlabelled(pictures: np.ndarray, landmarks: np.ndarray | None = None) -> Faces:
    unknown = np.full([len(pictures), len(features.ATTRIBUTE_NAMES)], features.UNKNOWN, np.int64)
    return Faces(pictures, unknown, landmarks)


def _read_folder(folder: str, size: int) -> Faces:
    """The first pictures below a folder, by name, with their largest faces; files that are none are counted aloud."""
    found = sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)
    pictures, places, refused = [], [], []
    for path in found:
        if os.path.basename(path).startswith(".") or len(pictures) == _ASSESSED:
            continue
        try:
            pixels = images.load_image(path)
            face = next(iter(detector.find_faces(pixels, smallest=0.1 * max(pixels.shape[:2]))), None)
            square, landmarks = cutting.centred_square(pixels, size, face)
            pictures.append(square)
            places.append(_NO_LANDMARKS if landmarks is None else landmarks)
        except images.ImageError as error:
            refused.append(str(error))
    if refused:
        print(f"adapt: set aside {len(refused)} files that are no readable pictures: {refused[0]} …", file=sys.stderr)
    if not pictures:
        raise ValueError(f"{folder}: no readable pictures")
    return _unlabelled(np.stack(pictures), np.stack(places))
