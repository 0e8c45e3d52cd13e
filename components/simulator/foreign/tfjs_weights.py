"""Reads the weights of TensorFlow.js models: groups of tensors, one after another, cut into shards.

The manifest comes from elsewhere: paths must stay in the model's folder, and what it declares must be what the files
hold before anything of that size is allocated.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from faketagger.components.contract.settings import shown
from faketagger.components.simulator import library

MANIFEST = "weightsManifest"

_MAX_SHARDS = 4096  # The converter's are of 4 MB.
_MAX_RANK = 8
_PLAIN = {"float32": "<f4", "int32": "<i4", "uint8": "u1", "float16": "<f2"}
_QUANTISED = {"uint8": "u1", "uint16": "<u2", "float16": "<f2"}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What the manifest says of one tensor.

    Attributes:
      name: as in the manifest.
      shape: its dimensions.
      stored: how its numbers lie in the file.
      scale: what they are to be multiplied with.
      least: what is added then.
    """

    name: str
    shape: tuple[int, ...]
    stored: np.dtype
    scale: float
    least: float

    @property
    def count(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.count * self.stored.itemsize


@dataclasses.dataclass(frozen=True)
class Weights:
    """The weights of a model.json, checked and not read yet.

    Attributes:
      tensors: all of them, by name.
    """

    tensors: Mapping[str, Tensor]
    _groups: tuple[tuple[list[str], list[Tensor]], ...]

    @property
    def count(self) -> int:
        """How many numbers all of them hold."""
        return sum(tensor.count for tensor in self.tensors.values())

    def read(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each tensor's name and values, float32; ValueError when one is not finite, OSError as files raise it."""
        for paths, tensors in self._groups:
            data, start = b"".join(pathlib.Path(path).read_bytes() for path in paths), 0
            for tensor in tensors:
                values = np.frombuffer(data, tensor.stored, tensor.count, start).astype(np.float32)
                start += tensor.size
                values = values * np.float32(tensor.scale) + np.float32(tensor.least)
                if not np.all(np.isfinite(values)):
                    raise ValueError(f"{', '.join(paths)}: {tensor.name}: holds numbers that are not finite")
                yield tensor.name, values.reshape(tensor.shape)


def declared(manifest: Any, path: str) -> Weights:
    """Checks a manifest against the files.

    Args:
      manifest: the JSON's `weightsManifest`.
      path: of the model.json; shards lie beside it.

    Raises:
      ValueError: it is malformed, a shard is missing, lies elsewhere or is of another size, or all is too large.
    """
    groups = [_group(each, f"{path}: {MANIFEST}[{i}]") for i, each in enumerate(_list(manifest, f"{path}: {MANIFEST}"))]
    if sum(len(names) for names, _ in groups) > _MAX_SHARDS:
        raise ValueError(f"{path}: {MANIFEST}: expected at most {_MAX_SHARDS} shards")
    weights = Weights({each.name: each for _, tensors in groups for each in tensors}, ())
    if len(weights.tensors) != sum(len(tensors) for _, tensors in groups):
        raise ValueError(f"{path}: {MANIFEST}: the same tensor's name twice")
    if 4 * weights.count > library.MAX_SAVED_MODEL_BYTES:
        raise ValueError(
            f"{path}: {MANIFEST}: declares {4 * weights.count:,} bytes of float32, over the "
            f"{library.MAX_SAVED_MODEL_BYTES:,} a simulator may have"
        )
    found = tuple(([_shard(name, path) for name in names], tensors) for names, tensors in groups)
    for index, (paths, tensors) in enumerate(found):
        expected, size = sum(each.size for each in tensors), sum(map(os.path.getsize, paths))
        if size != expected:
            raise ValueError(
                f"{path}: {MANIFEST}[{index}]: {', '.join(paths)}: expected {expected:,} bytes, found {size:,}"
            )
    return dataclasses.replace(weights, _groups=found)


def _group(entry: Any, where: str) -> tuple[list[str], list[Tensor]]:
    """The names of a group's shards, and its tensors."""
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected an object with paths and weights, found {shown(entry)}")
    names = _list(entry.get("paths"), f"{where}.paths")
    tensors = _list(entry.get("weights"), f"{where}.weights")
    return names, [_tensor(each, f"{where}.weights[{index}]") for index, each in enumerate(tensors)]


def _list(value: Any, where: str) -> list:
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list, found {shown(value)}")
    return value


def _tensor(entry: Any, where: str) -> Tensor:
    entry = entry if isinstance(entry, dict) else {}
    name, shape, dtype = entry.get("name"), entry.get("shape"), entry.get("dtype")
    if not isinstance(name, str):
        raise ValueError(f"{where}.name: expected a string, found {shown(name)}")
    where = f"{where}, {shown(name)}"
    if not isinstance(shape, list) or len(shape) > _MAX_RANK or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{where}: shape: expected at most {_MAX_RANK} whole numbers, found {shown(shape)}")
    quantised = entry.get("quantization")
    if quantised is None:
        return Tensor(name, tuple(shape), _stored(_PLAIN, dtype, f"{where}: dtype"), 1.0, 0.0)
    if not isinstance(quantised, dict):
        raise ValueError(f"{where}: quantization: expected an object, found {shown(quantised)}")
    stored = _stored(_QUANTISED, quantised.get("dtype"), f"{where}: quantization.dtype")
    if stored.kind == "f":
        return Tensor(name, tuple(shape), stored, 1.0, 0.0)
    scale, least = (_number(quantised.get(key), f"{where}: quantization.{key}") for key in ("scale", "min"))
    return Tensor(name, tuple(shape), stored, scale, least)


def _stored(known: Mapping[str, str], dtype: Any, where: str) -> np.dtype:
    if not isinstance(dtype, str) or dtype not in known:
        raise ValueError(f"{where}: expected {', '.join(known)}, found {shown(dtype)}")
    return np.dtype(known[dtype])


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not abs(value) <= np.finfo(np.float32).max:  # Written so that NaN fails too.
        raise ValueError(f"{where}: expected a finite number, found {shown(value)}")
    return float(value)


def _shard(name: Any, path: str) -> str:
    """Where a shard is: a file below the model's folder, whatever its name and links on the way say."""
    folder = os.path.dirname(path) or "."
    parts = name.split("/") if isinstance(name, str) else []
    if not parts or ".." in parts or os.path.isabs(name) or set(name) & set("\\:\0"):
        raise ValueError(f"{path}: paths: expected names of files in its folder, found {shown(name)}")
    shard = os.path.join(folder, *parts)
    if not os.path.isfile(shard):
        raise ValueError(f"{path}: paths: no file {shard}")
    if os.path.commonpath([os.path.realpath(folder), os.path.realpath(shard)]) != os.path.realpath(folder):
        raise ValueError(f"{path}: paths: {shard} is a link out of the folder")
    return shard
