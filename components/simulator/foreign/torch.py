"""Reads the official PyTorch StarGAN (yunjey/stargan), a state dict of its generator and, if there is, discriminator.

Choi et al. 2018, "StarGAN", appendix tables 4 and 5. The tensors are matched with stargan.build_generator's by name
and shape. The official InstanceNorm keeps running statistics (`running_mean`, `running_var`, `num_batches_tracked`),
but the official test never leaves training mode and so normalises by each picture's own: those are set aside.

Labels are CelebA's kind, any of them may be set; the one-hot ones of RaFD and two data sets at once are not handled.
"""

import importlib
import os
import re
from collections.abc import Sequence
from pickle import UnpicklingError  # What torch raises; nothing is unpickled here.

import numpy as np
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import files
from faketagger.components.simulator import library
from faketagger.components.simulator.foreign import base
from faketagger.components.simulator.generators import stargan

SUFFIXES = (".npz", ".safetensors", ".pth", ".pt", ".ckpt")
DEFAULT_ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")

_RUNNING_STATISTICS = re.compile(r"\.(running_mean|running_var|num_batches_tracked)$")
_TORCH_NAMES = {"kernel": "weight", "gamma": "weight", "beta": "bias"}

Tensors = dict[str, np.ndarray]


def read(
    path: str,
    attributes: Sequence[str] | None = None,
    source_attributes: Sequence[str] | None = None,
    discriminator: str | None = None,
) -> base.Foreign:
    """Reads a generator.

    Args:
      path: its state dict, one of SUFFIXES.
      attributes: those it edits, in the order of its training; the official five by default.
      source_attributes: what every picture is taken to show before the edit.
      discriminator: the discriminator's state dict; its classification head says what a picture shows, instead.

    Raises:
      ValueError: a file that is no such state dict (all tensors that do not fit are listed), or a missing option.
      ImportError: the package is missing that reads this kind of file.
    """
    if (source_attributes is None) == (discriminator is None):
        raise ValueError(
            "what do pictures show before the edit? give either --discriminator, the discriminator's state dict, or "
            "--source_attributes, the attributes that every picture is taken to show (may be empty)"
        )
    generator = _build(read_tensors(path), path)
    names = base.attribute_names(attributes, DEFAULT_ATTRIBUTES, generator.input_shape[-1] - 3, path)
    if discriminator is None:
        judge, label = None, base.fixed_labels(source_attributes, names)
    else:
        judge = _Classifier(read_tensors(discriminator), len(names), discriminator)
        label = base.classified_labels(judge)

    def simulate(images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        target = base.invert(label(images), condition, names)
        planes = target[:, None, None, :] * tf.ones_like(images[..., :1])
        return (generator(tf.concat([images * 2.0 - 1.0, planes], -1), training=False) + 1.0) / 2.0

    side = judge.side if judge else None
    return base.Foreign(simulate, base.edit_conditions(names), [generator.variables, judge], side, multiple=4)


def read_tensors(path: str) -> Tensors:
    """The tensors of a state dict by name; nothing in the file is executed. Errors as `read`."""
    reader = _READERS.get(os.path.splitext(path)[1].lower())
    if reader is None:
        raise ValueError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    try:
        base.check_size([path], path)
        tensors = reader(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    return {name: np.asarray(values) for name, values in tensors.items() if not _RUNNING_STATISTICS.search(name)}


def _read_npz(path: str) -> Tensors:
    try:
        return files.read_npz(path, library.MAX_SAVED_MODEL_BYTES)
    except ValueError as error:
        raise ValueError(f"{path}: not a readable .npz of plain arrays: {error}") from error


def _read_safetensors(path: str) -> Tensors:
    safetensors = _import("safetensors", path)
    try:
        return importlib.import_module("safetensors.numpy").load_file(path)
    except (safetensors.SafetensorError, AttributeError, KeyError, TypeError) as error:
        # NumPy has no bfloat16: the package ends with one of the latter three.
        raise ValueError(f"{path}: not a readable .safetensors of float32 or float16: {error}") from error


def _read_torch(path: str) -> Tensors:
    torch = _import("torch", path)
    try:
        # weights_only: tensors alone; a pickle could run anything.
        held = torch.load(path, map_location="cpu", weights_only=True)
        # A view of one number may claim any shape, and would be made in full.
        claimed = sum(4 * values.numel() for values in held.values())
        if claimed > library.MAX_SAVED_MODEL_BYTES:
            raise ValueError(f"{claimed:,} bytes are over {library.MAX_SAVED_MODEL_BYTES:,}")
        return {str(name): values.float().numpy() for name, values in held.items()}
    except (AttributeError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        raise ValueError(f"{path}: not a state dict of tensors alone: {error}") from error


_READERS = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".ckpt": _read_torch,
}


def _import(package: str, path: str):
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ImportError(
            f"{path}: reading it takes the package {package}, which is not installed: install it, or where it is, save "
            "the tensors with numpy.savez(**{name: tensor.numpy()}) and give the .npz"
        ) from None


def _build(tensors: Tensors, where: str) -> keras.Model:
    """stargan.build_generator with the tensors for weights."""
    first = tensors.get("main.0.weight")
    if first is None or first.ndim != 4 or first.shape[1] < 4:
        raise ValueError(
            f"{where}: no StarGAN generator: expected main.0.weight of shape (width, 3 + attributes, 7, 7); found "
            f"{base.listed(_described(tensors), None)}"
        )
    width, attributes = first.shape[0], first.shape[1] - 3
    blocks = sum(re.fullmatch(r"main\.\d+\.main\.0\.weight", name) is not None for name in tensors)
    # A file of a few bytes may claim any width: the kernels are counted before they are allocated. Down, through the
    # blocks and up again; the first and the last see 7×7 pixels.
    values = 49 * (first.shape[1] + 3) * width + (2 * 16 * (2 + 8) + 2 * 9 * 16 * blocks) * width**2
    if 4 * values > library.MAX_SAVED_MODEL_BYTES:
        raise ValueError(
            f"{where}: width {width}, {attributes} attributes and {blocks} blocks are over "
            f"{library.MAX_SAVED_MODEL_BYTES:,} bytes"
        )
    model = stargan.build_generator(width, attributes, blocks)
    weights = {_torch_name(each): each for each in model.weights}
    shapes = {name: _torch_shape(each) for name, each in weights.items()}
    base.check_match(tensors, shapes, f"{where}: not the official generator's (width {width}, {blocks} blocks)")
    for name, weight in weights.items():
        weight.assign(_from_torch(tensors[name]))
    return model


def _torch_name(weight: tf.Variable) -> str:
    layer, kind = weight.name.split(":")[0].rsplit("/", 1)
    return f"{layer}.{_TORCH_NAMES[kind]}"


def _torch_shape(weight: tf.Variable) -> tuple:
    shape = tuple(weight.shape)
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape


def _from_torch(values: np.ndarray) -> np.ndarray:
    """Kernels [out, in, h, w] to [h, w, in, out]; transposed ones [in, out, h, w] to [h, w, out, in], TF's order."""
    return np.float32(values.transpose(2, 3, 1, 0) if values.ndim == 4 else values)


def _described(tensors: Tensors) -> list[str]:
    return [f"{name} {values.shape}" for name, values in tensors.items()]


class _Classifier(tf.Module):
    """The classification head of the official discriminator: pictures in [−1, 1] [B, side, side, 3] → logits [B, A].

    Attributes:
      side: of the pictures it was trained on.
    """

    def __init__(self, tensors: Tensors, attributes: int, where: str):
        super().__init__()
        count = sum(re.fullmatch(r"main\.\d+\.weight", name) is not None for name in tensors)
        names = [f"main.{2 * index}" for index in range(count)]  # Activations lie between.
        head = tensors.get("conv2.weight", np.zeros([0, 0, 0, 0]))
        shapes, channels = {}, 3
        for name in names:
            out = len(np.atleast_1d(tensors.get(f"{name}.weight", ())))
            shapes |= {f"{name}.weight": (out, channels, 4, 4), f"{name}.bias": (out,)}
            channels = out
        # The head sees the whole innermost picture at once; conv1 is the other head, which says how real a picture is.
        shapes |= {"conv1.weight": (1, channels, 3, 3), "conv2.weight": (attributes, channels, *head.shape[-1:] * 2)}
        base.check_match(tensors, shapes, f"{where}: not the official discriminator's ({attributes} attributes)")
        self.side = head.shape[2] * 2**count
        self._layers = [(_constant(tensors[f"{name}.weight"]), _constant(tensors[f"{name}.bias"])) for name in names]
        self._head = _constant(head)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        for kernel, bias in self._layers:
            x = tf.nn.conv2d(x, kernel, 2, [[0, 0], [1, 1], [1, 1], [0, 0]]) + bias
            x = tf.nn.leaky_relu(x, 0.01)
        return tf.nn.conv2d(x, self._head, 1, "VALID")[:, 0, 0, :]


def _constant(values: np.ndarray) -> tf.Variable:
    return tf.Variable(_from_torch(values), trainable=False)
